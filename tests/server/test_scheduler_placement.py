"""Where the shards of a job go: together, or apart without keeping one another waiting."""

from __future__ import annotations

import pytest

from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import Block, JobInput, Phase, Plan, TaskOutput
from pullback_server.scheduler import HERE, Command, Dependencies, Fetch, Run
from tests.server.cluster import Cluster, runs
from tests.server.plans import make_plan, make_task, reduce_plan

TINY_S = 1e-4
BRIEF_S = 0.015
LONG_S = 0.02


def rounds_plan(seconds: float) -> Plan:
    """Two shards, what joins theirs end to end, two shards more that read it all, and their sum."""
    first = [make_task([JobInput(0, Block(0, k, k + 1))], shard=k, seconds=1e-3) for k in (0, 1)]
    joined = make_task([TaskOutput(0, 0), TaskOutput(1, 0)], phase=Phase.REDUCE, shard=0)
    second = [make_task([TaskOutput(2, 0)], shard=k, seconds=seconds) for k in (0, 1)]
    total = make_task([TaskOutput(3, 0), TaskOutput(4, 0)], phase=Phase.REDUCE, shard=0)
    return make_plan([*first, joined, *second, total], [TaskOutput(5, 0)])


# --- together ------------------------------------------------------------------------------------


def test_a_tiny_job_is_one_batch_on_one_worker():
    """Its shards and their sums all go to one worker, and nothing of it travels between two."""
    ((worker, tasks),) = runs(Cluster().submit(reduce_plan(8, seconds=TINY_S))).items()
    assert (worker, sorted(tasks)) == (1, list(range(15)))


def test_tiny_jobs_of_one_plan_go_to_all_workers():
    """The worker that has the program is busy: the next takes the next job, whoever sent it."""
    cluster, plan = Cluster(workers=3), reduce_plan(2, seconds=TINY_S)
    given = [runs(cluster.submit(plan, job, client=f"{job}")) for job in (1, 2, 3)]
    assert given == [{1: [0, 1, 2]}, {2: [0, 1, 2]}, {3: [0, 1, 2]}]


def test_large_partial_values_keep_a_short_job_together():
    """What a second worker would have to hand over counts, not only its way."""
    type = ArrayType(FLOAT64, (4_000_000,))
    assert len(runs(Cluster().submit(reduce_plan(2, seconds=0.02)))) == 2
    assert len(runs(Cluster().submit(reduce_plan(2, seconds=0.02, type=type)))) == 1


def test_a_job_is_spread_or_not_by_what_it_was_measured_to_take():
    """Predicted to be long and found to be tiny, a plan stays together from its second job on."""
    cluster, plan = Cluster(), Dependencies(reduce_plan(2, seconds=1.0))
    cluster.pool.running_s = TINY_S
    assert len(runs(cluster.submit(plan.plan))) == 2
    cluster.drain()
    assert len(runs(cluster.submit(plan.plan, job=2))) == 1


def batches_of(cluster: Cluster, commands: list[Command]) -> list[Run]:
    """The batches among these commands, and all that follow until nothing runs."""
    found = [command for command in commands if isinstance(command, Run)]
    while busy := [w for w, own in cluster.pool.workers.items() if own.queue]:
        found += [command for command in cluster.finish(busy[0]) if isinstance(command, Run)]
    return found


def workers_of(cluster: Cluster, commands: list[Command], batch_s: float) -> dict[int, set[int]]:
    """The workers that each job ran on, where all workers take so long for a batch."""
    found: dict[int, set[int]] = {}
    pool = cluster.pool
    while busy := [worker for worker, own in pool.workers.items() if own.queue]:
        for run in [command for command in commands if isinstance(command, Run)]:
            found.setdefault(run.job, set()).add(run.worker)
        commands = cluster.tick(batch_s)
        commands += cluster.tell(*[event for worker in busy for event in pool.finish(worker)])
    return found


def test_a_job_of_many_batches_that_is_not_spread_is_not_scattered():
    """All of its batches go to the worker of the first, whoever is idle; no value travels."""
    cluster = Cluster()
    plan = reduce_plan(8, seconds=0.1, type=ArrayType(FLOAT64, (50_000_000,)))
    given = batches_of(cluster, cluster.submit(plan))
    assert len(given) > 4
    assert {run.worker for run in given} == {1}
    assert not any(run.fetches for run in given)


def test_a_job_that_is_not_spread_is_kept_together_on_the_next_worker_too():
    """Lost with its worker, it begins again on one of the others, and stays there."""
    cluster = Cluster(workers=3)
    plan = reduce_plan(8, seconds=0.1, type=ArrayType(FLOAT64, (50_000_000,)))
    cluster.submit(plan)
    given = batches_of(cluster, cluster.tell(cluster.pool.lose(1)))
    assert len({run.worker for run in given}) == 1
    assert cluster.pool.replies[1]


@pytest.mark.parametrize("workers", [2, 3])
def test_a_short_job_is_spread_while_fewer_jobs_than_workers_are_under_way(workers: int):
    """Each of more is one batch on one worker; one that is alone again is spread again."""
    cluster, plan = Cluster(workers=workers), reduce_plan(2, seconds=BRIEF_S)
    commands = [c for job in range(1, 9) for c in cluster.submit(plan, job)]
    found = workers_of(cluster, commands, 2 * BRIEF_S)
    assert [job for job, own in found.items() if len(own) > 1] == [*range(1, workers)]
    assert len(runs(cluster.submit(plan, 9))) == 2


