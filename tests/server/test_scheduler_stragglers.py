"""Late workers are tried elsewhere, silent ones are asked and killed; each result counts once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pullback_graph.errors import Cancelled, ExecutionError
from pullback_graph.graph import Input
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import JobInput, Plan, TaskOutput
from pullback_server.scheduler import (
    AskWorker,
    Cancel,
    CancelRun,
    KillWorker,
    Run,
    WorkerAnswered,
)
from tests.server.cluster import Cluster, runs
from tests.server.plans import make_plan, make_task, reduce_plan
from tests.server.simulated_pool import CPU, evaluate

PLAN: Plan = reduce_plan(1, seconds=1.0)


def late_cluster() -> tuple[Cluster, int, int]:
    """A cluster where a job's only task is late on one worker and copied to another: both."""
    cluster = Cluster(workers=2, late_factor=3.0, late_least_s=2.0)
    for job in (10, 11):  # both workers have had the program
        cluster.submit(PLAN, job=job)
    cluster.drain()
    (late,) = runs(cluster.submit(PLAN))
    assert not runs(cluster.tick(2.9))
    (other,) = runs(cluster.tick(0.2))
    return cluster, late, other


def results_of(cluster: Cluster, job: int = 1) -> object:
    """The results of a job that was answered once, without an error."""
    ((error, results),) = cluster.pool.replies[job]
    assert error is None
    return results


def test_a_late_task_is_tried_on_an_idle_worker():
    """Three times what it was measured to take, a second worker gets it too, and one only."""
    cluster, late, other = late_cluster()
    assert late != other
    assert cluster.scheduler.snapshot().copies == 1
    assert not runs(cluster.tick(10.0))


def test_a_late_task_is_looked_at_again_when_its_way_is_over():
    """Not a whole period later, when the worker that could try it may be gone."""
    cluster = Cluster(workers=2, late_factor=3.0, late_least_s=2.0)
    for job in (10, 11):  # both workers have had the program
        cluster.submit(PLAN, job=job)
    cluster.drain()
    cluster.submit(PLAN)
    assert not runs(cluster.tick(3.001))
    assert cluster.scheduler.next_s < cluster.pool.now_s + 0.1


