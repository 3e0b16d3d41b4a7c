"""Whose turn it is: clients, priorities and sizes share the workers, and nobody starves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_server.scheduler import Run
from pullback_server.scheduler.ready import MOST_LINES, HomeIndex, ReadyTasks, Turn
from pullback_server.scheduler.shares import LEVEL_WEIGHT, MOST_IDLE_FLOWS, Flow, Shares
from tests.server.cluster import Cluster
from tests.server.plans import reduce_plan


def served(cluster: Cluster, batches: int) -> list[int]:
    """The jobs of the next batches of the only worker, in order; short ones are done first."""
    order = []
    for _ in range(batches):
        run = cluster.pool.workers[1].lane(express=True)[0]
        order.append(run.job)
        cluster.finish(1, express=True)
    return order


def turns(shares: Shares, flows: dict[int, Flow], count: int) -> list[int]:
    """The jobs whose turn it is, in order; each is given a second of its flow."""
    order = []
    for _ in range(count):
        job = shares.first()
        assert job is not None
        order.append(job)
        shares.charge(flows[job], 1.0)
    return order


def test_clients_share_evenly_whatever_they_send():
    """One client with a hundred jobs and one with two get the worker in turns."""
    cluster = Cluster(workers=1)
    for job in range(1, 101):
        cluster.submit(reduce_plan(1, seconds=1.0), job=job, client="many")
    for job in (101, 102):
        cluster.submit(reduce_plan(1, seconds=1.0), job=job, client="few")
    assert {101, 102} <= set(served(cluster, 5))


def test_a_client_s_small_job_does_not_wait_for_its_large_one():
    """Of one client, jobs of different size take turns; the small one is second at most."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(64, seconds=1.0), job=1, client="a")
    cluster.submit(reduce_plan(1, seconds=0.01), job=2, client="a")
    assert 2 in served(cluster, 2)


