"""Which executor runs a graph: what was asked for, or the faster one, found while jobs run.

A `Choice` is a graph's: `running` is replaced whole, so that whoever reads it has a program, the
name of its executor and the reason that belong together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Lock
from time import perf_counter
from typing import NamedTuple, Protocol

from pullback_graph.errors import ExecutionError, PullbackError
from pullback_graph.graph import Graph
from pullback_worker.executor import CancelFlag, NDArray, Program
from pullback_worker.numpy_executor import NumpyProgram
from pullback_worker.promotion import HOLDS_XLA, ON_XLA, SETTLED, Promotion, Stage

LOG = logging.getLogger(__name__)


class Running(NamedTuple):
    """A program, what executes it, and why.

    Attributes:
        version: the executor's; with its name, part of a result's digest.
    """

    program: Program
    executor: str
    version: str
    reason: str

    @property
    def name(self) -> str:
        """Executor and version, as a digest has them."""
        return f"{self.executor}-{self.version}"


class Choice(Protocol):
    """What runs a graph now."""

    running: Running

    def ran(self, running: Running, seconds: float) -> None:
        """Tell how long a run took, on what was `running` as it began."""

    def failed(self, running: Running, error: PullbackError) -> Running | None:
        """Tell that a run failed for a reason of the executor's; what to run instead, if any."""


class Fixed:
    """A choice that never changes."""

    __slots__ = ("running",)

    def __init__(self, running: Running) -> None:
        self.running = running

    def ran(self, running: Running, seconds: float) -> None:
        """Nothing depends on it."""

    def failed(self, running: Running, error: PullbackError) -> Running | None:
        """There is nothing else."""
        return None


Ended = Callable[[str], None]
"""Told how a promotion ended: `faster`, `slower` or `failed`."""
Compile = Callable[["Adaptive"], bool]
"""Has a choice's graph compiled some time later; False where there is no room for more."""


class Adaptive:
    """A choice that starts on NumPy, and moves to XLA when that is measured to be faster.

    Args:
        running: the NumPy program.
        compile: asked once the graph is hot.
        ended: told when the graph stays where it is.

    Attributes:
        last_run_s: when it ran last, on the clock of `perf_counter`.
    """

    def __init__(
        self,
        graph: Graph,
        running: Running,
        promotion: Promotion,
        compile: Compile,
        ended: Ended = lambda _: None,
    ) -> None:
        self.graph = graph
        self._numpy = self.running = running._replace(reason=promotion.reason)
        self._xla: Running | None = None
        self._promotion = promotion
        self._compile = compile
        self._ended = ended
        self._lock = Lock()
        self.last_run_s = perf_counter()
        self._told: Stage | None = None

    @property
    def stage(self) -> Stage:
        """Where the graph stands."""
        return self._promotion.stage

    def ran(self, running: Running, seconds: float) -> None:
        """Take in a run; when there were enough, have the graph compiled, or decide."""
        promotion = self._promotion
        self.last_run_s = perf_counter()
        if promotion.is_final:
            return
        with self._lock:
            before, ask = promotion.stage, False
            if running.executor == "xla":
                promotion.ran_on_xla(seconds)
            elif promotion.ran_on_numpy(seconds):
                ask = True
                promotion.compiling()
            told = self._told
            if promotion.stage is not before:
                self._settle()
                if promotion.stage in SETTLED:
                    self._told = promotion.stage
        if self._told is not told:
            self._ended("faster" if promotion.stage is Stage.PROMOTED else "slower")
        if ask and not self._compile(self):
            with self._lock:
                promotion.refused()
                self._settle()

    def compiled(self, program: Program, version: str) -> None:
        """XLA is done: it is tried from the next run on."""
        self.last_run_s = perf_counter()
        with self._lock:
            self._promotion.compiled()
            self._xla = Running(program, "xla", version, "")
            self._settle()

    def evicted(self) -> None:
        """XLA's program gave way to others: NumPy runs the graph until it is hot again."""
        with self._lock:
            self._promotion.restart()
            self._told = None
            self._settle()

    def gave_up(self, why: str) -> None:
        """XLA could not compile it."""
        with self._lock:
            self._promotion.failed(why)
            self._settle()
        self._ended("failed")

    def failed(self, running: Running, error: PullbackError) -> Running | None:
        """A run on XLA failed where NumPy's may not: NumPy takes over, for good."""
        if running.executor != "xla" or not isinstance(error, ExecutionError):
            return None
        LOG.warning("a program failed on xla and runs on numpy from now on: %s", error)
        self.gave_up(f"failed on xla: {error.message}")
        return self.running

    def _settle(self) -> None:
        """Swap what runs, where the stage says so; a program not needed any more is let go."""
        stage, reason = self._promotion.stage, self._promotion.reason
        if stage in ON_XLA and self._xla is not None:
            self.running = self._xla._replace(reason=reason)
        else:
            self.running = self._numpy._replace(reason=reason)
        if stage not in HOLDS_XLA:
            self._xla = None


def run(
    choice: Choice,
    arrays: Sequence[NDArray],
    cancel: CancelFlag | None = None,
    clock: Callable[[], float] = perf_counter,
    spare: frozenset[int] = frozenset(),
) -> Ran:
    """Run a graph on what its choice says, and tell the choice how it went.

    Args:
        clock: what its seconds are of.
        spare: positions of arrays that nobody wants any more, and that may be written over.

    Raises:
        PullbackError: as the program does.
    """
    running: Running | None = choice.running
    while True:
        assert running is not None
        started_s = clock()
        try:
            program = running.program
            if spare and isinstance(program, NumpyProgram):
                program = program.spending(spare)
            results = program(arrays, cancel)
        except ExecutionError as error:
            instead = choice.failed(running, error)
            if instead is None:
                raise
            running = instead
            continue
        seconds = clock() - started_s
        choice.ran(running, seconds)
        return Ran(results, running, seconds)


class Ran(NamedTuple):
    """The outputs of a run, what it ran on, and how long it took."""

    outputs: list[NDArray]
    running: Running
    seconds: float


def runner(choice: Choice) -> Callable[[Sequence[NDArray]], Sequence[NDArray]]:
    """The function from inputs to outputs of a choice; of one that stays, the program's own.

    Its 0-d outputs may be NumPy scalars.
    """
    if not isinstance(choice, Fixed):
        return lambda arrays: run(choice, arrays).outputs
    program = choice.running.program
    return program.values if isinstance(program, NumpyProgram) else program
