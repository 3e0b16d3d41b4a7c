"""What a worker does with batches, without Ray: values, programs, cancel, memory, faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import Cancelled, ExecutionError, OutOfMemory
from pullback_graph.graph import Graph
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_worker import lane_clock
from pullback_worker.batch import Batch, Call, Freed, InputOperand, Report, ValueKey
from pullback_worker.choice import Choice, Fixed, Running
from pullback_worker.executor import CancelFlag, NDArray
from pullback_worker.memory_watch import LIBRARIES_BYTES, MemoryWatch, PrivateBytes
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.program_cache import Lookup
from pullback_worker.task_runner import SPARE_BYTES, TaskRunner

GIB = 1 << 30
Function: TypeAlias = "Callable[[Sequence[NDArray], CancelFlag | None], list[NDArray]]"


class FakeProgram:
    """Runs a function in place of a graph."""

    def __init__(self, graph: Graph, function: Function) -> None:
        self.graph = graph
        self.function = function

    def __call__(
        self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None
    ) -> list[NDArray]:
        """What the function gives."""
        return self.function(arrays, cancel)


def graph_of(inputs: int, outputs: int = 1, name: str = "x") -> Graph:
    """A graph that is told from others by its input names."""
    builder = Builder()
    refs = [builder.input(f"{name}{k}", ArrayType(FLOAT64, (4,))) for k in range(inputs)]
    return builder.build({f"y{k}": do.negative(refs[0]) for k in range(outputs)}, prune=False)


class Programs:
    """Programs by graph: functions given by the test; every first use is a miss."""

    def __init__(self, **functions) -> None:
        self.graphs = {
            name: graph_of(inputs, outputs, name)
            for name, (inputs, outputs, _) in functions.items()
        }
        self.functions = {self.graphs[name].fingerprint: f for name, (_, _, f) in functions.items()}
        self.seen: set[str] = set()

    def __call__(self, graph: Graph, executor: str) -> Lookup[Choice]:
        """The program on the executor asked for, a hit from the second time on."""
        hit = graph.fingerprint in self.seen
        self.seen.add(graph.fingerprint)
        program = FakeProgram(graph, self.functions[graph.fingerprint])
        return Lookup(Fixed(Running(program, executor, "1", "")), hit, 0.0 if hit else 1.0)

    def call(self, name: str, task: int, operands, **more) -> Call:
        """A call of one of the graphs."""
        return Call(task, self.graphs[name].fingerprint, tuple(operands), **more)

    def all(self) -> tuple[Graph, ...]:
        """Every graph."""
        return tuple(self.graphs.values())


ARITHMETIC = {
    "total": (1, 1, lambda arrays, _: [arrays[0].sum(keepdims=True)]),
    "add": (2, 1, lambda arrays, _: [arrays[0] + arrays[1]]),
    "pair": (1, 2, lambda arrays, _: [arrays[0] + 1, arrays[0] - 1]),
}
X = np.arange(8.0)
WHOLE = (InputOperand(0),)


def block(start: int, stop: int) -> InputOperand:
    """Part of the first input."""
    return InputOperand(0, 0, start, stop)


def test_a_batch_runs_in_order_and_hands_back_what_it_should():
    """Blocks of an input are summed each, then together; only the last sum comes back."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs)
    calls = (
        programs.call("total", 0, [block(0, 3)]),
        programs.call("total", 1, [block(3, 8)]),
        programs.call("add", 2, [ValueKey(0, 0), ValueKey(1, 0)], send=(0,)),
    )
    report = runner.run(Batch(1, 7, calls, graphs=programs.all(), inputs=WHOLE), [X])
    assert [task.task for task in report.done] == [0, 1, 2]
    assert {key: array.tolist() for key, array in report.sent.items()} == {ValueKey(2, 0): [28.0]}
    assert [task.program_cache_hit for task in report.done] == [False, True, False]
    assert not report.lost
    assert report.failed is None


