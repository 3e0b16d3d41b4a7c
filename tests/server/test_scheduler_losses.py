"""What workers are thought to hold when some of them end, or were given up too soon."""

from __future__ import annotations

from pullback_server.planner.plan import JobInput, Placement, Plan, TaskOutput
from pullback_server.scheduler import (
    Cancel,
    CancelRun,
    Command,
    Free,
    KillWorker,
    Run,
    TaskDone,
    ValuesLost,
)
from pullback_server.scheduler.ready import HomeIndex, ReadyTasks, Turn
from tests.server.cluster import Cluster, runs
from tests.server.plans import make_plan, make_task, reduce_plan
from tests.server.simulated_pool import CPU

FIRST = TaskOutput(0, 0)


def fan_plan(readers: int) -> Plan:
    """A task whose value so many others read, each of them for a second."""
    tasks = [make_task([JobInput(0)], seconds=1.0)]
    tasks += [make_task([FIRST], seconds=1.0) for _ in range(readers)]
    return make_plan(tasks, [TaskOutput(k + 1, 0) for k in range(readers)] or [FIRST])


def fetched(commands: list[Command]) -> list[tuple[int, TaskOutput]]:
    """Who is to be asked for what."""
    own = [command for command in commands if isinstance(command, Run)]
    return [(fetch.holder, fetch.value) for run in own for fetch in run.fetches]


def test_what_a_lost_worker_had_not_begun_is_not_run_again():
    """A batch that waited behind another is given elsewhere; only what ran counts as run again."""
    cluster = Cluster(workers=1, batch_s=1e-3, queue_behind_s=2.0)
    for job in (1, 2):
        cluster.submit(fan_plan(0), job=job)
    assert [run.job for run in cluster.pool.workers[1].queue] == [1, 2]
    cluster.tell(cluster.pool.lose(1))
    cluster.start()
    cluster.drain()
    retries = {job: own.statistics.retries for job, own in cluster.pool.statistics.items()}
    assert retries == {1: 1, 2: 0}
    assert cluster.scheduler.snapshot().retries == 1


def test_a_worker_that_is_being_killed_is_not_asked_for_values():
    """They are lost from when it is to be killed: no attempt is made to read them there."""
    cluster = Cluster(workers=2, grace_s=1.0)
    (holder,) = runs(cluster.submit(fan_plan(1), job=1))
    cluster.submit(reduce_plan(1, seconds=2.5), job=2)
    cluster.tick(0.99)
    behind = cluster.submit(fan_plan(0), job=3, priority=8)
    assert runs(behind) == {holder: [0]}
    cluster.finish(holder)
    cluster.tell(Cancel(now_s=cluster.pool.now_s, job=3))
    commands = cluster.tick(1.5) + cluster.finish(3 - holder)
    assert [command.worker for command in commands if isinstance(command, KillWorker)] == [holder]
    assert holder not in [who for who, _ in fetched(commands)]
    assert runs(commands) == {3 - holder: [0]}
    cluster.drain()
    assert cluster.error(1) is None
    assert not cluster.pool.misses


def test_what_was_brought_after_all_is_held():
    """A worker that was brought a value in time has it, whoever found it gone later."""
    cluster = Cluster(workers=3)
    cluster.submit(fan_plan(4), job=1)
    (holder,) = [w for w, own in cluster.pool.workers.items() if own.in_flight]
    cluster.finish(holder)
    flights = {w: own.queue[0] for w, own in cluster.pool.workers.items()}
    first, second = sorted({1, 2, 3} - {holder})
    del cluster.pool.workers[holder].store[1, FIRST]
    cluster.tell(
        ValuesLost(
            now_s=0.0, worker=first, batch=flights[first].batch, values=(FIRST,), holder=holder
        )
    )
    task = flights[second].calls[0].task
    cluster.tell(TaskDone(now_s=0.0, worker=second, batch=flights[second].batch, task=task))
    assert cluster.scheduler._jobs[1].held.has(second, FIRST)
    assert not cluster.scheduler._jobs[1].held.has(first, FIRST)


