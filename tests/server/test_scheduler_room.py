"""Memory of workers, as the scheduler counts it: held values leave room for what is to come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_graph.errors import OutOfMemory
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import JobInput, Phase, Plan, TaskOutput
from pullback_server.scheduler import Free, Run
from tests.server.cluster import Cluster
from tests.server.plans import make_plan, make_task

VALUE = ArrayType(FLOAT64, (100,))
VALUE_BYTES = 800
LARGEST_BYTES = 4 * VALUE_BYTES
"""Of a stage's task: two operands, two results, at most."""


def staged(stages: int, micro_batches: int, seconds: float = 0.01) -> Plan:
    """Forward stages that each leave a residual, then backward ones that read them, in reverse."""
    tasks = []
    passed: dict[int, TaskOutput] = {}
    residual: dict[tuple[int, int], TaskOutput] = {}
    for stage in range(stages):
        for batch in range(micro_batches):
            operands = [passed[batch]] if stage else [JobInput(0)]
            tasks.append(
                make_task(
                    operands,
                    outputs=2,
                    phase=Phase.FORWARD,
                    shard=stage,
                    seconds=seconds,
                    type=VALUE,
                    peak_bytes=LARGEST_BYTES,
                )
            )
            passed[batch] = TaskOutput(len(tasks) - 1, 0)
            residual[stage, batch] = TaskOutput(len(tasks) - 1, 1)
    for stage in reversed(range(stages)):
        for batch in range(micro_batches):
            tasks.append(
                make_task(
                    [passed[batch], residual[stage, batch]],
                    phase=Phase.BACKWARD,
                    shard=stage,
                    seconds=seconds,
                    type=VALUE,
                    peak_bytes=LARGEST_BYTES,
                )
            )
            passed[batch] = TaskOutput(len(tasks) - 1, 0)
    return make_plan(tasks, list(passed.values()))


@settings(deadline=None, max_examples=60)
@given(
    stages=st.integers(1, 5),
    micro_batches=st.integers(1, 6),
    workers=st.integers(1, 4),
    spare=st.integers(0, 12),
    seconds=st.sampled_from([1e-4, 0.01, 1.0]),
)
def test_residuals_of_stages_never_exceed_a_worker_s_memory(
    stages: int, micro_batches: int, workers: int, spare: int, seconds: float
):
    """However many micro-batches: all are done, with no room but for one task as well.

    The simulated worker holds to account at every task what it holds and runs.
    """
    memory_bytes = LARGEST_BYTES + spare * VALUE_BYTES
    cluster = Cluster(workers=workers, memory_bytes=memory_bytes)
    cluster.submit(staged(stages, micro_batches, seconds))
    cluster.drain()
    assert cluster.error() is None
    assert cluster.pool.misses == 0
    assert cluster.pool.most_bytes <= memory_bytes
    assert not any(own.store for own in cluster.pool.workers.values())


def test_where_there_is_room_residuals_stay_with_their_worker():
    """Nothing of them goes to the dispatcher."""
    cluster = Cluster(workers=1, memory_bytes=1 << 30)
    sent = []
    cluster.submit(staged(2, 4))
    while busy := [w for w, own in cluster.pool.workers.items() if own.queue]:
        run = cluster.pool.workers[busy[0]].queue[0]
        sent += [(call.task, output) for call in run.calls for output in call.send]
        cluster.finish(busy[0])
    assert not [k for k in sent if k[1] == 1]


def test_two_jobs_that_hold_memory_both_end():
    """Each leaves room for the largest task of the other, so neither waits for ever."""
    cluster = Cluster(workers=2, memory_bytes=LARGEST_BYTES + VALUE_BYTES)
    for job in (1, 2, 3):
        cluster.submit(staged(3, 3, seconds=1.0), job=job, client=str(job))
    cluster.drain()
    assert [cluster.error(job) for job in (1, 2, 3)] == [None] * 3


