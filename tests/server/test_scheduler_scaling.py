"""How many workers there are: more when work waits, fewer when there is none for long."""

from __future__ import annotations

from typing import Any

import pytest

from pullback_graph.errors import OutOfMemory
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import JobInput, TaskOutput
from pullback_server.scheduler import (
    Scheduler,
    Settings,
    StartWorker,
    StopWorker,
    Submitted,
    Tick,
)
from pullback_server.scheduler.dependencies import Dependencies
from tests.server.cluster import Cluster, runs
from tests.server.plans import make_plan, make_task, reduce_plan
from tests.server.simulated_pool import CPU, GPU, SimulatedPool

ELASTIC: dict[str, Any] = {"least_workers": {CPU: 1}, "idle_s": 10.0, "grow_s": 1.0}


def test_the_pool_starts_with_the_least():
    """Without work no more than the least are started."""
    assert list(Cluster(workers=8, **ELASTIC).pool.workers) == [1]


def test_waiting_work_brings_workers_up_to_the_most():
    """As many start as finish what waits in time; never more than the most."""
    cluster = Cluster(workers=8, **ELASTIC)
    commands = cluster.submit(reduce_plan(4, seconds=1.0))
    assert sum(isinstance(c, StartWorker) for c in commands) == 3
    commands = cluster.submit(reduce_plan(100, seconds=1.0), job=2)
    assert sum(isinstance(c, StartWorker) for c in commands) == 4


def test_small_work_brings_no_worker():
    """What one worker does in less than the time a start is worth starts none."""
    cluster = Cluster(workers=8, **ELASTIC)
    assert not any(isinstance(c, StartWorker) for c in cluster.submit(reduce_plan(50)))


def test_idle_workers_stop_down_to_the_least():
    """After the idle time those above the least stop, the busy ones never."""
    cluster = Cluster(workers=4, **ELASTIC)
    cluster.submit(reduce_plan(40, seconds=1.0))
    cluster.start()
    assert len(cluster.pool.workers) == 4
    cluster.tick(30.0)
    assert len(cluster.pool.workers) == 4
    cluster.drain()
    assert not any(isinstance(c, StopWorker) for c in cluster.tick(9.0))
    stopped = [c for _ in range(8) for c in cluster.tick(2.5) if isinstance(c, StopWorker)]
    assert len(stopped) == 3
    assert len(cluster.pool.workers) == 1


def test_a_start_that_is_no_longer_wanted_is_taken_back():
    """A worker that the cluster has no room for does not wait for ever."""
    cluster = Cluster(workers=4, **ELASTIC)
    cluster.submit(reduce_plan(40, seconds=1.0))
    assert len(cluster.pool.starting) == 3
    cluster.drain()
    for _ in range(8):
        cluster.tick(2.5)
    assert not cluster.pool.starting


def test_values_of_a_stopped_worker_are_computed_again():
    """What a stopped worker held and a job still needs has its task run again, nothing is lost."""
    cluster = Cluster(workers=2, **ELASTIC)
    cluster.submit(reduce_plan(2, seconds=5.0))
    cluster.start()
    held = [w for w, own in cluster.pool.workers.items() if own.queue]
    cluster.finish(held[-1])
    for _ in range(8):
        cluster.tick(5.0)
    cluster.start()
    cluster.drain()
    ((error, _),) = cluster.pool.replies[1]
    assert error is None


def test_a_pool_may_shrink_to_nothing_and_come_back():
    """With a least of zero the first job starts a worker, and is not refused."""
    scheduler, pool = Scheduler(Settings(workers={CPU: 2}, least_workers={CPU: 0})), SimulatedPool()
    assert not scheduler.handle(Tick(now_s=0.0))
    plan = reduce_plan(2)
    pool.plans[1] = plan
    pool.apply(scheduler.handle(Submitted(now_s=0.0, job=1, plan=Dependencies(plan))))
    pool.apply(scheduler.handle(pool.start()))
    pool.apply(scheduler.handle(*pool.finish(1)))
    assert pool.replies[1][0][0] is None


