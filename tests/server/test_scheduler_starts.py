"""Workers that do not start: what hangs is ended, and nobody waits in vain without being told."""

from __future__ import annotations

import pytest

from pullback_graph.errors import ServiceError
from pullback_server.planner.plan import JobInput, TaskOutput
from pullback_server.scheduler import Command, KillWorker, StartWorker, WorkerLost
from pullback_server.scheduler.starts import FIRST_DELAY_S, LONGEST_DELAY_S, MOST_FAILED
from tests.server.cluster import Cluster, runs
from tests.server.plans import make_plan, make_task, reduce_plan
from tests.server.simulated_pool import CPU, GPU

START_S = 100.0
LONGEST_S = 2 * START_S + LONGEST_DELAY_S
"""From the first start that failed, or from when a job came, until it is told."""
LATE = f"it had a process and did not come up within {START_S:g} s"


def losing_its_worker(gpu_workers: int = 0) -> Cluster:
    """A pool that was up and has lost its one worker without a GPU."""
    cluster = Cluster(workers=1, gpu_workers=gpu_workers, start_s=START_S)
    (worker,) = [w for w, own in cluster.pool.workers.items() if own.placement is CPU]
    cluster.tell(cluster.pool.lose(worker))
    return cluster


def killed(commands: list[Command]) -> list[int]:
    """The workers that are to be killed."""
    return [command.worker for command in commands if isinstance(command, KillWorker)]


def see_it_end(cluster: Cluster) -> None:
    """The pool says that a worker that was killed is gone."""
    (worker,) = cluster.pool.killed
    cluster.pool.killed.clear()
    cluster.tell(WorkerLost(now_s=cluster.pool.now_s, worker=worker, cause=LATE))


def fail_starts(cluster: Cluster, count: int) -> None:
    """So many workers do not start, one after another."""
    for _ in range(count):
        cluster.tick(LONGEST_DELAY_S)
        cluster.tell(cluster.pool.fail_start(cause="no such library"))


def fail_late(cluster: Cluster, limit_s: float = START_S) -> None:
    """The worker that starts has a process, hangs, and is killed; the next one has a process."""
    cluster.tell(cluster.pool.place())
    cluster.tick(limit_s)
    see_it_end(cluster)
    cluster.tick(LONGEST_DELAY_S)
    cluster.tell(cluster.pool.place())


def test_a_worker_that_hangs_while_it_starts_is_replaced():
    """It is killed when its time is over, counted as lost, and another starts after a pause."""
    cluster = losing_its_worker()
    lost = cluster.scheduler.snapshot().workers_lost
    cluster.tell(cluster.pool.place())
    (hung,) = [command.worker for command in cluster.pool.starting]
    assert not killed(cluster.tick(START_S - 1.0))
    assert killed(cluster.tick(1.0)) == [hung]
    see_it_end(cluster)
    assert cluster.scheduler.snapshot().workers_lost == lost + 1
    assert not cluster.pool.starting
    cluster.tick(2 * FIRST_DELAY_S)
    cluster.start()
    cluster.submit(reduce_plan(2))
    cluster.drain()
    assert cluster.error() is None


def test_a_process_that_is_told_of_again_has_no_longer():
    """It is looked at once, when its time from the first is over."""
    cluster = losing_its_worker()
    cluster.tell(cluster.pool.place())
    alarms = len(cluster.scheduler._board.alarms)
    cluster.tick(START_S - 1.0)
    cluster.tell(*[cluster.pool.place() for _ in range(50)])
    assert len(cluster.scheduler._board.alarms) == alarms
    assert killed(cluster.tick(1.0))


def test_a_worker_without_a_process_may_wait_for_ever():
    """A cluster that has no room for it yet may make some; to ask anew would help nobody."""
    cluster = losing_its_worker()
    cluster.submit(reduce_plan(2))
    assert not killed([c for _ in range(50) for c in cluster.tick(START_S)])
    assert len(cluster.pool.starting) == 1
    assert not cluster.pool.replies


def test_a_worker_that_was_up_in_time_is_left_alone():
    """How long it took to start says nothing of it then."""
    cluster = losing_its_worker()
    cluster.tell(cluster.pool.place())
    cluster.tick(START_S - 1.0)
    cluster.start()
    assert not killed(cluster.tick(START_S))
    assert runs(cluster.submit(reduce_plan(2)))