def test_what_is_brought_for_one_batch_is_dropped_behind_it():
    """A value that a worker has no room to keep is not kept for its other readers there."""
    first = make_task([JobInput(0)], type=VALUE, seconds=1.0, peak_bytes=VALUE_BYTES)
    spread = [
        make_task([TaskOutput(0, 0)], type=VALUE, seconds=1.0, peak_bytes=2 * VALUE_BYTES, shard=k)
        for k in range(4)
    ]
    plan = make_plan([first, *spread], [TaskOutput(k, 0) for k in range(1, 5)])
    cluster = Cluster(workers=2, memory_bytes=2 * VALUE_BYTES)
    cluster.submit(plan)
    commands = []
    while busy := [w for w, own in cluster.pool.workers.items() if own.queue]:
        commands += cluster.finish(busy[-1])
    assert cluster.error() is None
    fetched = [c for c in commands if isinstance(c, Run) and c.fetches]
    freed = [c for c in commands if isinstance(c, Free) and c.values == (TaskOutput(0, 0),)]
    assert len(fetched) >= 2
    assert freed


def test_a_job_with_a_late_task_too_large_is_refused_before_any_of_it_runs():
    """With the task, what it takes and what there is."""
    cluster = Cluster(workers=2, memory_bytes=LARGEST_BYTES)
    tasks = [
        make_task([JobInput(0)], peak_bytes=LARGEST_BYTES),
        make_task([TaskOutput(0, 0)], peak_bytes=LARGEST_BYTES + 1),
    ]
    commands = cluster.submit(make_plan(tasks, [TaskOutput(1, 0)]))
    assert not [c for c in commands if isinstance(c, Run)]
    error = cluster.error()
    assert isinstance(error, OutOfMemory)
    assert "task 1, estimated at 3201 bytes" in error.message
    assert "memory of 3200 bytes" in error.message


@pytest.mark.parametrize("memory_bytes", [0, 1 << 40])
def test_without_a_limit_nothing_is_passed_on(memory_bytes: int):
    """As before there were limits."""
    cluster = Cluster(workers=1, memory_bytes=memory_bytes)
    cluster.submit(staged(3, 2))
    assert not cluster.scheduler._jobs[1].passed_on
    cluster.drain()
    assert cluster.error() is None


def test_what_follows_in_a_batch_counts_what_came_before_it():
    """Two tasks behind one each fit beside it; together they go in two batches, or apart."""
    wide = ArrayType(FLOAT64, (128,))
    first = make_task([JobInput(0)], type=ArrayType(FLOAT64, (4,)), seconds=1e-6, peak_bytes=32)
    small = make_task([TaskOutput(0, 0)], type=wide, seconds=1e-6, peak_bytes=1056)
    large = make_task([TaskOutput(0, 0)], type=wide, seconds=1e-6, peak_bytes=3104)
    results = [TaskOutput(0, 0), TaskOutput(1, 0), TaskOutput(2, 0)]
    cluster = Cluster(workers=1, memory_bytes=4096)
    cluster.submit(make_plan([first, small, large], results))
    cluster.drain()
    assert cluster.pool.most_bytes <= 4096


def test_what_is_brought_for_a_later_task_counts_beside_an_earlier_one():
    """All of it comes before the first task of a batch runs: a sum of what is there waits its turn.

    Worker 2 has room for its second task, or for the other operand of the sum behind it.
    """

    def of_shard(shard: int, peak_bytes: int = VALUE_BYTES):
        return make_task([JobInput(0)], type=VALUE, seconds=1.0, shard=shard, peak_bytes=peak_bytes)

    parts = [of_shard(0), of_shard(0), of_shard(1), of_shard(1, LARGEST_BYTES)]
    total = make_task(
        [TaskOutput(0, 0), TaskOutput(3, 0)],
        phase=Phase.REDUCE,
        type=VALUE,
        seconds=1e-6,
        peak_bytes=3 * VALUE_BYTES,
    )
    plan = make_plan([*parts, total], [TaskOutput(k, 0) for k in (1, 2, 4)])
    cluster = Cluster(workers=2, memory_bytes=LARGEST_BYTES + VALUE_BYTES // 2)
    runs = [c for c in cluster.submit(plan) if isinstance(c, Run)]
    for worker in [run.worker for run in runs]:
        runs += [c for c in cluster.finish(worker) if isinstance(c, Run)]
    assert [[call.task for call in run.calls] for run in runs] == [[0], [2], [1], [3]]
    cluster.drain()
    assert cluster.error() is None
    assert cluster.pool.most_bytes <= LARGEST_BYTES + VALUE_BYTES // 2