def test_what_has_a_long_way_is_not_late():
    """A worker whose input is of gigabytes has time for it to come, and is late after that."""
    large = ArrayType(FLOAT64, (4 * 10**9 // 8,))  # four seconds at a gigabyte a second
    task = replace(PLAN.tasks[0], operands=(JobInput(0),))
    plan = replace(PLAN, inputs=(Input("x0", large),), tasks=(task, *PLAN.tasks[1:]))
    cluster = Cluster(workers=2, late_factor=3.0, late_least_s=2.0)
    for job in (10, 11):
        cluster.submit(plan, job=job)
    cluster.drain()
    (late,) = runs(cluster.submit(plan))
    for _ in range(7):
        assert not runs(cluster.tick(2.0))
    assert [*runs(cluster.tick(2.0))] == [3 - late]


def test_the_first_result_counts_and_the_other_is_stopped():
    """The copy answers the job; the late worker is told to stop, and is free after."""
    cluster, late, other = late_cluster()
    commands = cluster.finish(other)
    assert [c.worker for c in commands if isinstance(c, CancelRun)] == [late]
    cluster.finish(late)
    assert results_of(cluster) == evaluate(PLAN)
    assert cluster.scheduler.snapshot().workers[CPU].busy == 0


@pytest.mark.parametrize("heed", [True, False])
def test_both_results_count_once(heed: bool):
    """A late report of the loser changes nothing, and leaves no value behind."""
    cluster, late, other = late_cluster()
    cluster.tell(*cluster.pool.finish(late))
    cluster.tell(*cluster.pool.finish(other, heed=heed))
    assert results_of(cluster) == evaluate(PLAN)
    assert not any(own.store for own in cluster.pool.workers.values())
    assert not cluster.pool.here
    assert cluster.scheduler.snapshot().wasted_s["copied"] == (0.0 if heed else 1.0)


def building_cluster() -> tuple[Cluster, int, int]:
    """A cluster where a batch is late, and copied, behind which one waits for its value: both."""
    cluster = Cluster(workers=2, batch_s=1e-6, queue_behind_s=1.0, late_least_s=2.0)
    plan = reduce_plan(2, seconds=1e-5)
    for job in (10, 11):  # both workers have had the programs
        cluster.submit(plan, job=job)
    cluster.drain()
    (other,) = runs(cluster.submit(reduce_plan(1, seconds=10.0), job=2))
    cluster.submit(plan)
    late = 3 - other
    queue = cluster.pool.workers[late].queue
    assert [[call.task for call in run.calls] for run in queue] == [[0], [1, 2]]
    cluster.finish(other)
    assert runs(cluster.tick(2.5)) == {other: [0]}
    return cluster, late, other


@pytest.mark.parametrize("heed", [True, False])
def test_what_builds_on_a_loser_is_stopped_with_it_and_goes_on_at_once(heed: bool):
    """A batch behind would look in vain for the value: it goes where that is, and counts once."""
    cluster, late, other = building_cluster()
    commands = cluster.finish(other)
    assert [c.worker for c in commands if isinstance(c, CancelRun)] == [late, late]
    assert runs(commands) == {other: [1, 2]}
    for worker in (late, other):
        while cluster.pool.workers[worker].queue:
            cluster.tell(*cluster.pool.finish(worker, heed=heed))
    assert not cluster.pool.misses
    last = TaskOutput(2, 0)
    assert results_of(cluster) == {last: evaluate(reduce_plan(2))[last]}
    assert cluster.scheduler.snapshot().retries == 0
    assert not any(own.store for own in cluster.pool.workers.values())


def test_a_loser_that_does_not_stop_is_killed():
    """Like any cancelled batch, after the grace period; the job goes on without it."""
    cluster = Cluster(workers=2, late_least_s=2.0, grace_s=1.0)
    plan = reduce_plan(2, seconds=1.0)
    for job in (10, 11, 12):
        cluster.submit(plan, job=job)
    cluster.drain()
    cluster.submit(plan)
    cluster.finish(2)
    (other,) = runs(cluster.tick(3.5))
    assert any(isinstance(c, CancelRun) for c in cluster.finish(other))
    assert 1 not in cluster.pool.replies or results_of(cluster)
    assert not any(isinstance(c, KillWorker) for c in cluster.tick(0.9))
    assert [c.worker for c in cluster.tick(0.2) if isinstance(c, KillWorker)] == [1]


@pytest.mark.parametrize("lost_first", [True, False])
def test_losing_one_of_two_attempts_costs_nothing(lost_first: bool):
    """While a task is tried twice, the loss of either worker leaves it to the other."""
    cluster, late, other = late_cluster()
    lost, left = (late, other) if lost_first else (other, late)
    cluster.tell(cluster.pool.lose(lost))
    assert 1 not in cluster.pool.replies
    cluster.finish(left)
    results_of(cluster)
    assert cluster.pool.statistics[1].statistics.retries == 0


def test_a_job_cancelled_while_tried_twice_stops_both():
    """Both attempts are asked to stop."""
    cluster, late, other = late_cluster()
    commands = cluster.tell(Cancel(now_s=cluster.pool.now_s, job=1))
    assert {c.worker for c in commands if isinstance(c, CancelRun)} == {late, other}
    assert isinstance(cluster.error(), Cancelled)


def test_an_unmeasured_program_is_never_late():
    """A prediction alone is no reason to work twice."""
    cluster = Cluster(workers=2)
    cluster.submit(PLAN)
    assert not any(runs(cluster.tick(5.0)) for _ in range(3))


def test_work_that_waits_comes_before_a_second_try():
    """No worker tries twice while it has something of its own to do."""
    cluster = Cluster(workers=2)
    cluster.submit(reduce_plan(8, seconds=1.0), job=5)
    cluster.drain()
    cluster.submit(reduce_plan(8, seconds=1.0), job=6)
    for _ in range(3):
        cluster.tick(1.5)
    assert cluster.scheduler.snapshot().copies == 0


def test_speculation_can_be_switched_off():
    """A factor of zero never tries twice."""
    cluster = Cluster(workers=2, late_factor=0.0)
    for job in (10, 11):
        cluster.submit(PLAN, job=job)
    cluster.drain()
    cluster.submit(PLAN)
    assert not any(runs(cluster.tick(5.0)) for _ in range(3))


# --- silence -------------------------------------------------------------------------------------


def asked(cluster: Cluster, seconds: float) -> list[int]:
    """The workers asked whether they live when that time has passed."""
    return [c.worker for c in cluster.tick(seconds) if isinstance(c, AskWorker)]


def test_a_worker_that_answers_may_take_its_time():
    """A batch that runs for long is asked about, and goes on if its worker answers."""
    cluster = Cluster(workers=1, silence_s=20.0, answer_s=5.0)
    cluster.submit(PLAN)
    assert not asked(cluster, 19.0)
    for _ in range(5):
        assert asked(cluster, 20.5) == [1]
        cluster.tell(WorkerAnswered(now_s=cluster.pool.now_s, worker=1))
        assert not any(isinstance(c, KillWorker) for c in cluster.tick(6.0))
    cluster.finish(1)
    results_of(cluster)


def test_a_worker_that_does_not_answer_is_killed_and_its_task_blamed():
    """After three silent workers the job fails: what hangs them is not tried for ever."""
    cluster = Cluster(workers=1, silence_s=20.0, answer_s=5.0, most_losses=3)
    cluster.submit(PLAN)
    for number in range(1, 4):
        assert asked(cluster, 20.5) == [number]
        assert [c.worker for c in cluster.tick(5.5) if isinstance(c, KillWorker)] == [number]
        cluster.pool.killed.clear()
        cluster.tell(cluster.pool.lose(number))
        cluster.start()
    assert isinstance(cluster.error(), ExecutionError)
    assert "3 workers" in str(cluster.error())


def test_a_long_prediction_is_waited_for():
    """The bound grows with what was predicted."""
    cluster = Cluster(workers=1, silence_s=20.0)
    cluster.submit(reduce_plan(1, seconds=100.0))
    assert not asked(cluster, 900.0)
    assert asked(cluster, 200.0) == [1]


def waiting_cluster() -> tuple[Cluster, int, int]:
    """A cluster where one worker runs what reads a value that another, idle one holds: both."""
    cluster = Cluster(workers=2, late_factor=0.0, silence_s=5.0, answer_s=20.0)
    shards = [make_task([JobInput(0)], shard=k, seconds=0.1) for k in range(2)]
    last = make_task([TaskOutput(0, 0), TaskOutput(1, 0)], shard=0, seconds=0.1)
    cluster.submit(make_plan([*shards, last], [TaskOutput(2, 0)]))
    for worker in (1, 2):
        cluster.finish(worker)
    (waiting,) = [w for w, own in cluster.pool.workers.items() if own.queue]
    return cluster, waiting, 3 - waiting


def test_whoever_holds_what_is_waited_for_is_asked_too():
    """An idle worker that does not answer is killed; the one that waits for it does, and stays."""
    cluster, waiting, holder = waiting_cluster()
    assert not asked(cluster, 4.0)
    assert asked(cluster, 1.5) == [waiting, holder]
    cluster.tell(WorkerAnswered(now_s=cluster.pool.now_s, worker=waiting))
    killed = [c.worker for c in cluster.tick(20.5) if isinstance(c, KillWorker)]
    assert killed == [holder]
    cluster.tell(cluster.pool.lose(holder))
    cluster.start()
    cluster.drain()
    results_of(cluster)


def test_a_holder_that_answers_is_left_alone():
    """It is asked again as long as the other waits."""
    cluster, waiting, holder = waiting_cluster()
    for _ in range(3):
        assert set(asked(cluster, 25.0)) == {waiting, holder}
        for worker in (waiting, holder):
            cluster.tell(WorkerAnswered(now_s=cluster.pool.now_s, worker=worker))
    assert not any(isinstance(c, KillWorker) for c in cluster.tick(4.0))
    cluster.drain()
    results_of(cluster)


# --- what is wasted ------------------------------------------------------------------------------


def test_cancelled_work_is_counted_as_wasted():
    """What a cancelled batch took is known when it stops; the error says how far the job was."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(2, seconds=1.0))
    cluster.tell(Cancel(now_s=1.0, job=1, cause="the caller went away"))
    assert "0 of 3 tasks done" in str(cluster.error())
    cluster.tell(*cluster.pool.finish(1, heed=False))
    assert cluster.scheduler.snapshot().wasted_s["cancelled"] == 1.0


def test_a_lost_worker_s_time_is_counted_as_wasted():
    """From when its batch began to its end."""
    cluster = Cluster(workers=1)
    cluster.submit(PLAN)
    cluster.tick(3.0)
    cluster.tell(cluster.pool.lose(1))
    assert cluster.scheduler.snapshot().wasted_s["lost"] == 3.0


def test_queued_batches_of_a_late_worker_are_tried_elsewhere_too():
    """What waits behind a late batch need not wait for it."""
    cluster = Cluster(workers=3, late_least_s=0.5)
    small = reduce_plan(1, seconds=0.01)
    for job in range(10, 16):
        cluster.submit(small, job=job)
    cluster.drain()
    for job in range(20, 26):
        cluster.submit(small, job=job)
    for worker in (2, 3):
        while cluster.pool.workers[worker].queue:
            cluster.finish(worker)
    behind = [run.job for run in cluster.pool.workers[1].queue]
    copied = [c.job for _ in range(3) for c in cluster.tick(1.0) if isinstance(c, Run)]
    assert set(behind[:1]) <= set(copied)
