"""Short jobs beside long ones: who may pass whom, and what becomes of both lanes in a fault."""

from __future__ import annotations

from typing import Any

import pytest

from pullback_graph.errors import Cancelled
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import JobInput, Plan, TaskOutput
from pullback_server.scheduler import (
    BatchEnded,
    Cancel,
    CancelRun,
    Command,
    KillWorker,
    Run,
    Tick,
    WorkerLost,
)
from tests.server.cluster import Cluster
from tests.server.plans import make_plan, make_task, reduce_plan

LONG, SHORT = reduce_plan(1, seconds=1.0), reduce_plan(1, seconds=0.01)


def crowded(long: Plan = LONG, **settings: Any) -> Cluster:
    """A cluster whose only worker runs a long job, number 1, of client `a`."""
    cluster = Cluster(workers=1, **settings)
    cluster.submit(long, job=1, client="a")
    return cluster


def express(commands: list[Command]) -> list[int]:
    """The jobs of the express batches among commands."""
    return [command.job for command in commands if isinstance(command, Run) and command.express]


def test_a_short_job_is_done_while_a_long_one_runs():
    """The only worker runs both, and the short one is answered first."""
    cluster = crowded()
    assert express(cluster.submit(SHORT, job=2, client="b")) == [2]
    cluster.finish(1, express=True)
    assert set(cluster.pool.replies) == {2}
    cluster.drain()
    assert set(cluster.pool.replies) == {1, 2}


def test_an_idle_worker_is_better():
    """Nothing runs beside another job while a worker has nothing to do."""
    cluster = Cluster(workers=2)
    cluster.submit(LONG, job=1, client="a")
    assert not express(cluster.submit(SHORT, job=2, client="b"))
    assert all(own.queue for own in cluster.pool.workers.values())


def test_a_whole_small_job_goes_at_once():
    """Shards and their sum are one batch, where all of them are short."""
    cluster = crowded()
    cluster.submit(reduce_plan(4, seconds=0.01), job=2, client="b")
    cluster.finish(1, express=True)
    assert set(cluster.pool.replies) == {2}


def test_what_would_be_done_sooner_in_turn_waits():
    """At half the speed, six tenths of a second last longer than a second."""
    assert not express(crowded().submit(reduce_plan(1, seconds=0.6), job=2, client="b"))
    assert express(crowded().submit(reduce_plan(1, seconds=0.4), job=2, client="b"))


def test_a_short_batch_is_waited_for():
    """Beside what takes milliseconds anyway, nothing runs."""
    cluster = crowded(reduce_plan(1, seconds=0.015))
    assert not express(cluster.submit(reduce_plan(1, seconds=0.001), job=2, client="b"))


def test_one_at_a_time_runs_beside_a_batch():
    """The next short job follows when the first is done."""
    cluster = crowded()
    cluster.submit(SHORT, job=2, client="b")
    assert not express(cluster.submit(SHORT, job=3, client="b"))
    assert express(cluster.finish(1, express=True)) == [3]


def test_jobs_of_one_flow_do_not_pass_each_other():
    """One client's jobs of about one size run in the order they came."""
    medium = reduce_plan(1, seconds=0.4)
    assert not express(crowded().submit(medium, job=2, client="a"))
    assert express(crowded().submit(medium, job=2, client="b"))


def test_a_client_s_small_job_passes_its_own_huge_one():
    """They are of different flows."""
    assert express(crowded().submit(SHORT, job=2, client="a"))


def test_who_has_had_more_does_not_pass():
    """Short jobs pass a long one until their client was given as much time as the other.

    But where the other has no more work that waits, they take no turn of its.
    """
    cluster = crowded(reduce_plan(4, seconds=1.0))
    passed = 0
    for job in range(2, 200):
        if not express(cluster.submit(SHORT, job=job, client="b")):
            break
        passed += 1
        cluster.finish(1, express=True)
    assert 90 <= passed <= 110
    cluster.drain()
    assert set(cluster.pool.replies) == set(range(1, passed + 3))
    cluster = crowded()
    for job in range(2, 200):
        assert express(cluster.submit(SHORT, job=job, client="b"))
        cluster.finish(1, express=True)


def test_a_job_is_in_one_lane_of_a_worker_only():
    """What did not go along with an express batch waits for its end: it may read what that makes.

    The simulated worker checks it too.
    """
    cluster = crowded()
    assert express(cluster.submit(reduce_plan(2, seconds=0.3), job=2, client="b")) == [2]
    cluster.tick(0.99)
    assert len(cluster.pool.workers[1].queue) == 1
    cluster.finish(1, express=True)
    assert [run.job for run in cluster.pool.workers[1].in_flight] == [1, 2]
    cluster.drain()
    assert set(cluster.pool.replies) == {1, 2}