@pytest.mark.parametrize(("keep", "send"), [((), ()), ((0,), ()), ((), (0,))])
def test_a_large_sum_takes_the_place_of_what_nobody_wants(
    keep: tuple[int, ...], send: tuple[int, ...]
):
    """Partial sums are added up in one array; what is kept or handed back stays as it is."""
    type, count = ArrayType(FLOAT64, (SPARE_BYTES // 8,)), SPARE_BYTES // 8
    builder = Builder()
    shard = builder.build({"y": do.negative(builder.input("x", type))})
    builder = Builder()
    total = builder.build({"z": do.add(builder.input("x", type), builder.input("y", type))})
    made: list[NDArray] = []

    def compile(graph: Graph, executor: str) -> Lookup[Choice]:
        program = NumpyExecutor().compile(graph)

        def noted(arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[NDArray]:
            outputs = program(arrays, cancel)
            made.extend(outputs)
            return outputs

        one = program if graph is total else FakeProgram(graph, noted)
        return Lookup(Fixed(Running(one, "numpy", "1", "")), True, 0.0)

    calls = (
        Call(0, shard.fingerprint, WHOLE, keep=(0,)),
        Call(1, shard.fingerprint, WHOLE, keep, send),
        Call(2, total.fingerprint, (ValueKey(0, 0), ValueKey(1, 0)), send=(0,)),
    )
    runner, x = TaskRunner(compile), np.ones(count)
    report = runner.run(Batch(1, 7, calls, graphs=(shard, total), inputs=WHOLE), [x])
    found = report.sent[ValueKey(2, 0)]
    assert np.all(found == -2.0)
    assert np.shares_memory(found, made[1]) is not bool(keep or send)
    assert not np.shares_memory(found, made[0])
    assert np.all(x == 1.0)
    assert all(np.all(array == -1.0) for array in runner.export(7, [ValueKey(0, 0)]))


def test_blocks_are_views_of_the_input():
    """A worker copies no input cut along its first axis; other blocks are made contiguous."""
    seen: list[NDArray] = []

    def look(arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[NDArray]:
        seen.extend(arrays)
        return [np.zeros(1)]

    programs = Programs(look=(1, 1, look))
    runner = TaskRunner(programs)
    operands = [InputOperand(0, 0, 1, 3), InputOperand(0, 1, 1, 3)]
    call = programs.call("look", 0, operands)
    matrix = np.arange(12.0).reshape(3, 4)
    runner.run(Batch(1, 7, (call,), graphs=programs.all(), inputs=WHOLE), [matrix])
    assert np.shares_memory(seen[0], matrix)
    assert seen[0].tolist() == matrix[1:3].tolist()
    assert seen[1].flags.c_contiguous
    assert seen[1].tolist() == [[1, 2], [5, 6], [9, 10]]


def test_kept_values_serve_later_batches_until_freed():
    """What a call keeps is there for the next batch; the rest of a batch is dropped with it."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs)
    first = programs.call("pair", 0, [InputOperand(0)], keep=(1,))
    runner.run(Batch(1, 7, (first,), graphs=programs.all(), inputs=WHOLE), [X])
    assert runner.held == 2
    second = programs.call("total", 1, [ValueKey(0, 1)], send=(0,))
    report = runner.run(Batch(2, 7, (second,)))
    assert report.sent[ValueKey(1, 0)].tolist() == [20.0]
    runner.free([Freed(7, (ValueKey(0, 1),))])
    assert runner.export(7, [ValueKey(0, 1)]) == [None]
    runner.free([Freed(7, None)])
    assert runner.held == 0


def test_a_batch_frees_first_what_it_was_told_to():
    """Values that come with a batch as freed are gone before it runs."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs)
    first = programs.call("total", 0, [InputOperand(0)], keep=(0,))
    runner.run(Batch(1, 7, (first,), graphs=programs.all(), inputs=WHOLE), [X])
    runner.run(Batch(2, 8, (), freed=(Freed(7, None),)))
    assert runner.held == 0


def test_fetched_values_stay_for_later_batches():
    """A value that came along with one batch is an operand in the next as well."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs)
    call = programs.call("total", 5, [ValueKey(3, 0)], send=(0,))
    batch = Batch(1, 7, (call,), graphs=programs.all(), fetched=(ValueKey(3, 0),))
    assert runner.run(batch, (), [X]).sent[ValueKey(5, 0)].tolist() == [28.0]
    assert runner.run(Batch(2, 7, (call,))).sent[ValueKey(5, 0)].tolist() == [28.0]


def test_lost_values_are_named_and_what_needs_them_does_not_run():
    """Neither a fetched value that is lost nor one missing here stops the rest of the batch."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs)
    calls = (
        programs.call("total", 1, [ValueKey(0, 0)]),
        programs.call("total", 2, [InputOperand(0)]),
        programs.call("add", 3, [ValueKey(2, 0), ValueKey(9, 1)]),
    )
    batch = Batch(1, 7, calls, graphs=programs.all(), inputs=WHOLE, fetched=(ValueKey(0, 0),))
    report = runner.run(batch, [X], [None])
    assert [task.task for task in report.done] == [2]
    assert report.lost == [ValueKey(0, 0), ValueKey(9, 1)]


def test_unknown_graphs_are_asked_for_before_anything_runs():
    """A batch that names a graph the worker was never given runs nothing and says which."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs)
    call = programs.call("total", 0, [InputOperand(0)], send=(0,))
    report = runner.run(Batch(1, 7, (call,), inputs=WHOLE), [X])
    assert report.unknown_graphs == [call.fingerprint]
    assert not report.done
    again = runner.run(Batch(2, 7, (call,), graphs=programs.all()))
    assert again.sent[ValueKey(0, 0)].tolist() == [28.0]


def test_a_failing_program_ends_its_batch_with_its_own_error():
    """An error of the tree arrives as it was raised; nothing of the batch runs after it."""
    error = ExecutionError("node 3 divide: no", field="graph.nodes[3]")
    programs = Programs(bad=(1, 1, lambda arrays, _: raise_(error)), **ARITHMETIC)
    runner = TaskRunner(programs)
    calls = (
        programs.call("bad", 0, [InputOperand(0)]),
        programs.call("total", 1, [InputOperand(0)]),
    )
    report = runner.run(Batch(1, 7, calls, graphs=programs.all(), inputs=WHOLE), [X])
    assert report.failed == (0, error)
    assert not report.done


def test_a_task_runs_on_the_executor_of_its_call():
    """A call names its executor; the report says which one ran, with its version."""
    programs = Programs(**ARITHMETIC)
    calls = (
        programs.call("total", 0, [InputOperand(0)], executor="xla"),
        programs.call("total", 1, [InputOperand(0)]),
    )
    batch = Batch(1, 7, calls, graphs=programs.all(), inputs=WHOLE)
    report = TaskRunner(programs).run(batch, [X])
    assert [task.executor for task in report.done] == ["xla-1", "auto-1"]


def test_an_unforeseen_exception_becomes_an_execution_error():
    """Whatever a program raises, the job fails with a typed error that says what."""
    programs = Programs(bad=(1, 1, lambda arrays, _: raise_(ZeroDivisionError("oh"))))
    call = programs.call("bad", 4, [InputOperand(0)])
    batch = Batch(1, 7, (call,), graphs=programs.all(), inputs=WHOLE)
    report = TaskRunner(programs).run(batch, [X])
    assert report.failed is not None
    assert isinstance(report.failed[1], ExecutionError)
    assert "task 4" in str(report.failed[1])
    assert "ZeroDivisionError: oh" in str(report.failed[1])


def test_cancel_reaches_a_running_program():
    """A program that polls its flag stops; the batch reports what ran before."""
    running = threading.Event()

    def spin(arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[NDArray]:
        running.set()
        while cancel is not None and not cancel.is_set:
            pass
        raise Cancelled("stopped")

    programs = Programs(spin=(1, 1, spin), **ARITHMETIC)
    runner = TaskRunner(programs)
    calls = (
        programs.call("total", 0, [InputOperand(0)]),
        programs.call("spin", 1, [InputOperand(0)]),
    )

    def stop() -> None:
        running.wait()
        runner.cancel(1)

    stopper = threading.Thread(target=stop)
    stopper.start()
    report = runner.run(Batch(1, 7, calls, graphs=programs.all(), inputs=WHOLE), [X])
    stopper.join()
    assert [task.task for task in report.done] == [0]
    assert report.failed is None


def test_a_batch_cancelled_before_it_starts_does_not_run():
    """Cancel may overtake the batch; one that comes too late is forgotten."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs)
    call = programs.call("total", 0, [InputOperand(0)])
    runner.cancel(1)
    assert not runner.run(Batch(1, 7, (call,), graphs=programs.all(), inputs=WHOLE), [X]).done
    runner.cancel(1)
    assert runner.run(Batch(2, 7, (call,))).done


def test_a_task_that_cannot_fit_is_refused_before_it_starts():
    """The estimate is checked against what the cap leaves."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs, MemoryWatch(cap_bytes=2 * GIB, read=lambda: GIB))
    call = programs.call("total", 0, [InputOperand(0)], peak_bytes=GIB + X.nbytes + 1)
    report = runner.run(Batch(1, 7, (call,), graphs=programs.all(), inputs=WHOLE), [X])
    assert report.failed is not None
    assert isinstance(report.failed[1], OutOfMemory)
    assert str(2 * GIB) in str(report.failed[1])


def test_operands_that_are_there_already_are_not_asked_room_for_again():
    """They count in the estimate, and in what the process has, or in shared memory."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs, MemoryWatch(cap_bytes=2 * GIB, read=lambda: GIB))
    call = programs.call("total", 0, [InputOperand(0)], peak_bytes=GIB + X.nbytes)
    assert runner.run(Batch(1, 7, (call,), graphs=programs.all(), inputs=WHOLE), [X]).done


@pytest.mark.parametrize(
    ("settings", "cap_bytes", "room_bytes"),
    [
        ({}, 0, 0),
        ({"cap_bytes": 3 * GIB}, 3 * GIB, 2 * GIB - LIBRARIES_BYTES),
        ({"cap_bytes": GIB // 2}, GIB // 2, 1),
        ({"cap_bytes": 3 * GIB, "own_bytes": 5}, GIB + LIBRARIES_BYTES + 5, 5),
    ],
)
def test_room_is_what_the_process_has_not_taken_before(
    settings: dict[str, int], cap_bytes: int, room_bytes: int
):
    """Whoever places tasks is told what arrays may take, not what libraries take."""
    watch = MemoryWatch(read=lambda: GIB, **settings)
    assert (watch.cap_bytes, watch.room_bytes) == (cap_bytes, room_bytes)


def test_a_task_that_outgrows_the_cap_is_stopped():
    """Crossing the cap while it runs sets the task's flag, and its error says why it stopped."""
    used = [GIB]
    watch = MemoryWatch(cap_bytes=2 * GIB, read=lambda: used[0])

    def grow(arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[NDArray]:
        used[0] = 3 * GIB
        watch.look()
        assert cancel is not None
        assert cancel.is_set
        raise Cancelled("stopped")

    programs = Programs(grow=(1, 1, grow))
    call = programs.call("grow", 0, [InputOperand(0)])
    report = TaskRunner(programs, watch).run(
        Batch(1, 7, (call,), graphs=programs.all(), inputs=WHOLE), [X]
    )
    assert report.failed is not None
    assert isinstance(report.failed[1], OutOfMemory)


def test_the_peak_is_what_the_task_took():
    """Peak bytes are over what the process had when the worker started."""
    used = [GIB]
    watch = MemoryWatch(read=lambda: used[0])

    def grow(arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[NDArray]:
        used[0] = GIB + 12345
        watch.look()
        used[0] = GIB
        return [np.zeros(1)]

    programs = Programs(grow=(1, 1, grow))
    call = programs.call("grow", 0, [InputOperand(0)])
    report = TaskRunner(programs, watch).run(
        Batch(1, 7, (call,), graphs=programs.all(), inputs=WHOLE), [X]
    )
    assert report.done[0].peak_bytes == 12345


class Beside:
    """A runner whose thread is in a batch of job 7, `wait`, while the test runs express ones."""

    def __init__(self, memory: MemoryWatch | None = None) -> None:
        self.begun, self.over = threading.Event(), threading.Event()
        self.programs = Programs(wait=(1, 1, self._wait), spin=(1, 1, self._spin), **ARITHMETIC)
        self.runner = TaskRunner(self.programs, memory)
        self.report: Report | None = None
        self._thread = threading.Thread(target=self._run)

    def _wait(self, arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[NDArray]:
        self.begun.set()
        assert self.over.wait(30.0)
        assert cancel is not None
        if cancel.is_set:
            raise Cancelled("stopped")
        return [arrays[0]]

    @staticmethod
    def _spin(arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[NDArray]:
        while cancel is not None and not cancel.is_set:
            pass
        raise Cancelled("stopped")

    def _run(self) -> None:
        self.report = self.runner.run(self.batch(1, 7, "wait"), [X])

    def batch(self, number: int, job: int, name: str, *, express: bool = False) -> Batch:
        """A batch of one task."""
        call = self.programs.call(name, 0, [InputOperand(0)], send=(0,))
        graphs = self.programs.all()
        return Batch(number, job, (call,), graphs=graphs, inputs=WHOLE, express=express)

    def __enter__(self) -> Beside:
        self._thread.start()
        assert self.begun.wait(30.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()


def test_an_express_batch_is_done_while_another_runs():
    """They share graphs and nothing else; each gives what it would alone."""
    with Beside() as beside:
        report = beside.runner.run(beside.batch(2, 8, "total", express=True), [X])
        assert report.sent[ValueKey(0, 0)].tolist() == [28.0]
        assert beside.report is None
    assert beside.report is not None
    assert beside.report.sent[ValueKey(0, 0)].tolist() == X.tolist()


@pytest.mark.parametrize("name", ["main", "express", "alone"])
def test_what_shares_a_processor_takes_what_it_had_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str
):
    """A task that the other lane was busy beside, if only for a while, is timed by its thread."""
    monkeypatch.setattr(lane_clock, "thread_time", lambda: 5.0)
    with Beside() as beside:
        if name != "alone":
            express = beside.runner.run(beside.batch(2, 8, "total", express=True), [X])
    assert beside.report is not None
    report = express if name == "express" else beside.report
    assert (report.done[0].running_s == 0.0) == (name != "alone")
    assert report.busy_s > 0.0


def test_a_stop_is_for_one_batch():
    """An express batch that ended, or is stopped, leaves the other alone, and so the other way."""
    with Beside() as beside:
        beside.runner.run(beside.batch(2, 8, "total", express=True), [X])
        beside.runner.cancel(3, express=True)
        assert not beside.runner.run(beside.batch(3, 8, "spin", express=True), [X]).done
        assert not beside.runner.is_cancelled(1)
        beside.runner.cancel(1)
        assert not beside.runner.is_cancelled(4, express=True)
    assert beside.report is not None
    assert not beside.report.done


def test_an_express_batch_gives_way_when_the_cap_is_crossed():
    """It stops unrun, and fails nobody; the task it ran beside goes on."""
    used = [GIB]
    watch = MemoryWatch(cap_bytes=2 * GIB, read=lambda: used[0])

    with Beside(watch) as beside:

        def grow(arrays: Sequence[NDArray], cancel: CancelFlag | None) -> list[NDArray]:
            used[0] = 3 * GIB
            watch.look()
            used[0] = GIB
            return beside._spin(arrays, cancel)

        beside.programs.functions[beside.programs.graphs["total"].fingerprint] = grow
        report = beside.runner.run(beside.batch(2, 8, "total", express=True), [X])
        assert (report.done, report.failed) == ([], None)
    assert beside.report is not None
    assert [task.task for task in beside.report.done] == [0]


def test_an_express_task_that_does_not_fit_is_left_for_its_turn():
    """What another takes meanwhile is no fault of its job."""
    watch = MemoryWatch(cap_bytes=2 * GIB, read=lambda: GIB)
    with Beside(watch) as beside:
        batch = beside.batch(2, 8, "total", express=True)
        call = batch.calls[0]._replace(peak_bytes=2 * GIB)
        report = beside.runner.run(replace(batch, calls=(call,)), [X])
        assert (report.done, report.failed) == ([], None)


def test_a_task_takes_the_memory_of_what_runs_beside_it():
    """Where only an express batch is in its way, it waits until that has stopped."""
    used = [2 * GIB]
    watch = MemoryWatch(cap_bytes=2 * GIB, read=lambda: used[0])
    begun, flag = threading.Event(), CancelFlag()

    def hold() -> None:
        with watch.over(flag, express=True):
            begun.set()
            while not flag.is_set:
                pass
            used[0] = GIB

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(30.0)
    assert not watch.room_for(GIB // 2, express=True)
    assert not flag.is_set
    assert watch.room_for(GIB // 2)
    thread.join()


def test_freed_memory_that_the_process_still_has_is_given_back_first():
    """A task is refused only if it does not fit after that."""
    watch = MemoryWatch(cap_bytes=PrivateBytes()() + GIB)
    assert watch.room_for(GIB // 2)
    assert not watch.room_for(2 * GIB)


def test_private_memory_grows_with_what_is_allocated():
    """The figure the cap goes by follows large allocations."""
    private_bytes = PrivateBytes()
    before = private_bytes()
    array = np.ones(8_000_000)
    assert private_bytes() - before > 0.8 * array.nbytes


def test_freed_jobs_leave_nothing():
    """After each job is freed the worker holds no array of it."""
    programs = Programs(**ARITHMETIC)
    runner = TaskRunner(programs)
    for job in range(3):
        call = programs.call("pair", 0, [InputOperand(0)], keep=(0, 1))
        runner.run(Batch(job, job, (call,), graphs=programs.all(), inputs=WHOLE), [X])
    assert runner.held == 3 * 3
    runner.free([Freed(job, None) for job in range(3)])
    assert runner.held == 0


def raise_(error: Exception) -> list[NDArray]:
    """Raise, from an expression."""
    raise error
