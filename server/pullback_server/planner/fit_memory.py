"""Brings a plan's tasks under a memory cap, by computing values again where they do not fit."""

from __future__ import annotations

from dataclasses import replace

from pullback_graph.graph import Graph
from pullback_graph.recompute import Recomputed, fit
from pullback_server.planner.plan import Plan, Task


def fit_memory(plan: Plan, cap_bytes: int) -> tuple[Plan, float]:
    """The plan with every task within the cap, and its work over that of the plan as it was.

    The factor is 0 where every task fits as it is.

    Raises:
        LimitExceeded: a task cannot be made to fit.
    """
    if all([task.peak_bytes <= cap_bytes for task in plan.tasks]):
        return plan, 0.0
    fitted: dict[int, Recomputed] = {}
    tasks = tuple([_fitted(task, cap_bytes, fitted) for task in plan.tasks])
    before = sum([task.graph.cost.work for task in plan.tasks])
    after = sum([task.graph.cost.work for task in tasks])
    return replace(plan, tasks=tasks), after / max(before, 1.0)


def _fitted(task: Task, cap_bytes: int, fitted: dict[int, Recomputed]) -> Task:
    """The task, its graph exchanged for one that fits; equal shards share theirs still."""
    if task.peak_bytes <= cap_bytes:
        return task
    if id(task.graph) not in fitted:
        fitted[id(task.graph)] = fit(task.graph, cap_bytes)
    made: Graph = fitted[id(task.graph)].graph
    return replace(
        task,
        graph=made,
        flops=made.cost.flops,
        size_bytes=made.cost.size_bytes,
        peak_bytes=fitted[id(task.graph)].peak_bytes,
    )