def test_a_large_job_is_not_starved_by_small_ones():
    """With small jobs without end of the same client, the large one gets its turns."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(8, seconds=1.0), job=1, client="a")
    for job in range(2, 400):
        cluster.submit(reduce_plan(1, seconds=0.06), job=job, client="a")
    assert served(cluster, 60).count(1) >= 3


def test_a_lower_priority_is_slow_but_not_starved():
    """A level above gets eight times the share, not everything."""
    cluster = Cluster(workers=1)
    for job in range(1, 101):
        cluster.submit(reduce_plan(1, seconds=1.0), job=job, priority=job % 2)
    levels = Counter(job % 2 for job in served(cluster, 45))
    assert 3 <= levels[0] <= 45 / LEVEL_WEIGHT + 1


def test_workers_far_apart_run_loose_and_laid_jobs_alike():
    """Jobs whose shards are laid to workers and jobs that may run anywhere both go on."""
    cluster = Cluster(workers=2)
    for job in range(1, 9):
        plan = reduce_plan(8, seconds=0.2) if job % 2 else reduce_plan(1, seconds=0.2)
        cluster.submit(plan, job=job, client=str(job % 2))
    order = []
    for _ in range(24):
        for worker in (1, 2):
            commands = cluster.finish(worker) if cluster.pool.workers[worker].queue else []
            order += [c.job for c in commands if isinstance(c, Run)]
    assert {job % 2 for job in order[:6]} == {0, 1}
    cluster.drain()
    assert set(cluster.pool.replies) == set(range(1, 9))


def test_what_began_first_goes_on_first():
    """A sum that is ready late is not behind younger jobs of its worker: few jobs are half done."""
    index = HomeIndex()
    older, younger, other = (ReadyTasks(k, index, Turn(k == 3, k)) for k in (1, 2, 3))
    older.add(0, 1)
    younger.add(0, 1)
    other.add(0, 1)
    older.remove(0)
    older.add(1, 1)
    assert index.first(1, 4) == [1, 2, 3]
    assert index.first(1, 2) == [1, 3]
    for ready, task in ((younger, 0), (other, 0), (older, 1)):
        ready.remove(task)
    assert not index.first(1, 4)
    assert not index.jobs
    assert not index.lines


def test_no_line_of_a_worker_is_forgotten():
    """Of many clients that wait for one worker, each is looked at in its turn."""
    index = HomeIndex()
    for job in range(3 * MOST_LINES):
        ReadyTasks(job, index, Turn(f"client {job}", job)).add(0, 1)
    seen = {job for _ in range(3 * MOST_LINES) for job in index.first(1, 4)}
    assert seen == {*range(3 * MOST_LINES)}


@given(
    costs=st.lists(st.tuples(st.integers(0, 4), st.floats(0.01, 2.0)), min_size=200, max_size=200)
)
@settings(max_examples=25, deadline=None)
def test_backlogged_clients_get_equal_time(costs: list[tuple[int, float]]):
    """While five clients have work, what they got differs by two of the largest jobs at most."""
    shares = Shares()
    leaves = [shares.leaf(0, f"client {k}", 1.0) for k in range(5)]
    for client, leaf in enumerate(leaves):
        shares.add(client, client, leaf)
    had = [0.0] * 5
    for _, seconds in costs:
        job = shares.first()
        assert job is not None
        shares.charge(leaves[job], seconds)
        had[job] += seconds
        shares.discard(job)
        shares.add(job, job, leaves[job])
    assert max(had) - min(had) <= 2 * 2.0


@given(kinds=st.lists(st.tuples(st.integers(-9, 9), st.sampled_from("abc"), st.floats(0.0, 9.0))))
def test_jobs_under_way_are_due_all_workers_together(
    kinds: list[tuple[int, str, float]],
):
    """Their parts add up to one, jobs of a kind have equal ones, and nothing is left behind."""
    shares = Shares()
    leaves = [shares.leaf(*kind) for kind in kinds]
    for k, leaf in enumerate(leaves, 1):
        Shares.enter(leaf)
        assert sum(map(Shares.due, leaves[:k])) == pytest.approx(1.0)
    for leaf in leaves:
        Shares.leave(leaf)
    assert not shares._root.rivals


def test_a_client_that_was_away_has_saved_nothing_up():
    """Who comes back shares from now on; time without work is not made up for."""
    shares = Shares()
    here, away = shares.leaf(0, "here", 1.0), shares.leaf(0, "away", 1.0)
    shares.add(1, 1, here)
    for _ in range(100):
        assert shares.first() == 1
        shares.charge(here, 1.0)
    shares.add(2, 2, away)
    order = turns(shares, {1: here, 2: away}, 20)
    assert 9 <= order.count(2) <= 11


def test_who_is_served_alone_has_saved_nothing_up_either():
    """A client that was away, and has workers for itself while another is, shares from then on."""
    shares = Shares()
    busy, idle = shares.leaf(0, "busy", 1.0), shares.leaf(0, "idle", 1.0)
    shares.add(1, 1, busy)
    for _ in range(100):
        shares.charge(busy, 1.0)
    shares.discard(1)
    shares.add(2, 2, idle)
    for _ in range(3):
        assert shares.first() == 2
        shares.charge(idle, 1.0)
    shares.add(1, 1, busy)
    order = turns(shares, {1: busy, 2: idle}, 20)
    assert 8 <= order.count(2) <= 12


def test_who_waits_while_another_is_served_out_of_turn_keeps_its_claim():
    """Work that belongs to a worker is given there at once: it counts to its client's share."""
    shares = Shares()
    out_of_turn, waits = shares.leaf(0, "out of turn", 1.0), shares.leaf(0, "waits", 1.0)
    shares.add(1, 1, out_of_turn)
    shares.add(2, 2, waits)
    for _ in range(50):
        shares.charge(out_of_turn, 1.0)
    order = turns(shares, {1: out_of_turn, 2: waits}, 50)
    assert order.count(2) >= 49


def test_a_flow_has_waiting_jobs_while_one_has_something_to_run():
    """Also where it waits alone."""
    shares = Shares()
    one, other = shares.leaf(0, "one", 1.0), shares.leaf(0, "other", 1.0)
    shares.add(1, 1, one)
    assert (shares.has_waiting(one), shares.has_waiting(other)) == (True, False)
    shares.discard(1)
    assert not shares.has_waiting(one)
    assert shares.first() is None


def test_clients_that_come_and_go_leave_nothing():
    """A server that sees a new client with every call does not remember them all."""
    shares = Shares()
    for client in range(5 * MOST_IDLE_FLOWS):
        leaf = shares.leaf(0, f"client {client}", 1.0)
        shares.add(client, client, leaf)
        assert shares.first() == client
        shares.charge(leaf, 1e-3)
        shares.discard(client)
        assert shares.first() is None
    (level,) = shares._root.children.values()
    assert len(level.children) <= MOST_IDLE_FLOWS


def test_extreme_priorities_and_sizes_have_their_place():
    """Any 32-bit priority and any predicted time gives a flow with a finite weight."""
    shares = Shares()
    for job, (priority, total_s) in enumerate([(2**31 - 1, 0.0), (-(2**31), 1e12), (0, 1.0)]):
        shares.add(job, job, shares.leaf(priority, "a", total_s))
    assert shares.first() == 0