def test_a_worker_has_nothing_to_do_when_both_are_done():
    """While it runs an express batch alone, it gets no other, and is not stopped."""
    cluster = crowded(idle_s=5.0)
    cluster.submit(SHORT, job=2, client="b")
    cluster.finish(1)
    cluster.submit(LONG, job=3, client="c")
    assert not cluster.pool.workers[1].queue
    cluster.finish(1)
    assert [run.job for run in cluster.pool.workers[1].queue] == [3]


def test_a_worker_lost_takes_both_down_and_both_run_again():
    """Either may have killed it: both are tried again, each of them alone."""
    cluster = crowded()
    cluster.submit(SHORT, job=2, client="b")
    cluster.tell(cluster.pool.lose(1))
    cluster.start()
    (own,) = cluster.pool.workers.values()
    assert len(own.in_flight) == 1
    assert not express(cluster.submit(SHORT, job=3, client="c"))
    cluster.drain()
    assert set(cluster.pool.replies) == {1, 2, 3}
    assert all(error is None for ((error, _),) in cluster.pool.replies.values())
    assert cluster.scheduler.snapshot().retries == 2


def test_what_kills_its_worker_does_not_fail_who_ran_beside():
    """A poisonous long job ends with an error; the short one is given."""
    cluster = crowded()
    cluster.submit(SHORT, job=2, client="b")
    for _ in range(20):
        busy = [w for w, own in cluster.pool.workers.items() if own.in_flight]
        if not busy:
            break
        (worker,) = busy
        if any(run.job == 1 for run in cluster.pool.workers[worker].in_flight):
            cluster.tell(cluster.pool.lose(worker))
            cluster.start()
        else:
            cluster.finish(worker)
    assert cluster.error(1) is not None
    assert cluster.error(2) is None


def test_an_express_batch_is_called_off_like_any_other():
    """Its worker is told which one to stop, and killed if it goes on."""
    cluster = crowded()
    (run,) = [c for c in cluster.submit(SHORT, job=2, client="b") if isinstance(c, Run)]
    commands = cluster.tell(Cancel(now_s=0.0, job=2, cause="gone"))
    assert CancelRun(1, run.batch, express=True) in commands
    assert isinstance(cluster.error(2), Cancelled)
    (kill,) = [c for c in cluster.tick(1.1) if isinstance(c, KillWorker)]
    cluster.tell(WorkerLost(now_s=cluster.pool.now_s, worker=kill.worker))
    assert 2 in cluster.pool.stops


def test_both_must_fit_into_the_worker_s_memory():
    """What runs beside a task has what that leaves; what does not fit waits, as do tasks behind."""
    long = make_task([JobInput(0)], seconds=1.0, peak_bytes=700)
    for size_bytes, expected in ((200, [2]), (400, [])):
        cluster = crowded(make_plan([long], [TaskOutput(0, 0)]), memory_bytes=1000)
        short = make_task([JobInput(0)], seconds=0.01, peak_bytes=size_bytes)
        plan = make_plan([short], [TaskOutput(0, 0)])
        assert express(cluster.submit(plan, job=2, client="b")) == expected
        cluster.drain()
        assert set(cluster.pool.replies) == {1, 2}


def test_what_gave_way_runs_in_its_turn():
    """An express batch that came back unrun, for want of memory, is not tried so again."""
    cluster = crowded()
    (run,) = [c for c in cluster.submit(SHORT, job=2, client="b") if isinstance(c, Run)]
    cluster.pool.workers[1].express.clear()
    ended = BatchEnded(now_s=0.0, worker=1, batch=run.batch)
    assert not express(cluster.tell(ended))
    cluster.drain()
    assert cluster.error(2) is None


@pytest.mark.parametrize("ends", [True, False])
def test_a_late_express_batch_is_tried_elsewhere(ends: bool):
    """On a worker that is idle then; whoever is first counts, and the other is told to stop."""
    cluster = Cluster(workers=2, late_factor=3.0, late_least_s=2.0)
    for job in (10, 11):  # both workers have had the program
        cluster.submit(SHORT, job=job, client="b")
    cluster.drain()
    large = ArrayType(FLOAT64, (8,))  # which makes it another program
    for job in (1, 2):
        cluster.submit(reduce_plan(1, seconds=100.0, type=large), job=job, client="a")
    (run,) = [c for c in cluster.submit(SHORT, job=3, client="b") if isinstance(c, Run)]
    assert run.express
    cluster.finish(3 - run.worker)
    (copy,) = [c for c in cluster.tick(2.5) if isinstance(c, Run)]
    assert (copy.worker, copy.job, copy.express) == (3 - run.worker, 3, False)
    commands = cluster.finish(run.worker if ends else copy.worker, express=True)
    late = copy if ends else run
    assert CancelRun(late.worker, late.batch, express=late.express) in commands
    cluster.drain()
    assert cluster.error(3) is None
    cluster.tell(Tick(now_s=cluster.pool.now_s))
