"""The pool's bookkeeping without Ray: batches out of commands, events out of reports."""

from __future__ import annotations

import numpy as np

from pullback_graph.errors import ExecutionError
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import Block, JobInput, Placement, TaskOutput
from pullback_server.pool_job import SMALL_BYTES, PoolJob, events_of
from pullback_server.pool_settings import LEAST_STORE_BYTES, PoolSettings
from pullback_server.scheduler import (
    HERE,
    BatchEnded,
    Call,
    Dependencies,
    Fetch,
    Run,
    TaskDone,
    TaskFailed,
    ValuesLost,
)
from pullback_worker.batch import Freed, InputOperand, Report, TaskReport, ValueKey
from tests.server.plans import make_plan, make_task, reduce_plan

LARGE = ArrayType(FLOAT64, (SMALL_BYTES // 8 + 1,))


def run_of(*calls: Call, fetches: tuple[Fetch, ...] = ()) -> Run:
    """A command for worker 1."""
    return Run(worker=1, batch=5, job=9, calls=calls, fetches=fetches)


def test_a_batch_says_where_operands_are():
    """Blocks of inputs and values of tasks keep their places; each new graph travels once."""
    plan = Dependencies(reduce_plan(2))
    job = PoolJob(9, plan, [np.zeros(4)])
    run = run_of(Call(0, (0,), ()), Call(1, (), ()), Call(2, (), (0,)))
    batch = job.batch(run, {}, True, [Freed(3, None)])
    assert [call.operands for call in batch.calls] == [
        (InputOperand(0, 0, 0, 1),),
        (InputOperand(0, 0, 1, 2),),
        (ValueKey(0, 0), ValueKey(1, 0)),
    ]
    assert [call.keep for call in batch.calls] == [(0,), (), ()]
    assert len(batch.graphs) == 2
    assert batch.opens
    assert batch.freed == (Freed(3, None),)


def test_known_graphs_do_not_travel_again():
    """A worker is sent only the graphs it does not have."""
    plan = Dependencies(reduce_plan(2))
    known = {plan.fingerprints[0]: None}
    batch = PoolJob(9, plan, []).batch(run_of(Call(0, (), ()), Call(2, (), ())), known, False, [])
    assert [graph.fingerprint for graph in batch.graphs] == [plan.fingerprints[2]]


def test_large_values_for_other_workers_come_apart_and_results_with_the_report():
    """Only what another worker is to read is an object of its own."""
    plan = Dependencies(reduce_plan(4, type=LARGE))
    calls = [Call(task, (), (0,)) for task in (5, 6)]
    batch = PoolJob(9, plan, []).batch(run_of(*calls), {}, False, [])
    assert batch.apart == (ValueKey(5, 0),)
    small = Dependencies(reduce_plan(4))
    assert not PoolJob(9, small, []).batch(run_of(*calls), {}, False, []).apart


def test_a_whole_input_and_a_block_of_another_axis():
    """An operand without a block is the whole input."""
    task = make_task([JobInput(1), JobInput(0, Block(1, 2, 3))])
    plan = Dependencies(make_plan([task], [TaskOutput(0, 0)], inputs=2))
    batch = PoolJob(9, plan, []).batch(run_of(Call(0, (), ())), {}, False, [])
    assert batch.calls[0].operands == (InputOperand(1), InputOperand(0, 1, 2, 3))


def test_a_report_becomes_events_in_order():
    """Tasks done, then what was lost by holder, then what failed, then the end of the batch."""
    error = ExecutionError("no")
    report = Report(
        5,
        done=[
            TaskReport(0, 1.0, 0.5, False, 100, "numpy-2", 0.125),
            TaskReport(1, 2.0, 0.0, True, 50),
        ],
        failed=(4, error),
        lost=[ValueKey(7, 0), ValueKey(8, 1), ValueKey(6, 0)],
        busy_s=4.0,
        transferring_s=0.25,
    )
    fetches = (Fetch(TaskOutput(7, 0), HERE), Fetch(TaskOutput(8, 1), 2))
    events = events_of(report, run_of(fetches=fetches), frozenset(), 10.0)
    first, second, *losses, failed, ended = events
    assert isinstance(first, TaskDone)
    assert (first.task, first.running_s, first.compiling_s) == (0, 1.0, 0.5)
    assert (first.peak_bytes, first.transferring_s, first.program_cache_hit) == (100, 0.25, False)
    assert first.started_s == 10.0 - 4.0 + 0.25 + 0.125
    assert isinstance(second, TaskDone)
    assert (second.task, second.transferring_s) == (1, 0.0)
    assert {(e.holder, e.values) for e in losses if isinstance(e, ValuesLost)} == {
        (HERE, (TaskOutput(7, 0),)),
        (2, (TaskOutput(8, 1),)),
        (1, (TaskOutput(6, 0),)),
    }
    assert isinstance(failed, TaskFailed)
    assert failed.error is error
    assert isinstance(ended, BatchEnded)
    assert ended.busy_s == 4.0
    assert {(event.now_s, getattr(event, "batch", None)) for event in events} == {(10.0, 5)}


def test_a_result_lost_on_its_way_counts_as_not_computed():
    """The task of a value that could not be read is left to run again."""
    report = Report(5, done=[TaskReport(0, 1.0, 0.0, True, 0), TaskReport(1, 1.0, 0.0, True, 0)])
    events = events_of(report, run_of(), frozenset({TaskOutput(0, 0)}), 10.0)
    assert [event.task for event in events if isinstance(event, TaskDone)] == [1]


def test_dropped_values_are_forgotten_and_results_kept():
    """Freeing what was sent or exported leaves the results for the reply."""
    value = TaskOutput(0, 0)
    job = PoolJob(9, Dependencies(reduce_plan(1)), [])
    job.sent[value] = job.exports[value] = job.results[value] = np.zeros(1)
    job.drop([value, TaskOutput(4, 0)])
    assert not job.sent
    assert not job.exports
    assert value in job.results


def test_the_pool_sizes_itself(tmp_path):
    """The object store fits the machine unless it was given; workers share the memory."""
    settings = PoolSettings(tmp_path, workers=4)
    assert LEAST_STORE_BYTES <= settings.local_store_bytes <= 8 << 30
    assert PoolSettings(tmp_path, store_bytes=1 << 30).local_store_bytes == 1 << 30
    assert PoolSettings(tmp_path, store_bytes=1).local_store_bytes == LEAST_STORE_BYTES
    assert 0 < settings.memory_share <= PoolSettings(tmp_path, workers=1).memory_share < 1


def test_only_workers_with_gpus_ask_for_them(tmp_path):
    """GPU workers ask for their fraction of one; CPU workers beside them keep XLA off it."""
    settings = PoolSettings(
        tmp_path, workers=2, gpu_workers=1, gpus_per_worker=0.5, xla_device="gpu"
    )
    assert (settings.gpus_of(Placement.CPU), settings.gpus_of(Placement.GPU)) == (0.0, 0.5)
    assert (settings.device_of(Placement.CPU), settings.device_of(Placement.GPU)) == ("cpu", "gpu")
    assert PoolSettings(tmp_path, workers=2, xla_device="gpu").device_of(Placement.CPU) == "gpu"
