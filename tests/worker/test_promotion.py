"""When a graph moves to XLA: the decision by itself, then with threads, faults and bounds."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pullback_graph.builder import Builder
from pullback_graph.errors import ExecutionError, InputError, OutOfMemory
from pullback_graph.graph import Graph
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_worker.choice import Adaptive, Choice, Fixed, Running, run, runner
from pullback_worker.executor import CancelFlag, NDArray, Program
from pullback_worker.executors import Executors
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.promoter import MOST_WAITING, Promoter
from pullback_worker.promotion import (
    CLOSE,
    HOLDS_XLA,
    LEAST_RUNS,
    MOST_REVIEWS,
    REVIEWED_RUNS,
    SETTLED,
    TRIALS,
    Promotion,
    Prospect,
    Stage,
    prospect,
)
from pullback_worker.xla_limits import MOST_NODES, MOST_PROMOTED_NODES, held_bytes

PROSPECT = Prospect(compile_s=1.0, call_s=0.001)


def chain(nodes: int, size: int = 100_000) -> Graph:
    """An unrolled graph on a vector."""
    b = Builder()
    z = x = b.input("x", ArrayType(FLOAT64, (size,)))
    for _ in range(nodes):
        z = do.sin(z) * x
    return b.build({"z": z})


# --- the decision ---------------------------------------------------------------------------------


def heated(seconds: float = 0.5) -> Promotion:
    """One that has just been asked to compile."""
    promotion = Promotion(PROSPECT)
    while not promotion.ran_on_numpy(seconds):
        pass
    promotion.compiling()
    return promotion


def tried(numpy_s: float, xla_s: float) -> Promotion:
    """One whose runs were measured."""
    promotion = heated()
    promotion.compiled()
    for _ in range(TRIALS + 1):
        promotion.ran_on_xla(xla_s)
    for _ in range(TRIALS + 1):
        promotion.ran_on_numpy(numpy_s)
    return promotion


@pytest.mark.parametrize(("run_s", "runs"), [(0.125, 8), (0.5, 3), (2.0, 3)])
def test_it_compiles_once_numpy_has_taken_as_long_as_compiling(run_s: float, runs: int):
    """Ski rental: not before, and never after one long run alone."""
    promotion = Promotion(PROSPECT)
    asked = [promotion.ran_on_numpy(run_s) for _ in range(runs)]
    assert asked == [False] * (runs - 1) + [True]


def test_runs_as_short_as_a_call_of_xla_never_ask():
    """Where a call alone would cost XLA as much, there is nothing to win, however often it runs."""
    promotion = Promotion(PROSPECT)
    assert not any(promotion.ran_on_numpy(0.0015) for _ in range(10_000))


@pytest.mark.parametrize(
    ("numpy_s", "xla_s", "stage"),
    [(0.5, 0.4, Stage.PROMOTED), (0.5, 0.6, Stage.KEPT), (0.5, 0.5, Stage.KEPT)],
)
def test_the_faster_one_is_kept(numpy_s: float, xla_s: float, stage: Stage):
    """By measurement after compiling, of both; a tie stays where it is."""
    promotion = tried(numpy_s, xla_s)
    assert promotion.stage is stage
    assert f"{xla_s * 1e3:.3g} ms" in promotion.reason
    assert f"{numpy_s * 1e3:.3g} ms" in promotion.reason


def test_the_first_run_of_either_does_not_count():
    """The first run on XLA touches fresh memory: a slow one alone does not decide."""
    promotion = heated()
    promotion.compiled()
    for seconds in (9.0, 0.1, 0.1, 0.1):
        promotion.ran_on_xla(seconds)
    for seconds in (0.01, 0.5, 0.5, 0.5):
        promotion.ran_on_numpy(seconds)
    assert promotion.stage is Stage.PROMOTED


def reviewed(promotion: Promotion, numpy_s: float, xla_s: float) -> int:
    """How many runs on XLA came before both were timed again, and time them."""
    runs = 0
    while promotion.stage is Stage.PROMOTED and not promotion.is_final:
        promotion.ran_on_xla(xla_s)
        runs += 1
    if promotion.stage is Stage.TRIED:
        for _ in range(TRIALS + 1):
            promotion.ran_on_xla(xla_s)
        for _ in range(TRIALS + 1):
            promotion.ran_on_numpy(numpy_s)
    return runs


def test_a_close_call_is_looked_at_again():
    """NumPy that was slow for other reasons takes over when it is timed again."""
    promotion = tried(numpy_s=0.5, xla_s=0.4)
    assert reviewed(promotion, numpy_s=0.3, xla_s=0.4) == REVIEWED_RUNS
    assert promotion.stage is Stage.KEPT
    assert promotion.is_final


def test_reviews_are_few():
    """Each waits for four times as many runs as the one before, and the last one is final."""
    promotion = tried(numpy_s=0.5, xla_s=0.4)
    waits = [reviewed(promotion, numpy_s=0.5, xla_s=0.4) for _ in range(MOST_REVIEWS + 1)]
    assert waits == [REVIEWED_RUNS * 4**k for k in range(MOST_REVIEWS)] + [0]
    assert promotion.stage is Stage.PROMOTED
    assert promotion.is_final


def test_what_was_measured_before_a_review_still_counts():
    """A slow moment during a review does not send a graph back."""
    promotion = tried(numpy_s=0.5, xla_s=0.4)
    reviewed(promotion, numpy_s=0.5, xla_s=0.9)
    assert promotion.stage is Stage.PROMOTED


def test_a_clear_case_is_final_at_once():
    """NumPy is not run again where it is several times slower."""
    promotion = tried(numpy_s=CLOSE + 0.1, xla_s=1.0)
    assert promotion.stage is Stage.PROMOTED
    assert promotion.is_final


@pytest.mark.parametrize(
    ("graph", "why_not"),
    [
        (chain(10), ""),
        (chain(10, size=1), "about as long as the whole graph"),
        (chain(MOST_PROMOTED_NODES), "too long to compile"),
        (chain(10_000), "20000 nodes"),
    ],
    ids=["work", "tiny", "long", "very long"],
)
def test_prospects(graph: Graph, why_not: str):
    """Graphs too small to win or too long to compile are never watched, and say so."""
    found = prospect(graph)
    assert isinstance(found, str) is bool(why_not)
    assert why_not in str(found)


class PromotionMachine(RuleBasedStateMachine):
    """Events in any order keep the stages' order, and a settled graph settled."""

    def __init__(self) -> None:
        super().__init__()
        self.promotion = Promotion(PROSPECT)
        self.settled: Stage | None = None
        self.asked = False
        self.reviews = 0

    @rule(seconds=st.floats(1e-6, 2.0))
    def run_on_numpy(self, seconds: float) -> None:
        """NumPy runs at any stage: a run may have begun before a swap."""
        self.asked = self.promotion.ran_on_numpy(seconds)
        if self.asked:
            assert self.promotion.spent_s >= PROSPECT.compile_s
            self.promotion.compiling()

    @rule(seconds=st.floats(1e-6, 2.0))
    def run_on_xla(self, seconds: float) -> None:
        """XLA's last runs may come late as well; some begin a review."""
        before = self.promotion.stage
        self.promotion.ran_on_xla(seconds)
        if before is Stage.PROMOTED and self.promotion.stage is Stage.TRIED:
            self.reviews += 1
            self.settled = None
        assert self.reviews <= MOST_REVIEWS

    @precondition(lambda self: self.promotion.stage is Stage.COMPILING)
    @rule(outcome=st.sampled_from(["compiled", "refused", "failed"]))
    def end_compiling(self, outcome: str) -> None:
        """It ends in one of three ways."""
        if outcome == "failed":
            self.promotion.failed("no")
        else:
            getattr(self.promotion, outcome)()

    @precondition(lambda self: self.promotion.stage in HOLDS_XLA)
    @rule()
    def evict(self) -> None:
        """A program gives way: everything starts anew."""
        self.promotion.restart()
        self.settled = None
        self.reviews = 0

    @invariant()
    def settled_stays(self) -> None:
        """Nothing but losing its program, or a review, moves a settled graph."""
        if self.settled is not None:
            assert self.promotion.stage is self.settled
        if self.promotion.stage in SETTLED:
            self.settled = self.promotion.stage
        assert self.promotion.reason


