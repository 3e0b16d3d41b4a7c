"""What the Ray actor adds to a TaskRunner, called without Ray."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pullback_graph.builder import Builder
from pullback_graph.errors import ServiceError
from pullback_graph.types import FLOAT64, ArrayType
from pullback_worker.actor import CONCURRENCY_GROUPS, WorkerActor, WorkerSettings
from pullback_worker.batch import Batch, Call, Freed, InputOperand, Report, ValueKey, no_room
from pullback_worker.fetcher import Fetcher
from pullback_worker.parcel import packed, reports_in


def test_a_worker_that_a_jobs_inputs_do_not_reach_says_so():
    """It runs nothing, rather than run on fewer inputs, and takes the batch when they do come."""
    builder = Builder()
    refs = [builder.input(name, ArrayType(FLOAT64, ())) for name in "xy"]
    graph = builder.build({"z": refs[0] + refs[1]})
    inputs = InputOperand(0), InputOperand(1)
    call = Call(0, graph.fingerprint, inputs, send=(0,))
    with threadpool_limits(1):
        actor = WorkerActor(WorkerSettings(promotion=False))
        batch = Batch(0, 1, (call,), graphs=(graph,), inputs=inputs)
        cut_off = actor.run(batch, [np.asarray(1.0), None])
        assert cut_off.cut_off
        assert not cut_off.done
        report = actor.run(batch, [np.asarray(1.0), np.asarray(2.0)])
    assert not report.cut_off
    assert list(report.sent.values()) == [3.0]


def test_a_batch_that_is_called_off_while_its_inputs_come_ends_at_once():
    """It says that nothing ran; the inputs are there for the next batch, and its graphs known."""
    builder = Builder()
    graph = builder.build({"z": -builder.input("x", ArrayType(FLOAT64, (2,)))})
    operand = InputOperand(0)
    calls = [Call(task, graph.fingerprint, (operand,), send=(0,)) for task in range(2)]
    come = threading.Event()

    def get(references: Sequence[Any]) -> list[Any]:
        assert come.wait(30.0)
        return [np.ones(2)]

    with threadpool_limits(1):
        actor = WorkerActor(WorkerSettings(promotion=False))
        actor._fetcher = Fetcher(get, lambda item: isinstance(item, str))
        actor._runner.cancel(0)
        batch = Batch(0, 1, (calls[0],), graphs=(graph,), inputs=(operand,))
        stopped = actor.run(batch, ["a reference"])
        come.set()
        report = actor.run(Batch(1, 1, (calls[1],)), [])
    assert stopped == Report(0, busy_s=stopped.busy_s, transferring_s=stopped.transferring_s)
    assert [array.tolist() for array in report.sent.values()] == [[-1.0, -1.0]]


def test_express_batches_have_a_thread_of_their_own():
    """Ray calls `run_express` in another thread than `run`; it runs a batch as that does."""
    builder = Builder()
    graph = builder.build({"z": -builder.input("x", ArrayType(FLOAT64, (2,)))})
    operand = InputOperand(0)
    call = Call(0, graph.fingerprint, (operand,), send=(0,))
    with threadpool_limits(1):
        actor = WorkerActor(WorkerSettings(promotion=False))
        batch = Batch(0, 1, (call,), graphs=(graph,), inputs=(operand,), express=True)
        run_express: Any = actor.run_express
        report = run_express(batch, [np.ones(2)])
    assert [array.tolist() for array in report.sent.values()] == [[-1.0, -1.0]]
    assert CONCURRENCY_GROUPS["express"] == 1


def test_values_are_handed_back_beside_the_report_as_they_are_grouped():
    """A group of one is the value itself; what did not run is None in its place."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (2,)))
    graph = builder.build({"a": -x, "b": x + x})
    call = Call(0, graph.fingerprint, (InputOperand(0),), send=(0, 1))
    a, b, unrun = ValueKey(0, 0), ValueKey(0, 1), ValueKey(1, 0)
    with threadpool_limits(1):
        actor = WorkerActor(WorkerSettings(promotion=False))
        batch = Batch(
            0, 1, (call,), graphs=(graph,), inputs=(InputOperand(0),), apart=((a,), (unrun, b))
        )
        report, alone, group = actor.run(batch, [np.ones(2)])
    assert not report.sent
    assert alone.tolist() == [-1.0, -1.0]
    assert group[0] is None
    assert group[1].tolist() == [2.0, 2.0]


