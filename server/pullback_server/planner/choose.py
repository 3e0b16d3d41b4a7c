"""The split of a job that asks for none: the kind predicted to be done first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf

from pullback_graph.errors import PullbackError
from pullback_graph.quantities import duration
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.forced import lanes_of
from pullback_server.planner.nested import nested
from pullback_server.planner.parts import CLEARLY
from pullback_server.planner.plan import Phase, Plan
from pullback_server.planner.predict import makespan_s
from pullback_server.planner.shard_axes import shard_count
from pullback_server.planner.splits import Joint, branched, sharded, unsplit

MOST_LONGER = 1.25
"""What a plan of a split may take on one worker, over the same work in one task.

More than shards are aimed at (`CostTable.aimed_longer`), as calls, joins and rounds are in it.
"""
MOST_SHARDED_LANES = 8
"""Lanes that are sharded in their turn: more are parallel enough by themselves."""


def chosen(joint: Joint, _count: int) -> Plan:
    """The kind predicted to be done first, the simplest of near equals."""
    total_s = joint.cost.total_s
    if total_s < 2 * COST_TABLE.shard_s:
        return unsplit(joint, f"{duration(total_s)} by the cost table is too little to split")
    declined: list[str] = []
    best: Plan | None = None
    best_s = CLEARLY * total_s
    for at_best_s, name in sorted(_promising(joint)):
        if at_best_s >= best_s:
            break
        try:
            plan = _CHOICES[name].make(joint)
        except PullbackError as error:
            declined.append(f"{name} failed: {error.message}")
            continue
        alone_s, spent_s = makespan_s(plan, 1), COST_TABLE.typical_s(partial(makespan_s, plan))
        if alone_s > MOST_LONGER * total_s:
            declined.append(f"{plan.split} would take one worker {duration(alone_s)}")
        elif spent_s < best_s:
            best, best_s = plan, spent_s
        else:
            declined.append(f"{plan.split} is predicted to take {duration(spent_s)}")
    if best is not None:
        return best
    why = "; ".join(declined) or "no axis has enough of the work to shard, and no parts of it do"
    return unsplit(joint, f"{duration(total_s)} in one task: {why}")


@dataclass(frozen=True, slots=True)
class _Choice:
    """A kind of split.

    Attributes:
        rounds: tasks one behind the other, at least, where its time at best leaves them out.
        at_best_s: its time on so many workers, infinite where there is no such split.
    """

    rounds: int
    at_best_s: Callable[[Joint, int], float]
    make: Callable[[Joint], Plan]


def _promising(joint: Joint) -> Iterator[tuple[float, str]]:
    """The kinds worth a plan, each with its time at best; a dearer one must be clearly faster."""
    soonest_s, total_s = CLEARLY * joint.cost.total_s, joint.cost.total_s
    for name, choice in _CHOICES.items():
        rounds_s = choice.rounds * COST_TABLE.task_s
        if COST_TABLE.typical_s(partial(_evenly_s, total_s)) + rounds_s < soonest_s:
            at_best_s = COST_TABLE.typical_s(partial(choice.at_best_s, joint)) + rounds_s
            if at_best_s < soonest_s:
                soonest_s = CLEARLY * at_best_s
                yield at_best_s, name


def _evenly_s(work_s: float, workers: int) -> float:
    """The time of work that falls into as many equal tasks as are worth it, all at once."""
    return work_s / max(1.0, min(workers, work_s / COST_TABLE.shard_s))


def _shards_s(joint: Joint, workers: int) -> float:
    """Shards divide the work of array calls and make every call, so that alone may rule them out.

    No axis is looked for then: that takes longest where a graph is of many small nodes.
    """
    total_s, calls_s = joint.cost.total_s, COST_TABLE.node_s * joint.graph.cost.calls
    if calls_s + _evenly_s(total_s - calls_s, max(COST_TABLE.workers)) >= CLEARLY * total_s:
        return inf
    axis, count = joint.axis, shard_count(joint.axis) if joint.axis is not None else 0
    return axis.shards_s(count, workers) if axis and count > 1 else inf


def _chosen_shards(joint: Joint) -> Plan:
    assert joint.axis is not None, "a split without an axis takes for ever"
    return sharded(joint, joint.axis, shard_count(joint.axis))


def _branches_s(joint: Joint, workers: int) -> float:
    parts, lanes = joint.parts, lanes_of(joint)
    lane_s = max(*parts.seconds, sum(parts.seconds) / max(min(lanes, workers), 1))
    return parts.trunk_s + lane_s if lanes > 1 else inf


def _chosen_branches(joint: Joint) -> Plan:
    return branched(joint, lanes_of(joint))


def _sharded_branches_s(joint: Joint, workers: int) -> float:
    lanes = min(lanes_of(joint), MOST_SHARDED_LANES)
    work_s = sum(joint.parts.seconds)
    heavy = lanes > 1 and work_s >= 2 * lanes * COST_TABLE.shard_s
    return joint.parts.trunk_s + _evenly_s(work_s, workers) if heavy else inf


def _chosen_sharded_branches(joint: Joint) -> Plan:
    """Few lanes, each sharded along an axis of its own."""
    plan = branched(joint, min(lanes_of(joint), MOST_SHARDED_LANES))
    return _with_sharded_lanes(joint, plan) or plan


def _with_sharded_lanes(joint: Joint, plan: Plan) -> Plan | None:
    """The plan with shards for tasks that have an axis to cut; None where none has."""
    inner: dict[int, Plan] = {}
    titles: dict[str, None] = {}
    for number, task in enumerate(plan.tasks):
        own = Joint(task.graph, len(task.graph.outputs))
        if task.phase is Phase.REDUCE or own.cost.total_s < 2 * COST_TABLE.shard_s:
            continue
        shards = shard_count(own.axis) if own.axis is not None else 0
        if own.axis is not None and shards > 1:
            inner[number] = sharded(own, own.axis, shards)
            titles[f"{shards} shards of length {own.axis.labels.length}"] = None
    if not inner:
        return None
    made, results = nested(plan, inner)
    reason = f"{plan.reason}; of those, {len(inner)} tasks in {', '.join(titles)}"
    return joint.plan(made, results, plan.split, reason)


_CHOICES: Mapping[str, _Choice] = {
    "shard": _Choice(0, _shards_s, _chosen_shards),
    "branch": _Choice(4, _branches_s, _chosen_branches),
    "branch with shards": _Choice(6, _sharded_branches_s, _chosen_sharded_branches),
}
"""What is tried where nothing is forced, the simplest first. Stages are for what does not fit."""
