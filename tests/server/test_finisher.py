"""The end of a job that the dispatcher runs itself: values, and how long they took."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.ref import apply
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.dispatcher.finisher import AT_ONCE_BYTES, Finisher
from pullback_server.planner.plan import JobInput, Phase, Plan, Source, TaskOutput
from pullback_server.pool_job import PoolJob
from pullback_server.scheduler import HERE, Dependencies, JobStatistics
from pullback_server.scheduler.dependencies import MOST_DEEP_VALUE_BYTES, MOST_LEVELS
from tests.server.plans import VECTOR, make_plan, make_task, reduce_plan


def summing_plan(shards: int) -> Plan:
    """Shards, and a tree that adds up pairs of what they give."""
    plan = reduce_plan(shards)
    builder = Builder()
    x, y = builder.input("x", VECTOR), builder.input("y", VECTOR)
    add = builder.build({"sum": apply("add", x, y)})
    tasks = [replace(t, graph=add) if t.phase is Phase.REDUCE else t for t in plan.tasks]
    return replace(plan, tasks=tuple(tasks))


def _moved(source: Source, moved: dict[int, int]) -> Source:
    """The same value of a plan whose tasks have other numbers."""
    if isinstance(source, TaskOutput):
        return TaskOutput(moved[source.task], source.output)
    return source


SIZES = [4, AT_ONCE_BYTES // 8 + 1]


def sum_plan(size: int) -> Plan:
    """Two shards, their sum, and its double."""
    type = ArrayType(FLOAT64, (size,))
    shards = [make_task([JobInput(0)], shard=k, type=type) for k in range(2)]
    builder = Builder()
    x, y = builder.input("x", type), builder.input("y", type)
    add = builder.build({"sum": apply("add", x, y)})
    builder = Builder()
    x = builder.input("x", type)
    twice = builder.build({"twice": apply("add", x, x)})
    joined = make_task([TaskOutput(0, 0), TaskOutput(1, 0)], phase=Phase.REDUCE, shard=0)
    doubled = make_task([TaskOutput(2, 0)], shard=0, seconds=1e-9)
    tasks = [*shards, replace(joined, graph=add), replace(doubled, graph=twice)]
    return make_plan(tasks, [TaskOutput(3, 0), TaskOutput(2, 0)])


@pytest.mark.parametrize("size", SIZES)
def test_the_end_of_a_plan_is_computed_of_what_its_stem_gave(size: int):
    """Here at once where it is small, in a thread where it is not; what it took is told."""
    plan = Dependencies(sum_plan(size))
    job, statistics = PoolJob(1, plan, (), {}), JobStatistics()
    job.results = {TaskOutput(0, 0): np.full(size, 1.0), TaskOutput(1, 0): np.full(size, 2.0)}
    asyncio.run(Finisher().finish(job, statistics, 0.0))
    np.testing.assert_array_equal(job.results[TaskOutput(2, 0)], np.full(size, 3.0))
    np.testing.assert_array_equal(job.results[TaskOutput(3, 0)], np.full(size, 6.0))
    assert [*statistics.timings] == [2, 3]
    assert {timing.worker for timing in statistics.timings.values()} == {HERE}
    assert all(timing.executor.startswith("numpy-") for timing in statistics.timings.values())


def test_the_end_of_large_values_is_the_last_level_of_sums():
    """What is below it is added up where it lies."""
    large = ArrayType(FLOAT64, (MOST_DEEP_VALUE_BYTES // 8 + 1,))
    plan = Dependencies(reduce_plan(8, type=large))
    stem = plan.stem(3)
    assert plan.ends == (14,)
    assert stem is not None
    assert stem.results == {TaskOutput(12, 0), TaskOutput(13, 0)}
    assert plan.wanted == plan.results | stem.results


def test_the_end_of_small_values_is_as_many_levels_as_are_asked_for():
    """Each level is of twice the values; more levels than there are is all of them."""
    plan = Dependencies(reduce_plan(8))
    stems = [plan.stem(levels) for levels in range(5)]
    assert [stem and len(stem.tasks) for stem in stems] == [None, 14, 12, 8, 8]
    assert [stem and sorted(stem.result_tasks) for stem in stems[1:4]] == [
        [12, 13],
        [8, 9, 10, 11],
        [*range(8)],
    ]
    assert plan.wanted == {TaskOutput(task, 0) for task in range(15)}


def test_an_end_is_of_so_many_sums_at_most():
    """Of a thousand shards workers add up those that are together, by the hundreds."""
    plan = Dependencies(reduce_plan(1000))
    assert len(plan.ends) == MOST_LEVELS
    assert len(plan.tasks) - plan.ends[-1] < 2**MOST_LEVELS


def test_a_small_task_that_reads_nothing_may_belong_to_an_end():
    """A constant beside the second level of sums."""
    plan = reduce_plan(4)
    constant = make_task([], seconds=0.0)
    moved = {task: task + (task > 4) for task in range(7)}
    tasks = [replace(t, operands=tuple(_moved(o, moved) for o in t.operands)) for t in plan.tasks]
    tasks.insert(5, constant)
    results = [TaskOutput(7, 0), TaskOutput(5, 0)]
    assert Dependencies(make_plan(tasks, results)).ends == (7, 4)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_any_end_gives_the_bits_of_the_whole_plan(levels: int):
    """Only what no result is there of is computed, whatever workers handed back besides."""
    values = [np.random.default_rng(k).normal(size=4) for k in range(8)]
    plan = Dependencies(summing_plan(8))
    stem = plan.stem(levels)
    assert stem is not None
    found = dict(zip([TaskOutput(k, 0) for k in range(8)], values, strict=True))
    for task in range(8, 15):
        left, right = plan.operands[task]
        found[TaskOutput(task, 0)] = found[left] + found[right]
    job, statistics = PoolJob(1, plan, (), {}), JobStatistics()
    job.results = {value: found[value] for value in stem.results}
    asyncio.run(Finisher().finish(job, statistics, 0.0))
    assert job.results[TaskOutput(14, 0)].tobytes() == found[TaskOutput(14, 0)].tobytes()
    assert [*statistics.timings] == [*range(len(stem.tasks), 15)]
