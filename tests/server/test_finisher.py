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
from pullback_server.planner.plan import JobInput, Phase, Plan, TaskOutput
from pullback_server.pool_job import PoolJob
from pullback_server.scheduler import HERE, Dependencies, JobStatistics
from tests.server.plans import make_plan, make_task

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


def test_only_the_last_level_of_sums_is_an_end():
    """What is below it is added up where it lies."""
    plan = Dependencies(sum_plan(4))
    assert plan.stem is not None
    assert len(plan.stem.tasks) == 2
    assert plan.stem.results == {TaskOutput(0, 0), TaskOutput(1, 0)}
    assert plan.wanted == plan.results | plan.stem.results
