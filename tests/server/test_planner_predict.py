"""Predicted times, traffic and memory of plans made by hand and by the planner."""

from __future__ import annotations

import pytest

from pullback_graph.derivative import lower
from pullback_graph.job import Options, Split
from pullback_graph.want import Gradient
from pullback_server.planner import JobInput, Phase, TaskOutput, make_plan
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.predict import input_bytes, predict
from pullback_worker.numpy_executor import fold
from tests.server.plans import VECTOR, make_task, reduce_plan
from tests.server.plans import make_plan as plan_of
from tests.server.test_planner_stage import WEIGHTS, layered


def test_one_worker_does_one_task_after_the_other() -> None:
    """Nothing moves; each task takes its own time and that of a task in a batch."""
    made = predict(reduce_plan(4), 1)
    assert made.moved_bytes == 0
    assert made.estimated_s == pytest.approx(7 * COST_TABLE.call_s, rel=0.1)


def test_shards_run_beside_each_other() -> None:
    """Four workers take a round of shards and two of joins, which wait for a vector each."""
    made = predict(reduce_plan(4), 4)
    expected_s = 3 * COST_TABLE.call_s + 2 * COST_TABLE.task_s
    assert made.estimated_s == pytest.approx(expected_s, rel=0.1)
    assert made.moved_bytes == 3 * VECTOR.size_bytes


def test_values_are_held_until_they_are_read() -> None:
    """A value that waits for its last reader counts; one that is a result only does not."""
    tasks = [make_task([JobInput(0)], shard=0), make_task([TaskOutput(0, 0)], shard=0)]
    tasks.append(make_task([TaskOutput(0, 0), TaskOutput(1, 0)], shard=0, phase=Phase.REDUCE))
    assert predict(plan_of(tasks, [TaskOutput(2, 0)]), 1).worker_bytes == 2 * VECTOR.size_bytes


def test_a_plan_without_tasks_takes_no_time() -> None:
    """Its results are its inputs."""
    made = predict(plan_of([], [JobInput(0)]), 3)
    assert (made.estimated_s, made.moved_bytes, made.worker_bytes) == (0.0, 0, 0)
    assert input_bytes(plan_of([], [JobInput(0)])) == 0


@pytest.mark.parametrize("split", [Split("stage", 4), Split("shard", 8)])
def test_more_workers_hold_less_and_take_no_longer(split: Split) -> None:
    """Residuals stay where they are made: a stage's worker holds its own."""
    lowered = lower(layered(20_000, 32), Gradient(WEIGHTS, "loss"), fold=fold)
    plan = make_plan(lowered.graph, Options(split=split), values=lowered.value_count)
    one, four = predict(plan, 1), predict(plan, 4)
    assert four.estimated_s < 0.7 * one.estimated_s
    assert four.worker_bytes <= one.worker_bytes
    assert four.moved_bytes > 0