TestPromotionMachine = PromotionMachine.TestCase


# --- choices --------------------------------------------------------------------------------------


class FakeXla:
    """An executor in XLA's place, on NumPy; may wait, or fail."""

    name = "xla"
    version = "fake"

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.started = threading.Event()
        self.compiled: list[Graph] = []
        self.error: Exception | None = None

    def compile(self, graph: Graph) -> Program:
        """The NumPy program, once it may."""
        self.compiled.append(graph)
        self.started.set()
        assert self.may_go_on.wait(30)
        if self.error is not None:
            raise self.error
        return NumpyExecutor().compile(graph)


class Recorded:
    """A watcher that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.compilations = threading.Semaphore(0)
        self.results: list[str] = []

    def compiled(self, executor: str, seconds: float) -> None:
        """Note a compilation."""
        assert executor == "xla"
        assert seconds >= 0.0
        self.compilations.release()

    def promotion_ended(self, result: str) -> None:
        """Note how one ended."""
        self.results.append(result)

    def wait(self) -> None:
        """Until a compilation is over."""
        assert self.compilations.acquire(timeout=30)


class Stand:
    """A promoter on a fake executor."""

    def __init__(self, capacity_bytes: int = 1 << 40) -> None:
        self.xla, self.watcher = FakeXla(), Recorded()
        executors = Executors()
        executors._loaded["xla"] = self.xla
        self.promoter = Promoter(executors, self.watcher, capacity_bytes)

    def choice(self, graph: Graph) -> Adaptive:
        """A choice for a graph that may be promoted."""
        made = self.promoter.choice(on_numpy(graph))
        assert isinstance(made, Adaptive)
        return made


@pytest.fixture
def stand():
    """A promoter that is closed after the test."""
    made = Stand()
    yield made
    made.xla.may_go_on.set()
    made.promoter.close()


def on_numpy(graph: Graph) -> Running:
    """The NumPy program of a graph."""
    return Running(NumpyExecutor().compile(graph), "numpy", "1", "")


def heat(choice: Choice, seconds: float = 10.0) -> None:
    """Tell a choice of runs on NumPy until it asks to be compiled."""
    for _ in range(LEAST_RUNS):
        choice.ran(choice.running, seconds)


def compare(choice: Adaptive, xla_s: float, numpy_s: float) -> None:
    """Tell a choice of the runs it measures."""
    for seconds in (xla_s, numpy_s):
        for _ in range(TRIALS + 1):
            choice.ran(choice.running, seconds)


def test_a_hot_graph_is_compiled_aside_and_swapped_in(stand: Stand):
    """Runs go on NumPy while it compiles, then on what is faster; whoever runs sees one program."""
    choice = stand.choice(chain(10))
    stand.xla.may_go_on.clear()
    heat(choice)
    assert stand.xla.started.wait(30)
    assert (choice.running.executor, choice.stage) == ("numpy", Stage.COMPILING)
    stand.xla.may_go_on.set()
    stand.watcher.wait()
    assert choice.running.executor == "xla"
    assert choice.running.name == "xla-fake"
    compare(choice, xla_s=1.0, numpy_s=2.0)
    assert (choice.running.executor, choice.stage) == ("xla", Stage.PROMOTED)
    assert stand.watcher.results == ["faster"]


def test_a_slower_program_is_let_go(stand: Stand):
    """NumPy's program runs on, and XLA's memory is free."""
    choice = stand.choice(chain(10))
    heat(choice)
    stand.watcher.wait()
    compare(choice, xla_s=2.0, numpy_s=1.0)
    assert (choice.running.executor, choice.stage) == ("numpy", Stage.KEPT)
    assert choice._xla is None
    assert stand.watcher.results == ["slower"]


def test_what_does_not_compile_is_not_tried_again(stand: Stand):
    """The failure is the reason from then on, for later choices of the same graph too."""
    stand.xla.error = InputError("no such row")
    choice = stand.choice(chain(10))
    heat(choice)
    stand.watcher.wait()
    heat(choice)
    again = stand.promoter.choice(on_numpy(chain(10)))
    heat(again)
    assert len(stand.xla.compiled) == 1
    for one in (choice, again):
        assert one.running.executor == "numpy"
        assert "no such row" in one.running.reason
    assert stand.watcher.results == ["failed"]


def test_a_full_queue_is_asked_again_later(stand: Stand):
    """More hot graphs than may wait stay on NumPy, and ask again with their next run."""
    stand.xla.may_go_on.clear()
    choices = [stand.choice(chain(3 + k)) for k in range(MOST_WAITING + 3)]
    for choice in choices:
        heat(choice)
        stand.xla.started.wait(30)  # the first is off the queue before the rest come
    waiting = [choice for choice in choices if choice.stage is Stage.COMPILING]
    assert len(waiting) == MOST_WAITING + 1
    assert choices[-1].stage is Stage.WATCHED


def test_what_xla_is_not_given_runs_on_numpy_and_says_why(stand: Stand):
    """A graph of ten thousand nodes never meets the compiler, however hot it is."""
    choice = stand.promoter.choice(on_numpy(chain(10_000, size=100)))
    heat(choice)
    assert isinstance(choice, Fixed)
    assert choice.running.executor == "numpy"
    assert "too long to compile" in choice.running.reason
    assert not stand.xla.compiled


def test_programs_run_lately_stay_on_xla(stand: Stand):
    """Of those on XLA, the one that has not run for longest gives way."""
    graphs = [chain(10), chain(11), chain(12)]
    stand.promoter._capacity_bytes = 2 * held_bytes(graphs[2])
    first, second, third = [stand.choice(graph) for graph in graphs]
    for choice in (first, second):
        heat(choice)
        stand.watcher.wait()
    first.ran(first.running, 0.1)
    heat(third)
    stand.watcher.wait()
    stages = [choice.stage for choice in (first, second, third)]
    assert stages == [Stage.TRIED, Stage.WATCHED, Stage.TRIED]


def test_programs_on_xla_are_bounded(stand: Stand):
    """Those that gave way may come back when they are hot again."""
    graphs = [chain(10), chain(11)]
    stand.promoter._capacity_bytes = held_bytes(graphs[0]) + 1
    first, second = [stand.choice(graph) for graph in graphs]
    for choice in (first, second):
        heat(choice)
        stand.watcher.wait()
    assert (first.stage, second.stage) == (Stage.WATCHED, Stage.TRIED)
    heat(first)
    stand.watcher.wait()
    assert (first.stage, second.stage) == (Stage.TRIED, Stage.WATCHED)


def test_a_choice_that_is_gone_is_compiled_for_nobody(stand: Stand):
    """Programs of prepared jobs that were dropped free their room."""
    choice = stand.choice(chain(10))
    heat(choice)
    stand.watcher.wait()
    del choice
    gc.collect()
    assert [known() for known, _ in stand.promoter._in_use] == [None]


class FailingProgram:
    """A program that fails as it is told to."""

    def __init__(self, graph: Graph, error: Exception) -> None:
        self.graph = graph
        self.error = error

    def __call__(
        self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None
    ) -> list[NDArray]:
        """Raise."""
        raise self.error


def test_a_failure_on_xla_falls_back_to_numpy(stand: Stand):
    """A run that fails on XLA alone is answered by NumPy, which keeps the graph."""
    graph = chain(10)
    choice = stand.choice(graph)
    heat(choice)
    stand.watcher.wait()
    choice.compiled(FailingProgram(graph, OutOfMemory("no room")), "fake")
    x = np.ones(100_000)
    ran = run(choice, [x])
    assert ran.running.executor == "numpy"
    assert "no room" in ran.running.reason
    assert choice.stage is Stage.KEPT


def test_seconds_are_of_the_clock_that_is_asked_for():
    """A run that shares its processor is timed by what it had of it."""
    graph = chain(2)
    choice = Fixed(Running(NumpyExecutor().compile(graph), "numpy", "1", ""))
    times = iter([1.0, 3.5])
    assert run(choice, [np.ones(100_000)], clock=lambda: next(times)).seconds == 2.5


def watched(running: Running) -> Choice:
    """A choice that a promoter watches."""
    return Stand().promoter.choice(running)


@pytest.mark.parametrize(
    "choice_of",
    [Fixed, watched],
    ids=["fixed", "adaptive"],
)
def test_the_jobs_own_failures_are_raised(choice_of: Callable[[Running], Choice]):
    """What fails on NumPy fails; nothing is run twice."""
    program = FailingProgram(chain(10), ExecutionError("bad node"))
    choice = choice_of(Running(program, "numpy", "1", ""))
    with pytest.raises(ExecutionError, match="bad node"):
        run(choice, [])


def test_runs_from_several_threads_promote_once(stand: Stand):
    """Threads that run one graph ask for one compilation, and all results are right."""
    choice = stand.choice(chain(3))
    x = np.full(100_000, 0.5)
    expected = NumpyExecutor().compile(chain(3))([x])[0]
    wrong = []

    def work() -> None:
        for _ in range(20):
            found = runner(choice)([x])[0]
            choice.ran(choice.running, 1.0)
            if not np.array_equal(np.asarray(found), expected):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stand.watcher.wait()
    assert not wrong
    assert len(stand.xla.compiled) == 1


def test_bounds_are_in_order():
    """What is promoted would also be compiled if it were asked for."""
    assert MOST_PROMOTED_NODES <= MOST_NODES