def test_each_start_after_a_late_one_may_take_twice_as_long():
    """A machine on which all take so long has workers in the end."""
    cluster = losing_its_worker()
    cluster.tell(cluster.pool.place())
    for doubling in range(6):
        limit_s = START_S * 2 ** min(doubling, 3)
        assert not killed(cluster.tick(limit_s - 1.0))
        assert killed(cluster.tick(1.0))
        see_it_end(cluster)
        cluster.tick(LONGEST_DELAY_S)
        cluster.tell(cluster.pool.place())
    cluster.start()
    cluster.tell(cluster.pool.lose(*cluster.pool.workers))
    cluster.tell(cluster.pool.place())
    assert killed(cluster.tick(START_S))


def test_jobs_that_wait_in_vain_are_told_why():
    """When start after start failed and no worker is up; one that succeeds later takes new jobs."""
    cluster = losing_its_worker()
    cluster.submit(reduce_plan(2))
    fail_starts(cluster, MOST_FAILED - 1)
    assert 1 not in cluster.pool.replies
    fail_starts(cluster, 1)
    error = cluster.error()
    assert type(error) is ServiceError
    assert error.retry_after_s
    assert "no such library" in error.message
    cluster.submit(reduce_plan(2), job=2)
    cluster.tick(LONGEST_DELAY_S)
    cluster.start()
    cluster.drain()
    assert cluster.error(2) is None


def test_jobs_laid_over_workers_that_are_all_lost_are_told_why():
    """They have tasks that the dispatcher does, which wait for no worker."""
    cluster = Cluster(workers=2, start_s=START_S)
    assert len(runs(cluster.submit(reduce_plan(4, seconds=1.0)))) == 2
    (job,) = cluster.scheduler._jobs.values()
    assert len(job.plan.tasks) < len(job.states)
    cluster.tell(*[cluster.pool.lose(worker) for worker in [*cluster.pool.workers]])
    fail_starts(cluster, 2 * MOST_FAILED)
    assert type(cluster.error()) is ServiceError


def test_starts_that_fail_together_are_one_failure():
    """A machine that takes all that start on it along says no more than one that takes one."""
    cluster = Cluster(workers=8, start_s=START_S)
    cluster.tell(*[cluster.pool.lose(worker) for worker in [*cluster.pool.workers]])
    cluster.submit(reduce_plan(2))
    cluster.tell(*[cluster.pool.fail_start() for _ in range(8)])
    assert 1 not in cluster.pool.replies
    cluster.tick(2 * FIRST_DELAY_S)
    cluster.tell(*[cluster.pool.place(k) for k in range(8)])
    assert len(killed(cluster.tick(START_S))) == 8
    cluster.tell(*[WorkerLost(now_s=cluster.pool.now_s, worker=w) for w in cluster.pool.killed])
    cluster.tick(4 * FIRST_DELAY_S)
    cluster.tell(cluster.pool.place())
    assert not killed(cluster.tick(2 * START_S - 1.0))
    assert len(killed(cluster.tick(1.0))) == 1


def test_jobs_wait_for_starts_while_a_worker_is_up():
    """Others that do not start cost them time at most."""
    cluster = Cluster(workers=2, start_s=START_S)
    cluster.tell(cluster.pool.lose(1))
    fail_starts(cluster, 2 * MOST_FAILED)
    cluster.tick(LONGEST_DELAY_S)
    cluster.submit(reduce_plan(2))
    cluster.tell(cluster.pool.fail_start())
    cluster.drain()
    assert cluster.error() is None


