"""Small jobs that go to a worker in one call: which, how many, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import JobInput, Placement, Plan, TaskOutput
from pullback_server.scheduler import (
    AskWorker,
    BatchEnded,
    Cancel,
    Command,
    Dependencies,
    KillWorker,
    Run,
    Submitted,
)
from pullback_server.scheduler.company import MOST_TOGETHER
from tests.server.cluster import Cluster
from tests.server.plans import make_plan, make_task

SMALL_S = 1e-4


def small_plan(seconds: float = SMALL_S) -> Plan:
    """A job of one task, whose program no job of another length has."""
    type = ArrayType(FLOAT64, (round(seconds * 1e5),))
    return make_plan([make_task([JobInput(0)], seconds=seconds, type=type)], [TaskOutput(0, 0)])


def calls_in(commands: list[Command]) -> dict[int, list[list[int]]]:
    """The jobs of each call, by worker."""
    found: dict[int, dict[int, list[int]]] = {}
    for run in commands:
        if isinstance(run, Run):
            found.setdefault(run.worker, {}).setdefault(run.call, []).append(run.job)
    return {worker: [*own.values()] for worker, own in found.items()}


def cluster_that_knows(seconds: float, workers: int = 1, **settings: Any) -> Cluster:
    """A cluster whose workers ran a job of that length before, and have nothing to do."""
    cluster = Cluster(workers=workers, **settings)
    for job in range(100, 100 + workers):
        cluster.submit(small_plan(seconds), job=job)
    cluster.drain()
    return cluster


def submit_all(cluster: Cluster, count: int, seconds: float = SMALL_S) -> list[Command]:
    """Jobs 1 to `count` come at once."""
    jobs = range(1, count + 1)
    plan = small_plan(seconds)
    cluster.pool.plans.update(dict.fromkeys(jobs, plan))
    own = Dependencies(plan)
    return cluster.tell(*[Submitted(now_s=0.0, job=job, plan=own) for job in jobs])


def test_small_jobs_go_in_one_call():
    """Each as a batch of its own, in turn; what waits beyond that goes with the next call."""
    cluster = cluster_that_knows(SMALL_S)
    commands = submit_all(cluster, MOST_TOGETHER + 4)
    assert calls_in(commands) == {
        1: [[*range(1, MOST_TOGETHER + 1)], [*range(MOST_TOGETHER + 1, MOST_TOGETHER + 5)]]
    }
    cluster.drain()
    assert all(cluster.error(job) is None for job in range(1, MOST_TOGETHER + 5))


def test_jobs_of_a_call_take_little_together():
    """All of them are answered when the last is done."""
    cluster = cluster_that_knows(2e-3)
    assert calls_in(submit_all(cluster, 6, 2e-3)) == {1: [[1, 2], [3, 4]]}


@pytest.mark.parametrize("seconds", [2e-4, 1e-2])
def test_what_was_never_run_goes_alone(seconds: float):
    """It may take longer than predicted, or take its worker down."""
    cluster = cluster_that_knows(SMALL_S)
    assert calls_in(submit_all(cluster, 4, seconds))[1][0] == [1]


def test_each_worker_gets_its_share_of_what_waits():
    """None waits for jobs that another could do meanwhile."""
    cluster = cluster_that_knows(SMALL_S, workers=2)
    found = calls_in(submit_all(cluster, 6))
    assert {worker: calls[0] for worker, calls in found.items()} == {1: [1, 3, 4], 2: [2, 5, 6]}


def test_all_of_a_call_are_suspects_when_their_worker_dies():
    """Nobody knows which of them it was running: each is tried alone, and none is lost."""
    cluster = cluster_that_knows(SMALL_S)
    assert calls_in(submit_all(cluster, 3)) == {1: [[1, 2, 3]]}
    cluster.tell(cluster.pool.lose(1))
    cluster.tick(1.0)
    cluster.start()
    (worker,) = cluster.pool.workers
    for _ in range(3):
        assert len(cluster.pool.workers[worker].queue) == 1
        cluster.finish(worker)
    assert [cluster.error(job) for job in (1, 2, 3)] == [None] * 3


def test_the_way_to_a_worker_is_measured_without_the_company():
    """What a batch took longer than its worker was busy with it and the others is the way."""
    cluster = cluster_that_knows(SMALL_S)
    rates = cluster.scheduler.calibration.kinds[Placement.CPU]
    submit_all(cluster, 2)
    rates.overhead_s = 0.0
    runs = [*cluster.pool.workers[1].queue]
    for run, company_s in zip(runs, (1.5, 0.0), strict=True):
        (done, ended) = cluster.pool.finish(1)
        assert isinstance(ended, BatchEnded)
        cluster.tell(done, replace(ended, now_s=3.0, busy_s=1.5, company_s=company_s))
        assert cluster.error(run.job) is None
    assert rates.overhead_s == 0.0


# --- cancelled in a call -------------------------------------------------------------------------


def cluster_with_a_call(jobs: int = 3) -> Cluster:
    """A worker with so many jobs in one call, and one second's grace for what is cancelled."""
    cluster = cluster_that_knows(SMALL_S, grace_s=1.0, late_factor=0.0)
    assert calls_in(submit_all(cluster, jobs)) == {1: [[*range(1, jobs + 1)]]}
    return cluster


