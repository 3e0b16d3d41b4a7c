"""What many jobs leave behind: nothing that grows with their number."""

from __future__ import annotations

from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.scheduler.deadlines import MOST_STALE
from tests.server.cluster import Cluster, runs
from tests.server.leftovers import assert_nothing_left
from tests.server.plans import reduce_plan
from tests.server.simulated_pool import CPU

SHORT = reduce_plan(1, seconds=1e-3)
JOBS = 300


def test_a_worker_that_is_idle_again_and_again_is_watched_once():
    """Of a pool that may shrink, one alarm a worker looks whether it still has nothing to do."""
    cluster = Cluster(workers=2, least_workers={CPU: 1}, idle_s=60.0)
    for job in range(JOBS):
        cluster.submit(SHORT, job=job)
        cluster.tick(0.01)
        cluster.drain()
    cluster.tick(61.0)
    cluster.tick(61.0)
    assert_nothing_left(cluster.scheduler)
    assert len(cluster.scheduler._board.alarms) <= 2


def test_deadlines_of_jobs_that_are_over_are_forgotten():
    """An hour that was allowed is not waited for, whether or not another job still has one."""
    for others in (0, 1):
        cluster = Cluster(workers=2)
        for job in range(others):
            cluster.submit(reduce_plan(1, seconds=1e3), job=-1 - job, deadline_s=4e3)
        for job in range(JOBS):
            (worker,) = runs(cluster.submit(SHORT, job=job, deadline_s=3600.0))
            cluster.finish(worker, express=True)
        assert set(cluster.pool.replies) == set(range(JOBS))
        board = cluster.scheduler._board
        assert len(board.deadlines) <= (2 + MOST_STALE) * others
        assert len(board.alarms) <= 4


def test_batches_that_were_over_sooner_than_predicted_are_forgotten():
    """Nothing remembers until its predicted end a batch that ended long before."""
    cluster = Cluster(workers=1)
    cluster.pool.running_s = 1e-3
    for job in range(JOBS):
        type = ArrayType(FLOAT64, (1 + job,))  # another program each time
        cluster.submit(reduce_plan(1, seconds=1e3, type=type), job=job)
        cluster.tick(0.01)
        cluster.drain()
    assert_nothing_left(cluster.scheduler)