def test_jobs_are_told_in_time_however_few_starts_failed():
    """Late ones take ever longer; a job that comes later is given as long as the first."""
    cluster = losing_its_worker()
    cluster.submit(reduce_plan(2))
    fail_late(cluster)
    cluster.tick(LONGEST_S - LONGEST_DELAY_S - 1.0)
    assert not cluster.pool.replies
    cluster.submit(reduce_plan(2), job=2)
    cluster.tick(1.0)
    error = cluster.error()
    assert type(error) is ServiceError
    assert error.retry_after_s
    assert f"waited {LONGEST_S:.0f} s" in error.message
    assert f"once, at last with: {LATE}" in error.message
    see_it_end(cluster)
    cluster.tick(LONGEST_DELAY_S)
    cluster.tell(cluster.pool.place())
    cluster.tick(LONGEST_S - LONGEST_DELAY_S - 2.0)
    assert 2 not in cluster.pool.replies
    cluster.tick(1.0)
    assert f"waited {LONGEST_S:.0f} s" in str(cluster.error(2))
    cluster.submit(reduce_plan(2), job=3)
    cluster.start()
    cluster.tick(LONGEST_S)
    cluster.drain()
    assert cluster.error(3) is None


def test_a_worker_that_came_up_ends_the_waiting():
    """What was waited before counts no more, nor does the time that a job ran."""
    cluster = losing_its_worker()
    cluster.submit(reduce_plan(2))
    fail_late(cluster)
    cluster.start()
    cluster.tick(LONGEST_S - LONGEST_DELAY_S - 1.0)
    cluster.tell(cluster.pool.lose(*cluster.pool.workers))
    fail_starts(cluster, 1)
    cluster.tick(LONGEST_S - 1.0)
    assert not cluster.pool.replies
    cluster.tick(1.0)
    assert type(cluster.error()) is ServiceError


def test_jobs_wait_from_when_the_last_worker_is_lost():
    """Starts of others failed before, and cost them nothing; the one under way may take long."""
    cluster = Cluster(workers=2, start_s=START_S)
    cluster.tell(cluster.pool.lose(1))
    fail_late(cluster)
    fail_late(cluster, 2 * START_S)
    cluster.submit(reduce_plan(2))
    cluster.tell(cluster.pool.lose(2))
    assert cluster.pool.starting
    cluster.tick(LONGEST_S - 1.0)
    assert not cluster.pool.replies
    cluster.tick(1.0)
    assert type(cluster.error()) is ServiceError


def test_jobs_that_have_other_work_do_not_wait():
    """They are told once nothing of them can go on."""
    cluster = Cluster(workers=1, gpu_workers=1, start_s=START_S, silence_s=1e6)
    (gpu,) = [w for w, own in cluster.pool.workers.items() if own.placement is GPU]
    tasks = [make_task([JobInput(0)], placement=CPU)]
    tasks += [make_task([TaskOutput(0, 0)], placement=GPU)]
    (cpu,) = runs(cluster.submit(make_plan(tasks, [TaskOutput(1, 0)])))
    cluster.tell(cluster.pool.lose(gpu))
    fail_starts(cluster, 1)
    cluster.tick(LONGEST_S)
    assert not cluster.pool.replies
    cluster.finish(cpu)
    cluster.tick(LONGEST_S)
    assert "no gpu worker is up" in str(cluster.error())


@pytest.mark.parametrize("kind", [CPU, GPU])
def test_starts_of_one_kind_say_nothing_of_the_other(kind):
    """Jobs are told that need the kind that does not start, and the other starts without delay."""
    cluster = losing_its_worker(gpu_workers=1)
    plans = {
        p: make_plan([make_task([JobInput(0)], placement=p)], [TaskOutput(0, 0)])
        for p in (CPU, GPU)
    }
    if kind is GPU:
        cluster.start()
        (worker,) = [w for w, own in cluster.pool.workers.items() if own.placement is GPU]
        cluster.tell(cluster.pool.lose(worker))
    fail_starts(cluster, MOST_FAILED - 1)
    cluster.tick(LONGEST_DELAY_S)
    for job, plan in enumerate(plans.values()):
        cluster.submit(plan, job=job)
    commands = cluster.tell(cluster.pool.fail_start())
    assert not any(isinstance(command, StartWorker) for command in commands)
    (other,) = cluster.pool.workers
    assert any(isinstance(c, StartWorker) for c in cluster.tell(cluster.pool.lose(other)))
    cluster.start()
    cluster.drain()
    told = {
        p: isinstance(cluster.pool.replies[job][0][0], ServiceError) for job, p in enumerate(plans)
    }
    assert told == {CPU: kind is CPU, GPU: kind is GPU}