def test_snapshots_say_how_many_are_wanted():
    """The size the pool goes for is a figure of its own."""
    cluster = Cluster(workers=8, **ELASTIC)
    cluster.submit(reduce_plan(4, seconds=1.0))
    count = cluster.scheduler.snapshot().workers[CPU]
    assert (count.wanted, count.ready, count.starting) == (4, 1, 3)


# --- kinds ---------------------------------------------------------------------------------------


def test_each_kind_runs_its_own_tasks():
    """With workers of both kinds, CPU tasks leave the GPU workers alone."""
    scheduler, pool = Scheduler(Settings(workers={CPU: 1, GPU: 1})), SimulatedPool()
    pool.apply(scheduler.handle(Tick(now_s=0.0)))
    kinds = {command.worker: command.placement for command in pool.starting}
    while pool.starting:
        pool.apply(scheduler.handle(pool.start()))
    tasks = [make_task([JobInput(0)], placement=p, seconds=1.0) for p in (CPU, GPU, CPU)]
    plan = make_plan(tasks, [TaskOutput(k, 0) for k in range(3)])
    found = runs(scheduler.handle(Submitted(now_s=0.0, job=1, plan=Dependencies(plan))))
    assert {kinds[w]: tasks for w, tasks in found.items()} == {CPU: [0], GPU: [1]}


# --- memory --------------------------------------------------------------------------------------


def test_a_task_larger_than_every_worker_is_refused():
    """Its job fails with the sizes; nothing of it is placed."""
    cluster = Cluster(memory_bytes=1000)
    plan = make_plan([make_task([JobInput(0)], peak_bytes=1001)], [TaskOutput(0, 0)])
    assert not runs(cluster.submit(plan))
    error = cluster.error()
    assert isinstance(error, OutOfMemory)
    assert "1001" in str(error)
    assert "1000" in str(error)


@pytest.mark.parametrize("waits", [True, False])
def test_a_task_that_only_a_lost_worker_had_room_for_is_refused(waits: bool):
    """Once all workers there may be are up, and none is as large: others may be busy for ever."""
    cluster = Cluster(memory_bytes=1000)
    plan = make_plan([make_task([JobInput(0)], peak_bytes=900)], [TaskOutput(0, 0)])
    cluster.tell(cluster.pool.lose(1), cluster.pool.lose(2))
    cluster.pool.memory_bytes = 500
    long = make_plan([make_task([JobInput(0)], seconds=1.0)], [TaskOutput(0, 0)])
    cluster.submit(long, job=2)
    if waits:
        cluster.submit(plan)
    cluster.start()
    (worker,) = [w for w, own in cluster.pool.workers.items() if own.queue]
    cluster.submit(long, job=3)
    if not waits:
        cluster.submit(plan)
    cluster.finish(worker)
    assert 3 not in cluster.pool.replies
    assert isinstance(cluster.error(1), OutOfMemory)


def test_a_task_goes_where_there_is_room():
    """A worker that holds another job's values gets no task they leave no room for."""
    cluster = Cluster(workers=3, memory_bytes=1000)
    type, both = ArrayType(FLOAT64, (100,)), [TaskOutput(0, 0), TaskOutput(1, 0)]
    shards = [make_task([JobInput(0)], shard=k, seconds=1.0, type=type) for k in range(2)]
    last = make_task(both, shard=0, seconds=1.0, type=type)
    cluster.submit(make_plan([*shards, last], [TaskOutput(2, 0)]), job=1)
    holding, busy = (w for w, own in cluster.pool.workers.items() if own.queue)
    cluster.finish(holding)
    (idle,) = {1, 2, 3} - {holding, busy}
    for job in (2, 3):
        other = make_plan([make_task([JobInput(0)], peak_bytes=900)], [TaskOutput(0, 0)])
        assert list(runs(cluster.submit(other, job=job))) == ([idle] if job == 2 else [])
    cluster.drain()
    assert all(cluster.pool.replies[job][0][0] is None for job in (1, 2, 3))


@pytest.mark.parametrize("peak_bytes", [0, 1000])
def test_what_fits_exactly_is_placed(peak_bytes: int):
    """The limit itself is allowed."""
    cluster = Cluster(memory_bytes=1000)
    plan = make_plan([make_task([JobInput(0)], peak_bytes=peak_bytes)], [TaskOutput(0, 0)])
    assert runs(cluster.submit(plan))