def test_what_a_stopped_batch_was_to_be_brought_is_not_held():
    """A copy that was called off before its values came leaves none, whatever was meant to come."""
    cluster = Cluster(workers=2, late_factor=3.0, late_least_s=2.0)
    last = make_task([FIRST, TaskOutput(1, 0)], seconds=1.0)
    plan = make_plan([*fan_plan(1).tasks, last], [TaskOutput(2, 0)])
    for job in (10, 11):  # both workers have had the programs
        cluster.submit(plan, job=job)
    cluster.drain()
    (late,) = runs(cluster.submit(plan))
    cluster.finish(late)
    (copy,) = [c for c in cluster.tick(5.0) if isinstance(c, Run)]
    assert [fetch.value for fetch in copy.fetches] == [FIRST]
    commands = cluster.finish(late)
    assert CancelRun(copy.worker, copy.batch) in commands
    assert Free(copy.worker, 1, (FIRST,)) in cluster.finish(copy.worker)
    assert not cluster.scheduler._jobs[1].held.has(copy.worker, FIRST)


def test_a_copy_that_was_too_late_is_in_time_for_what_was_lost_since():
    """The first to be done dies; what reads its value goes on with that of the second."""
    cluster = Cluster(workers=2, late_factor=3.0, late_least_s=2.0)
    for job in (10, 11):  # both workers have had the programs
        cluster.submit(fan_plan(1), job=job)
    cluster.drain()
    (late,) = runs(cluster.submit(fan_plan(1)))
    (copy,) = [c for c in cluster.tick(5.0) if isinstance(c, Run)]
    cluster.finish(late)
    cluster.tell(cluster.pool.lose(late))
    commands = cluster.tell(*cluster.pool.finish(copy.worker, heed=False))
    assert runs(commands) == {copy.worker: [1]}
    cluster.drain()
    assert cluster.error() is None


def test_a_home_is_that_of_both_kinds_of_task():
    """What a job has for workers with and without a GPU is counted by itself."""
    index = HomeIndex()
    cpu, gpu = ReadyTasks(7, index), ReadyTasks(7, index)
    cpu.add(0, 1)
    gpu.add(1, 1)
    cpu.remove(0)
    assert index.of(1) == (7,)
    gpu.remove(1)
    assert not index.jobs


def test_who_is_called_is_not_called_while_others_are_looked_at():
    """What is called meanwhile waits for the next time."""
    index = HomeIndex()
    called = index.take_called()
    index.add(1, 7, Turn(None, 7))
    assert not called
    assert [*index.take_called()] == [1]


def test_a_gpu_task_belongs_to_no_worker_without_one():
    """Its operand is on a worker of another kind, where it can't run: it is brought from there."""
    cluster = Cluster(workers=1, gpu_workers=1)
    tasks = [
        make_task([JobInput(0)], seconds=0.1),
        make_task([FIRST], seconds=0.1, placement=Placement.GPU),
        make_task([FIRST], seconds=0.1),
    ]
    cluster.submit(make_plan(tasks, [TaskOutput(1, 0), TaskOutput(2, 0)]), job=1)
    (runner,) = [w for w, own in cluster.pool.workers.items() if own.in_flight]
    commands = cluster.finish(runner)
    assert runs(commands) == {3 - runner: [1]} or runs(commands) == {runner: [2], 3 - runner: [1]}
    cluster.drain()
    assert cluster.error(1) is None


def test_an_idle_worker_that_is_read_from_is_not_stopped():
    """A pool that shrinks waits until what it holds is where it is to be read."""
    cluster = Cluster(workers=2, least_workers={CPU: 0}, idle_s=5.0, late_factor=0.0)
    cluster.submit(fan_plan(0), job=9)
    cluster.submit(fan_plan(2), job=1)
    cluster.start()
    (holder,) = [w for w, own in cluster.pool.workers.items() if own.queue[0].job == 1]
    cluster.finish(holder)
    cluster.finish(3 - holder)
    cluster.finish(holder)
    assert [run.fetches[0].holder for run in cluster.pool.workers[3 - holder].queue] == [holder]
    cluster.tick(6.0)
    cluster.tick(6.0)
    cluster.finish(3 - holder)
    assert cluster.error(1) is None
    assert not cluster.pool.misses