def test_a_batch_that_can_t_be_taken_fails_alone():
    """Of the batches of a parcel, the others run: they are of other jobs."""
    builder = Builder()
    graph = builder.build({"z": -builder.input("x", ArrayType(FLOAT64, (2,)))})
    operand = InputOperand(0)
    call = Call(0, graph.fingerprint, (operand,), send=(0,))
    batches = [Batch(n, n, (call,), graphs=(graph,), inputs=(operand,)) for n in range(3)]
    given = [[np.ones(2)], [np.ones(2), np.ones(2)], [np.full(2, 3.0)]]
    with threadpool_limits(1):
        actor = WorkerActor(WorkerSettings(promotion=False))
        answer = actor.run_parcel(packed([*zip(batches, given, strict=True)]))
    first, broken, last = reports_in(answer)
    assert [array.tolist() for array in first.sent.values()] == [[-1.0, -1.0]]
    assert [array.tolist() for array in last.sent.values()] == [[-3.0, -3.0]]
    assert not broken.sent
    assert broken.failed is not None
    assert "could not take task 0: ValueError" in str(broken.failed[1])


def test_what_is_to_be_dropped_is_dropped_though_the_batch_finds_no_room():
    """What came with a batch that can't run is of jobs that are over: nobody frees it again."""
    builder = Builder()
    graph = builder.build({"z": -builder.input("x", ArrayType(FLOAT64, (2,)))})
    operand = InputOperand(0)
    call = Call(0, graph.fingerprint, (operand,), keep=(0,))

    def get(references: Sequence[Any]) -> list[Any]:
        raise no_room("a value")

    with threadpool_limits(1):
        actor = WorkerActor(WorkerSettings(promotion=False))
        actor.run(Batch(0, 1, (call,), graphs=(graph,), inputs=(operand,)), [np.ones(2)])
        held = actor._runner.held
        actor._fetcher = Fetcher(get, lambda item: isinstance(item, str))
        batch = Batch(1, 2, (call,), inputs=(operand,), freed=(Freed(1, None),))
        report = actor.run(batch, ["a reference"])
    assert report.failed is not None
    assert type(report.failed[1]) is ServiceError
    assert held == 2
    assert not actor._runner.held


def test_what_is_to_be_dropped_is_dropped_though_the_batch_can_t_be_taken():
    """Of a parcel, too, where nobody else hears that it was not taken."""
    builder = Builder()
    graph = builder.build({"z": -builder.input("x", ArrayType(FLOAT64, (2,)))})
    operand = InputOperand(0)
    call = Call(0, graph.fingerprint, (operand,), keep=(0,))
    with threadpool_limits(1):
        actor = WorkerActor(WorkerSettings(promotion=False))
        actor.run(Batch(0, 1, (call,), graphs=(graph,), inputs=(operand,)), [np.ones(2)])
        broken = Batch(1, 2, (call,), inputs=(operand,), freed=(Freed(1, None),))
        (report,) = reports_in(actor.run_parcel(packed([(broken, [])])))
    assert report.failed is not None
    assert not actor._runner.held


def test_a_worker_says_which_batch_of_a_parcel_it_is_running(monkeypatch: pytest.MonkeyPatch):
    """And that it runs none, before and after; an express one, beside them, does not count."""
    call = Call(0, "", ())
    said: list[int] = []
    with threadpool_limits(1):
        actor: Any = WorkerActor(WorkerSettings(promotion=False))

        def run(batch: Batch, *_: Any) -> Report:
            number, running_s = actor.turn()
            said.append(number)
            assert running_s >= 0.0
            return Report(batch.number)

        monkeypatch.setattr(actor._runner, "run", run)
        assert actor.turn()[0] == -1
        actor.run_parcel(packed([(Batch(number, number, (call,)), []) for number in (3, 4)]))
        actor.run_express(Batch(5, 5, (call,), express=True), [])
        assert actor.turn()[0] == -1
    assert said == [3, 4, -1]