def cancel(cluster: Cluster, *jobs: int) -> None:
    """Clients go away."""
    cluster.tell(*[Cancel(now_s=cluster.pool.now_s, job=job) for job in jobs])


def told(commands: list[Command]) -> list[type[Command]]:
    """What is done about workers."""
    return [type(c) for c in commands if isinstance(c, AskWorker | KillWorker)]


def test_a_worker_is_not_killed_for_a_batch_that_is_over():
    """A slow one comes behind it in its call, with which it is reported; neither runs again."""
    cluster = cluster_with_a_call(2)
    cancel(cluster, 1)
    assert told(cluster.tick(1.1)) == [AskWorker]
    assert not told(cluster.tell(cluster.pool.answer(1, ended=1, running_s=1.1)))
    for _ in range(3):
        assert not told(cluster.tick(1.1))
    cluster.finish(1)
    cluster.finish(1)
    assert cluster.error(2) is None
    assert cluster.scheduler.snapshot().retries == 0
    assert [stop.workers_killed for stop in cluster.pool.stops[1]] == [0]


def test_a_cancelled_batch_that_hangs_within_a_call_is_ended():
    """Its grace begins with it; it alone counts as what killed its worker; no task is blamed."""
    cluster = cluster_with_a_call()
    cancel(cluster, 2)
    assert told(cluster.tick(1.1)) == [AskWorker]
    assert not told(cluster.tell(cluster.pool.answer(1, ended=0)))
    assert not told(cluster.tick(0.9))
    assert told(cluster.tick(0.2)) == [AskWorker]
    assert not told(cluster.tell(cluster.pool.answer(1, ended=1, running_s=0.5)))
    assert told(cluster.tick(0.6)) == [AskWorker]
    assert told(cluster.tell(cluster.pool.answer(1, ended=1, running_s=1.1))) == [KillWorker]
    cluster.tell(cluster.pool.lose(1))
    assert [stop.workers_killed for stop in cluster.pool.stops[2]] == [1]
    cluster.start()
    cluster.drain()
    assert [cluster.error(job) for job in (1, 3)] == [None, None]
    assert cluster.scheduler.snapshot().workers_lost == 1


def test_a_worker_that_does_not_say_what_it_runs_is_ended():
    """A cancelled batch may hold the interpreter: it has the time of its grace once more."""
    cluster = cluster_with_a_call()
    cancel(cluster, 2)
    assert told(cluster.tick(1.1)) == [AskWorker]
    assert not told(cluster.tick(0.9))
    assert told(cluster.tick(0.2)) == [KillWorker]
    cluster.tell(cluster.pool.lose(1))
    assert [stop.workers_killed for stop in cluster.pool.stops[2]] == [1]


def test_what_a_call_s_mates_are_predicted_to_take_is_waited_for():
    """Times the factor from which on a batch is late."""
    cluster = cluster_that_knows(2e-3, grace_s=0.01, late_factor=3.0)
    assert calls_in(submit_all(cluster, 2, 2e-3)) == {1: [[1, 2]]}
    cancel(cluster, 2)
    assert told(cluster.tick(0.0101)) == [AskWorker]
    assert not told(cluster.tick(0.0155))
    assert told(cluster.tick(0.001)) == [KillWorker]


def test_cancelled_batches_of_a_call_that_has_not_begun_are_let_be():
    """Their worker is asked when the call before theirs is over and their grace has passed."""
    cluster = cluster_that_knows(2e-3, grace_s=1.0, late_factor=0.0)
    assert calls_in(submit_all(cluster, 4, 2e-3)) == {1: [[1, 2], [3, 4]]}
    cancel(cluster, 4)
    assert not told(cluster.tick(4.0))
    cluster.finish(1)
    cluster.finish(1)
    assert not told(cluster.tick(0.9))
    assert told(cluster.tick(0.2)) == [AskWorker]


def test_several_cancelled_batches_of_a_call_are_asked_about_once():
    """The answer says of all of them what became of them."""
    cluster = cluster_with_a_call()
    cancel(cluster, 1, 2)
    assert told(cluster.tick(1.1)) == [AskWorker]
    assert told(cluster.tell(cluster.pool.answer(1, ended=1, running_s=1.1))) == [KillWorker]
    cluster.tell(cluster.pool.lose(1))
    assert [cluster.pool.stops[job][0].workers_killed for job in (1, 2)] == [0, 1]
