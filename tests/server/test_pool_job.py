"""The pool's bookkeeping without Ray: batches out of commands, events out of reports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pullback_graph.errors import ExecutionError
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.held_input import SMALL_BYTES, HeldInput
from pullback_server.planner.plan import Block, JobInput, Placement, Plan, TaskOutput
from pullback_server.pool_job import MOST_GROUP_BYTES, PoolJob, carriers_of, events_of
from pullback_server.pool_settings import LEAST_STORE_BYTES, PoolSettings
from pullback_server.pool_worker import Flight, PoolWorker
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
from pullback_worker.batch import Freed, InputOperand, Packed, Report, TaskReport, ValueKey
from tests.server.plans import make_plan, make_task, reduce_plan

ROW = SMALL_BYTES
"""Bytes of a row of an input that is an object of its own."""
LARGE = ArrayType(FLOAT64, (SMALL_BYTES // 8 + 1,))


def run_of(*calls: Call, fetches: tuple[Fetch, ...] = ()) -> Run:
    """A command for worker 1."""
    return Run(worker=1, batch=5, job=9, calls=calls, fetches=fetches)


def job_of(plan: Plan, *apart: InputOperand, row_bytes: int = 32) -> PoolJob:
    """A job with inputs of four rows, carried whole where it is not said how."""
    inputs = [HeldInput(np.zeros((4, row_bytes), np.uint8), "here") for _ in plan.inputs]
    carriers = apart or tuple(InputOperand(k) for k in range(len(inputs)))
    return PoolJob(9, Dependencies(plan), inputs, dict.fromkeys(carriers, "an array"))


def worker_of(number: int = 1, machine: str = "here") -> PoolWorker:
    """A worker that is up."""
    return PoolWorker(number, Placement.CPU, None, machine=machine)


def test_a_batch_says_where_operands_are():
    """Blocks of inputs and values of tasks keep their places; each new graph travels once."""
    job, worker = job_of(reduce_plan(2)), worker_of()
    run = run_of(Call(0, (0,), ()), Call(1, (), ()), Call(2, (), (0,)))
    worker.freed.append(Freed(3, None))
    batch = job.batch(run, worker)
    assert [call.operands for call in batch.calls] == [
        (InputOperand(0, 0, 0, 1),),
        (InputOperand(0, 0, 1, 2),),
        (ValueKey(0, 0), ValueKey(1, 0)),
    ]
    assert [call.keep for call in batch.calls] == [(0,), (), ()]
    assert len(batch.graphs) == 2
    assert batch.inputs == (InputOperand(0),)
    assert batch.freed == (Freed(3, None),)


def test_an_express_batch_frees_nothing():
    """It may be done before batches that were sent sooner, and so may what it would free."""
    job, worker = job_of(reduce_plan(1)), worker_of()
    worker.freed.append(Freed(3, None))
    batch = job.batch(replace(run_of(Call(0, (), (0,))), express=True), worker)
    assert batch.express
    assert batch.freed == ()


def test_known_graphs_do_not_travel_again():
    """A worker is sent only the graphs it does not have."""
    job, worker = job_of(reduce_plan(2)), worker_of()
    worker.known[job.plan.fingerprints[0]] = None
    batch = job.batch(run_of(Call(0, (), ()), Call(2, (), ())), worker)
    assert [graph.fingerprint for graph in batch.graphs] == [job.plan.fingerprints[2]]


def test_large_values_for_other_workers_come_apart_and_results_with_the_report():
    """Only what another worker is to read is an object of its own."""
    calls = [Call(task, (), (0,)) for task in (1, 4, 5, 6)]
    batch = job_of(reduce_plan(4, type=LARGE)).batch(run_of(*calls), worker_of())
    assert batch.apart == ((ValueKey(1, 0),),)  # the last sum is of what is at hand by then
    assert not job_of(reduce_plan(4)).batch(run_of(*calls), worker_of()).apart


def test_values_with_the_same_readers_come_together():
    """One object for what one task reads, up to a size; another's values are not moved along."""
    calls = [Call(task, (), (0,)) for task in range(3)]
    job = job_of(reduce_plan(4, type=LARGE))
    batch = job.batch(run_of(*calls), worker_of())
    first, second, third = (ValueKey(task, 0) for task in range(3))
    assert batch.apart == ((first, second), (third,))
    found = carriers_of(batch.apart, ["both", "one"])
    assert found == {
        TaskOutput(0, 0): Packed("both", 0),
        TaskOutput(1, 0): Packed("both", 1),
        TaskOutput(2, 0): "one",
    }
    huge = ArrayType(FLOAT64, (MOST_GROUP_BYTES // 16 + 1,))
    apart = job_of(reduce_plan(4, type=huge)).batch(run_of(*calls), worker_of()).apart
    assert apart == ((first,), (second,), (third,))


def test_a_whole_input_and_a_block_of_another_axis():
    """An operand without a block is the whole input."""
    task = make_task([JobInput(1), JobInput(0, Block(1, 2, 3))])
    job = job_of(make_plan([task], [TaskOutput(0, 0)], inputs=2))
    batch = job.batch(run_of(Call(0, (), ())), worker_of())
    assert batch.calls[0].operands == (InputOperand(1), InputOperand(0, 1, 2, 3))


def test_a_worker_is_given_what_its_batches_read_and_once():
    """Blocks that are carried by themselves come when they are first read; no other block does."""
    blocks = [InputOperand(0, 0, k, k + 1) for k in range(4)]
    job, first, second = job_of(reduce_plan(4), *blocks), worker_of(1), worker_of(2)
    assert job.batch(run_of(Call(0, (), ()), Call(1, (), ())), first).inputs == (*blocks[:2],)
    assert job.batch(run_of(Call(1, (), ()), Call(2, (), ())), first).inputs == (blocks[2],)
    assert job.batch(run_of(Call(2, (), ())), second).inputs == (blocks[2],)
    assert not job.batch(run_of(Call(2, (), ())), second).inputs


def test_an_input_that_comes_whole_brings_its_blocks():
    """A worker that has all of an input, or is given it by the same batch, is given no block."""
    tasks = [make_task([JobInput(0, Block(0, 0, 2)), JobInput(0)]), make_task([JobInput(1)])]
    tasks.append(make_task([JobInput(0, Block(0, 2, 4))]))
    plan = make_plan(tasks, [TaskOutput(0, 0)], inputs=2)
    whole, block = InputOperand(0), InputOperand(0, 0, 2, 4)
    job = job_of(plan, whole, block, InputOperand(1))
    worker, other = worker_of(1), worker_of(2)
    assert job.batch(run_of(Call(0, (), ())), worker).inputs == (whole,)
    assert not job.batch(run_of(Call(2, (), ())), worker).inputs
    assert job.batch(run_of(Call(2, (), ())), other).inputs == (block,)
    assert job.batch(run_of(Call(1, (), ())), other).inputs == (InputOperand(1),)


def test_bytes_are_counted_once_a_worker_and_once_a_machine():
    """Workers on one machine share what came there; one on the dispatcher's has it already."""
    job, task = job_of(reduce_plan(4), row_bytes=ROW), run_of(Call(0, (), ()), Call(1, (), ()))
    job.batch(task, worker_of(1, "here"))
    assert (job.traffic.moved_bytes, job.traffic.network_bytes) == (2 * ROW, 0)
    job.batch(task, worker_of(2, "there"))
    job.batch(task, worker_of(3, "there"))
    assert (job.traffic.moved_bytes, job.traffic.network_bytes) == (6 * ROW, 2 * ROW)


def test_a_small_input_counts_for_every_job_that_brings_it():
    """It travels in a message, whole, whatever block of it is read; once a worker."""
    first, second = job_of(reduce_plan(4)), job_of(reduce_plan(4))
    second.inputs = first.inputs
    worker = worker_of(1, "there")
    for job in (first, second):
        for task in (0, 3):
            job.batch(run_of(Call(task, (), ())), worker)
        assert (job.traffic.moved_bytes, job.traffic.network_bytes) == (128, 128)
        worker.given.clear()


def test_what_a_job_before_brought_is_not_moved_again():
    """An input that stays with the server counts for the first job that a worker reads it for."""
    first, second = (job_of(reduce_plan(4), row_bytes=ROW) for _ in range(2))
    second.inputs = first.inputs
    for job in (first, second):
        job.batch(run_of(Call(3, (), ())), worker_of(1, "there"))
    assert (first.traffic.moved_bytes, first.traffic.network_bytes) == (ROW, ROW)
    assert (second.traffic.moved_bytes, second.traffic.network_bytes) == (0, 0)


def test_values_count_where_they_go():
    """What its maker reads was not moved; what another reads, or is handed back, was."""
    job, value = job_of(reduce_plan(2, type=LARGE)), TaskOutput(0, 0)
    job.made([value], worker_of(1, "there"))
    job.bring(value, 1, "there")
    assert job.traffic.moved_bytes == 0
    job.bring(value, 2, "there")
    assert (job.traffic.moved_bytes, job.traffic.network_bytes) == (LARGE.size_bytes, 0)
    job.bring(value, HERE, "here")
    assert (job.traffic.moved_bytes, job.traffic.network_bytes) == (
        2 * LARGE.size_bytes,
        LARGE.size_bytes,
    )


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
    events = events_of(report, Flight(run_of(fetches=fetches), None, {}, 1000), frozenset(), 10.0)
    first, second, *losses, failed, ended = events
    assert isinstance(first, TaskDone)
    assert (first.task, first.running_s, first.compiling_s) == (0, 1.0, 0.5)
    assert (first.peak_bytes, first.program_cache_hit) == (100, False)
    assert first.started_s == 10.0 - 4.0 + 0.25 + 0.125
    assert isinstance(second, TaskDone)
    assert second.task == 1
    assert (first.network_bytes, second.network_bytes) == (1000, 0)
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


def test_waiting_for_what_was_lost_is_no_transfer():
    """It says nothing of how fast arrays move, which is what decides where tasks run."""
    done = [TaskReport(0, 1.0, 0.0, True, 0), TaskReport(1, 1.0, 0.0, True, 0)]
    for lost, expected_s in (([], [0.25, 0.0]), ([ValueKey(7, 0)], [0.0, 0.0])):
        report = Report(5, done=done, lost=lost, busy_s=4.0, transferring_s=0.25)
        events = events_of(report, Flight(run_of(), None, {}), frozenset(), 10.0)
        ran = [event for event in events if isinstance(event, TaskDone)]
        assert [event.transferring_s for event in ran] == expected_s
        assert [event.started_s for event in ran] == [6.25, 6.25]


def test_a_result_lost_on_its_way_counts_as_not_computed():
    """The task of a value that could not be read is left to run again."""
    report = Report(5, done=[TaskReport(0, 1.0, 0.0, True, 0), TaskReport(1, 1.0, 0.0, True, 0)])
    events = events_of(report, Flight(run_of(), None, {}), frozenset({TaskOutput(0, 0)}), 10.0)
    assert [event.task for event in events if isinstance(event, TaskDone)] == [1]


def test_dropped_values_are_forgotten_and_results_kept():
    """Freeing what was sent or exported leaves the results for the reply."""
    value = TaskOutput(0, 0)
    job = job_of(reduce_plan(1))
    job.sent[value] = job.exports[value] = job.results[value] = np.zeros(1)
    job.drop(HERE, [value, TaskOutput(4, 0)])
    assert not job.sent
    assert not job.exports
    assert value in job.results


def test_a_worker_that_drops_its_copy_leaves_the_one_here_to_others():
    """What was only brought for a batch is read by others after; what a worker had alone is not."""
    here, exported = TaskOutput(0, 0), TaskOutput(1, 0)
    job = job_of(reduce_plan(2))
    job.sent[here] = job.exports[exported] = "a reference"
    job.drop(1, [here, exported])
    assert job.sent == {here: "a reference"}
    assert not job.exports


def test_what_a_batch_did_not_find_where_it_ran_may_still_be_here():
    """What it was brought and could not have is forgotten; what its worker lacked says nothing."""
    brought, own = TaskOutput(0, 0), TaskOutput(1, 0)
    job = job_of(reduce_plan(2))
    job.sent[brought] = job.sent[own] = "a reference"
    job.lost(run_of(Call(2, (), (0,)), fetches=(Fetch(brought, HERE),)), [brought, own])
    assert job.sent == {own: "a reference"}


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
