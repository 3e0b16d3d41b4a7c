"""A plan whose every task fits a memory cap: by more shards, by computing again, by stages.

The cap is the job's or the server's setting, so a plan still depends on no worker that happens to
be there. Of the ways that fit, the one predicted to be done first is taken; stages, whose residuals
wait on several workers, only where nothing else fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from pullback_graph.errors import LimitExceeded, PullbackError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_server.planner.fit_memory import fit_memory
from pullback_server.planner.make_plan import make_plan
from pullback_server.planner.parts import LANES
from pullback_server.planner.plan import Plan
from pullback_server.planner.predict import makespan_s
from pullback_server.planner.shard_axes import LEAST_SHARDED_SHARE, MOST_TASK_NODES
from pullback_server.planner.splits import Joint, sharded, staged

MOST_MEMORY_SHARDS = 1024
MOST_MEMORY_STAGES = 64
"""How finely a job is cut for the sake of memory."""


class Cap(NamedTuple):
    """The most memory of one task, and the flag or option that says so."""

    size_bytes: int
    name: str


class Fitted(NamedTuple):
    """A plan within its cap, and its work over that without one (0 where nothing is redone)."""

    plan: Plan
    factor: float

    @property
    def predicted_s(self) -> float:
        """How long it takes, about, on LANES workers."""
        return makespan_s(self.plan, LANES)


def plan_within(graph: Graph, options: Options, values: int, cap: Cap) -> Fitted:
    """The plan of a lowered graph for a cap on the memory of one task.

    Args:
        values: how many of the outputs, the first ones, are values.

    Raises:
        RequestError: a split was forced that the graph does not have.
        LimitExceeded: no way to split or to compute again fits; the message has the numbers.
    """
    plan, cap_bytes = make_plan(graph, options, values=values), cap.size_bytes
    if fits(plan, cap_bytes):
        return Fitted(plan, 0.0)
    joint = Joint(graph, values)
    ways = [*_more_shards(joint, options.split, cap_bytes)]
    fault = ""
    try:
        ways.append(Fitted(*fit_memory(plan, cap_bytes)))
    except LimitExceeded as error:
        fault = error.message
    if not ways:
        ways += _stages(joint, options.split, cap_bytes)
    if not ways:
        raise LimitExceeded(
            f"a task is estimated to need {_largest_bytes(plan)} bytes, {cap.name} allows "
            f"{cap_bytes}: {fault}",
            field="options.memory_cap_bytes",
        )
    best = min(ways, key=lambda way: way.predicted_s)
    return best if best.plan.tasks == plan.tasks else _explained(best, plan, cap_bytes)


def fits(plan: Plan, cap_bytes: int) -> bool:
    """Whether every task is within the cap."""
    return all([task.peak_bytes <= cap_bytes for task in plan.tasks])


def _explained(way: Fitted, before: Plan, cap_bytes: int) -> Fitted:
    """The way with a reason that says what would not have fitted."""
    largest = _largest_bytes(before)
    reason = (
        f"{way.plan.reason}; split {before.split} would take {largest} bytes in a task, "
        f"{cap_bytes} are allowed"
    )
    return way._replace(plan=replace(way.plan, reason=reason))


def _more_shards(joint: Joint, asked: Split, cap_bytes: int) -> Iterator[Fitted]:
    """The coarsest shards that fit without computing anything again, where the planner may say."""
    axis = joint.axis if _free(asked, "shard") else None
    if axis is None or axis.share < LEAST_SHARDED_SHARE:
        return
    nodes = max(len(joint.graph.nodes), 1)
    most = min(axis.labels.length, MOST_MEMORY_SHARDS, MOST_TASK_NODES // nodes)
    for count in _doubling(most):
        plan = sharded(joint, axis, count)
        if fits(plan, cap_bytes):
            yield Fitted(plan, 0.0)
            return


def _stages(joint: Joint, asked: Split, cap_bytes: int) -> Iterator[Fitted]:
    """The fewest stages that fit, by themselves or with what they can compute again."""
    if not _free(asked, "stage"):
        return
    smallest: Plan | None = None
    for count in _doubling(min(MOST_MEMORY_STAGES, sum(joint.forward))):
        try:
            plan = staged(joint, count)
        except PullbackError:
            break
        if fits(plan, cap_bytes):
            yield Fitted(plan, 0.0)
            return
        smallest = min(smallest or plan, plan, key=_largest_bytes)
    if smallest is not None:
        try:
            yield Fitted(*fit_memory(smallest, cap_bytes))
        except LimitExceeded:
            return


def _free(asked: Split, kind: str) -> bool:
    """Whether the planner may choose how many of a kind there are."""
    return asked.kind == "auto" or (asked.kind == kind and not asked.count)


def _doubling(most: int) -> Iterator[int]:
    """2, 4, 8 and so on, and last the most there may be."""
    count = 2
    while count < most:
        yield count
        count *= 2
    if most >= 2:
        yield most


def _largest_bytes(plan: Plan) -> int:
    return max(task.peak_bytes for task in plan.tasks)
