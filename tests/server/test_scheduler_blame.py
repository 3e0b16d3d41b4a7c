"""Who is blamed for lost workers: what they ran, unless workers are lost whatever they run."""

from __future__ import annotations

from pullback_graph.errors import ExecutionError, ServiceError
from pullback_server.scheduler.scheduler import MOST_ATTEMPTS
from tests.server.cluster import Cluster
from tests.server.plans import reduce_plan

LONG = reduce_plan(1, seconds=10.0)


def runner_of(cluster: Cluster, job: int) -> int:
    """The worker that has a job's task."""
    (worker,) = [
        worker
        for worker, own in cluster.pool.workers.items()
        if any(run.job == job for run in own.in_flight)
    ]
    return worker


def lose(cluster: Cluster, worker: int) -> None:
    """A worker dies, and there is another."""
    cluster.tell(cluster.pool.lose(worker))
    cluster.tick(0.1)
    cluster.start()


def test_a_task_is_not_to_blame_where_idle_workers_are_lost_too():
    """As many more of its own are forgiven; then its job has the result."""
    cluster = Cluster(workers=3)
    cluster.submit(LONG)
    for _ in range(6):
        lose(cluster, runner_of(cluster, 1))
        idle = [w for w, own in cluster.pool.workers.items() if not own.in_flight]
        lose(cluster, idle[0])
    cluster.drain()
    assert cluster.error() is None


def test_a_task_is_not_to_blame_where_those_of_others_run_through_elsewhere():
    """Their workers were lost as well, and they had nothing to do with it."""
    cluster = Cluster(workers=2)
    cluster.submit(LONG)
    for other in range(2, 8):
        lose(cluster, runner_of(cluster, 1))
        cluster.submit(LONG, job=other)
        lose(cluster, runner_of(cluster, other))
        cluster.finish(runner_of(cluster, other))
        assert cluster.error(other) is None
    cluster.drain()
    assert cluster.error() is None


def test_what_ran_beside_a_killer_does_not_speak_for_it():
    """A loss that one of two tasks brought about is not forgiven when the other has run through."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(5), job=1)  # one batch
    while 1 not in cluster.pool.replies:
        worker = runner_of(cluster, 1)
        (run,) = cluster.pool.workers[worker].queue
        if run.calls[0].task == 0:
            lose(cluster, worker)
        else:
            cluster.finish(worker)
    error = cluster.error()
    assert type(error) is ExecutionError
    assert "took 3 workers down" in error.message


def test_workers_that_do_not_start_do_not_speak_for_a_task():
    """Why one does not come up has nothing to do with those that were up."""
    cluster = Cluster(workers=4)
    cluster.submit(LONG)
    for _ in range(3):
        cluster.tell(cluster.pool.lose(runner_of(cluster, 1)))
        while not cluster.pool.starting:
            cluster.tick(0.5)
        cluster.tell(cluster.pool.fail_start())
    error = cluster.error()
    assert type(error) is ExecutionError
    assert "took 3 workers down" in error.message


def test_a_cluster_that_loses_all_it_has_is_to_blame():
    """A job does not go on for ever there: it is told to try again, since it is not at fault."""
    cluster = Cluster(workers=2)
    cluster.submit(LONG)
    for _ in range(MOST_ATTEMPTS):
        lose(cluster, runner_of(cluster, 1))
        idle = [w for w, own in cluster.pool.workers.items() if not own.in_flight]
        for worker in idle:
            lose(cluster, worker)
    error = cluster.error()
    assert type(error) is ServiceError
    assert error.retry_after_s
