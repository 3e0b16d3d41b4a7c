"""Graph -> Plan: a way to split is asked for, or chosen by the cost table; a pure function.

What a plan is made of never depends on the workers there are: those imagined here are a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pullback_graph.errors import PullbackError, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_server.planner.branch import branch_split
from pullback_server.planner.cost_table import COST_TABLE, Estimate, estimate
from pullback_server.planner.groups import tasks_of
from pullback_server.planner.nested import nested
from pullback_server.planner.parts import CLEARLY, LANES, Parts, find_parts
from pullback_server.planner.phases import forward_nodes, phase_of
from pullback_server.planner.plan import JobInput, Phase, Plan, Source, TaskOutput
from pullback_server.planner.predict import makespan_s
from pullback_server.planner.shard import ShardSplit, blocks
from pullback_server.planner.shard_axes import (
    LEAST_SHARDED_SHARE,
    Candidate,
    best_of,
    candidates,
    check_nodes,
    forced_count,
    shard_count,
)
from pullback_server.planner.stage import stage_split
from pullback_server.planner.sums import Sum, sums_of
from pullback_server.planner.task_list import TaskList

FORCED_STAGES = 4
"""Stages of a forced `stage` split without a count, where there is enough to cut."""
MOST_SHARDED_LANES = 8
"""Lanes that are sharded in their turn: more are parallel enough by themselves."""
FORCED_LANES = 4
"""Lanes of a forced `branch` split without a count, for work too small to tell."""
WORTH_TASKS = 2
"""A micro-batch of a stage takes at least as long as the overhead of this many tasks."""
MICRO_BATCHES = 4
"""Micro-batches per stage: then all stages work for four fifths of the time."""


@dataclass(frozen=True)
class Joint:
    """A lowered graph with what planning asks of it.

    Attributes:
        values: how many of the outputs, the first ones, are values; the others are derivatives.
    """

    graph: Graph
    values: int

    @cached_property
    def forward(self) -> list[bool]:
        """Per node, whether it is forward work."""
        return forward_nodes(self.graph, self.values)

    @cached_property
    def cost(self) -> Estimate:
        """Predicted seconds."""
        return estimate(self.graph)

    @cached_property
    def axis(self) -> Candidate | None:
        """The best axis to shard along."""
        return best_of(candidates(self.graph))

    @cached_property
    def sums(self) -> dict[int, Sum]:
        """Its sums of several terms."""
        return sums_of(self.graph)

    @cached_property
    def parts(self) -> Parts:
        """Its independent parts."""
        return find_parts(self.graph, self.forward, self.values, self.sums)

    def plan(self, made: TaskList, results: tuple[Source, ...], split: Split, reason: str) -> Plan:
        """The plan of tasks."""
        cost, inputs = self.cost, self.graph.inputs
        return Plan(
            inputs, tuple(made.tasks), results, split, reason, cost.total_s, cost.largest_call_s
        )


def make_plan(graph: Graph, options: Options, *, values: int | None = None) -> Plan:
    """The plan of a lowered graph.

    Args:
        values: how many of the outputs, the first ones, are values; None for all.

    Raises:
        RequestError: a split was forced that the graph does not have; the message says why.
        LimitExceeded: it would make too many nodes.
    """
    joint = Joint(graph, len(graph.outputs) if values is None else values)
    kind, count = options.split.kind, options.split.count
    return _BY_KIND[kind](joint, count)


# --- each kind of split ---------------------------------------------------------------------------


def unsplit(joint: Joint, reason: str) -> Plan:
    """One task for everything."""
    graph, made = joint.graph, TaskList()
    phase = phase_of(range(len(graph.nodes)), joint.forward)
    task = made.add(graph, [JobInput(i) for i in range(len(graph.inputs))], phase)
    results = tuple([TaskOutput(task, k) for k in range(len(graph.outputs))])
    return joint.plan(made, results, Split("none"), reason)


def sharded(joint: Joint, axis: Candidate, count: int) -> Plan:
    """A task a block of the axis, and reduce trees."""
    split = ShardSplit(joint.graph, axis.labels, blocks(axis.labels.length, count), joint.forward)
    results = split.build()
    reason = f"{axis.share:.0%} of the work runs along {axis.title} of length {axis.labels.length}"
    return joint.plan(split.made, results, Split("shard", count), reason)


def branched(joint: Joint, count: int) -> Plan:
    """A task a lane of independent parts between two joins.

    Raises:
        RequestError: the parts wait for one another.
    """
    parts, made = joint.parts, TaskList()
    split = branch_split(joint.graph, parts, joint.sums, count, joint.values)
    if split is None:
        raise RequestError(
            f"split branch: the {len(parts.working)} parts of this graph wait for one another over "
            "and over; use split stage or none",
            field="options.split",
        )
    results = tasks_of(split.graph, split.groups, made)
    reason = (
        f"{len(parts.working)} independent parts have {parts.share:.0%} of the work; "
        f"the heaviest of {count} lanes takes {split.lane_s * 1e3:.3g} ms of it"
    )
    return joint.plan(made, results, Split("branch", count), reason)


def staged(joint: Joint, count: int, micro_batches: int = 1) -> Plan:
    """A task a stage, forward and then backward; for each micro-batch where there are several.

    Raises:
        RequestError: there are not enough nodes one behind the other.
    """
    split = stage_split(joint.graph, joint.forward, count)
    if split is None:
        raise RequestError(
            f"split stage({count}): the forward part of this graph has only "
            f"{sum(joint.forward)} nodes to cut between; use fewer stages",
            field="options.split",
        )
    if joint.axis is not None and micro_batches > 1:
        axis = joint.axis
        ranges = blocks(axis.labels.length, micro_batches)
        cut = ShardSplit(joint.graph, axis.labels, ranges, joint.forward, split.parts)
        results, made = cut.build(), cut.made
        along = f", for each of {micro_batches} micro-batches along {axis.title}"
    else:
        made = TaskList()
        results, along = tasks_of(joint.graph, split.groups(joint.graph, joint.forward), made), ""
    folds = len(split.parts.homes) > count
    derivatives = ", backward work in reverse where its residuals are" if folds else ""
    reason = f"{sum(joint.forward)} forward nodes in {count} stages{derivatives}{along}"
    return joint.plan(made, results, Split("stage", count), reason)


# --- forced ---------------------------------------------------------------------------------------


def _forced_none(joint: Joint, _count: int) -> Plan:
    return unsplit(joint, "split none was asked for")


def _forced_shard(joint: Joint, count: int) -> Plan:
    if joint.axis is None:
        raise RequestError(
            "split shard: no input has an axis along which this graph can be cut; use split none, "
            "branch or stage",
            field="options.split",
        )
    axis = joint.axis
    if axis.labels.length < count:
        axis = best_of(candidates(joint.graph, count)) or axis
    return sharded(joint, axis, forced_count(axis, count))


def _forced_branch(joint: Joint, count: int) -> Plan:
    parts = len(joint.parts.working)
    if parts < max(2, count):
        raise RequestError(
            f"split {Split('branch', count)}: the values of this graph are made of {parts} "
            f"independent part{'' if parts == 1 else 's'}; use "
            f"{'fewer branches' if parts > 1 else 'split shard, stage or none'}",
            field="options.split",
        )
    check_nodes(Split("branch", count), len(joint.graph.nodes))
    return branched(joint, count or min(_lanes(joint) or FORCED_LANES, parts))


def _forced_stage(joint: Joint, count: int) -> Plan:
    check_nodes(Split("stage", count), count)
    if sum(joint.forward) < 2:
        raise RequestError(
            "split stage: the forward part of this graph has fewer than two nodes; use split none",
            field="options.split",
        )
    count = count or min(FORCED_STAGES, sum(joint.forward))
    return staged(joint, count, _micro_batches(joint, count))


def _lanes(joint: Joint) -> int:
    """Lanes for an unforced split: a power of two, each worth its overhead; 0 for none."""
    parts = joint.parts
    most = min(COST_TABLE.most_shards, len(parts.working), sum(parts.seconds) / COST_TABLE.shard_s)
    return 1 << int(most).bit_length() - 1 if most >= 2 else 0


def _micro_batches(joint: Joint, stages: int) -> int:
    """How many micro-batches go through the stages: as many as are worth a task each, or 1."""
    axis = joint.axis
    if axis is None or axis.share < LEAST_SHARDED_SHARE or stages < 2:
        return 1
    worth = axis.sharded_s / (2 * stages * WORTH_TASKS * COST_TABLE.task_s)
    return max(1, min(MICRO_BATCHES * stages, axis.labels.length, int(worth)))


# --- chosen ---------------------------------------------------------------------------------------


def _chosen(joint: Joint, _count: int) -> Plan:
    """The kind predicted to be done first on LANES workers, the simplest of near equals."""
    total_s = joint.cost.total_s
    if total_s < 2 * COST_TABLE.shard_s:
        return unsplit(joint, f"{total_s * 1e3:.3g} ms is too little to split")
    declined: list[str] = []
    best: Plan | None = None
    best_s = CLEARLY * total_s
    for name, make in _CHOICES.items():
        try:
            plan = make(joint)
        except PullbackError as error:
            declined.append(f"{name} failed: {error.message}")
            continue
        if plan is None:
            continue
        spent_s = makespan_s(plan, LANES)
        if spent_s < best_s:
            best, best_s = plan, CLEARLY * spent_s
        else:
            declined.append(f"{plan.split} is predicted to take {spent_s * 1e3:.3g} ms")
    if best is not None:
        return best
    why = "; ".join(declined) or "no axis has enough of the work to shard, and no parts of it do"
    return unsplit(joint, f"{total_s * 1e3:.3g} ms in one task: {why}")


def _chosen_shards(joint: Joint) -> Plan | None:
    shards = shard_count(joint.axis) if joint.axis is not None else 0
    return sharded(joint, joint.axis, shards) if joint.axis is not None and shards > 1 else None


def _chosen_branches(joint: Joint) -> Plan | None:
    if joint.axis is not None and joint.axis.share > CLEARLY and shard_count(joint.axis) >= LANES:
        return None  # that is all there is to win
    lanes = _lanes(joint)
    return branched(joint, lanes) if lanes > 1 else None


def _chosen_branches_in_shards(joint: Joint) -> Plan | None:
    """Few lanes, each sharded along an axis of its own."""
    lanes = min(_lanes(joint), MOST_SHARDED_LANES)
    if lanes < 2 or sum(joint.parts.seconds) < 2 * lanes * COST_TABLE.shard_s:
        return None
    return _with_sharded_lanes(joint, branched(joint, lanes))


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


_CHOICES: Mapping[str, Callable[[Joint], Plan | None]] = {
    "shard": _chosen_shards,
    "branch": _chosen_branches,
    "branch with shards": _chosen_branches_in_shards,
}
"""What is tried where nothing is forced, the simplest first. Stages are for what does not fit."""

_BY_KIND: Mapping[str, Callable[[Joint, int], Plan]] = {
    "auto": _chosen,
    "none": _forced_none,
    "shard": _forced_shard,
    "branch": _forced_branch,
    "stage": _forced_stage,
}