def test_a_job_of_several_batches_is_spread_whoever_waits():
    """The way to another worker is little beside such shards."""
    cluster, plan = Cluster(), reduce_plan(2, seconds=1.0)
    commands = [c for job in range(1, 6) for c in cluster.submit(plan, job)]
    found = workers_of(cluster, commands, 1.0)
    assert [len(found[job]) for job in range(1, 5)] == [2, 2, 2, 2]  # for the last, none waits


@pytest.mark.parametrize(("workers", "spread"), [(4, True), (2, False)])
def test_a_short_job_is_due_its_client_s_share_of_the_workers(workers: int, spread: bool):
    """Beside another client's queue it is due half of them, however long that is."""
    cluster, plan = Cluster(workers=workers), reduce_plan(2, seconds=BRIEF_S)
    commands = [c for job in range(2, 41) for c in cluster.submit(plan, job, client="many")]
    commands += cluster.submit(plan, 1, client="one")
    found = workers_of(cluster, commands, 2 * BRIEF_S)
    assert (len(found[1]) > 1) is spread


@pytest.mark.parametrize("shards", [1, 3])
def test_a_tiny_job_survives_its_worker(shards: int):
    """All of it runs again, on one of the others."""
    cluster = Cluster()
    assert runs(cluster.submit(reduce_plan(shards, seconds=TINY_S))).keys() == {1}
    assert runs(cluster.tell(cluster.pool.lose(1))).keys() == {2}


def test_rounds_are_counted_along_the_longest_way():
    """One for a sum over shards, one more for each sum that shards wait for."""
    assert Dependencies(reduce_plan(8)).rounds == 1
    assert Dependencies(rounds_plan(LONG_S)).rounds == 2
    assert Dependencies(make_plan([make_task([JobInput(0)])], [TaskOutput(0, 0)])).rounds == 1


@pytest.mark.parametrize(("elements", "taken"), [(4, True), (10**9, False)])
def test_a_shard_stays_where_its_sum_is_if_what_it_gives_is_large(elements: int, taken: bool):
    """An idle worker takes no shard whose value has a longer way back than its home is busy."""
    cluster = Cluster()
    type = ArrayType(FLOAT64, (elements,))
    assert len(runs(cluster.submit(reduce_plan(4, seconds=20.0, type=type)))) == 2
    cluster.tick(15.0)
    cluster.finish(2)
    assert (1 in runs(cluster.finish(2)).get(2, [])) is taken


@pytest.mark.parametrize(("ran_s", "taken"), [(8.0, True), (14.0, False)])
def test_a_shard_is_taken_over_only_where_that_clearly_pays(ran_s: float, taken: bool):
    """Its value is written on one side and read on the other: 2 s each, and half as much again."""
    cluster = Cluster()
    type = ArrayType(FLOAT64, (250_000_000,))
    assert len(runs(cluster.submit(reduce_plan(4, seconds=20.0, type=type)))) == 2
    cluster.tick(ran_s)
    cluster.finish(2)
    assert (1 in runs(cluster.finish(2)).get(2, [])) is taken


# --- apart ---------------------------------------------------------------------------------------


def test_long_work_does_not_follow_what_other_workers_wait_for():
    """A join is reported before its worker goes on, so that all shards behind it start at once."""
    cluster = Cluster()
    cluster.pool.running_s = LONG_S
    assert runs(cluster.submit(rounds_plan(LONG_S))) == {1: [0], 2: [1]}
    cluster.finish(2)
    assert runs(cluster.finish(1)) == {1: [2]}
    assert runs(cluster.finish(1)) == {1: [3], 2: [4]}


def test_slight_work_follows_what_other_workers_wait_for():
    """What takes less than a worker's answer is not worth a batch of its own."""
    cluster = Cluster()
    cluster.pool.running_s = 1e-3
    cluster.submit(rounds_plan(LONG_S))  # programs that are soon known to be quick
    cluster.finish(2)
    assert runs(cluster.finish(1)) == {1: [2, 3]}


def test_values_handed_back_bind_nobody():
    """What all shards read is there for all: each runs where it was laid."""
    cluster = Cluster()
    cluster.pool.running_s = LONG_S
    cluster.submit(rounds_plan(LONG_S))
    cluster.finish(2)
    cluster.finish(1)
    commands = cluster.finish(1)
    fetched = [fetch for run in commands for fetch in getattr(run, "fetches", ())]
    assert [(fetch.value, fetch.holder) for fetch in fetched] == [(TaskOutput(2, 0), HERE)]


def test_a_value_is_not_asked_of_a_worker_that_it_is_still_brought_to():
    """Two workers take over what reads a value of a third: both are brought it by that one."""
    cluster = Cluster(workers=3)
    long = make_plan([make_task([JobInput(0)], seconds=1.0)], [TaskOutput(0, 0)])
    for job in (1, 2):
        cluster.submit(long, job)
    readers = [make_task([TaskOutput(0, 0)], seconds=1.0) for _ in range(4)]
    results = [TaskOutput(1 + k, 0) for k in range(4)]
    cluster.submit(make_plan([make_task([JobInput(0)], seconds=1.0), *readers], results), 3)
    commands = cluster.finish(3) + cluster.finish(1) + cluster.finish(2)
    fetched = {run.worker: run.fetches for run in commands if isinstance(run, Run)}
    assert fetched == {3: (), 1: (Fetch(TaskOutput(0, 0), 3),), 2: (Fetch(TaskOutput(0, 0), 3),)}
    cluster.finish(2)
    assert not cluster.pool.misses
