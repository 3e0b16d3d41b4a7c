"""A lowered graph with what planning asks of it, and each kind of split of it as a Plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pullback_graph.errors import RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import Split
from pullback_graph.quantities import duration
from pullback_server.planner.branch import branch_split
from pullback_server.planner.cost_table import Estimate, estimate
from pullback_server.planner.groups import tasks_of
from pullback_server.planner.parts import Parts, find_parts
from pullback_server.planner.phases import forward_nodes, phase_of
from pullback_server.planner.plan import JobInput, Plan, Source, TaskOutput
from pullback_server.planner.shard import ShardSplit, blocks
from pullback_server.planner.shard_axes import (
    Candidate,
    best_of,
    candidates,
)
from pullback_server.planner.stage import stage_split
from pullback_server.planner.sums import Sum, sums_of
from pullback_server.planner.task_list import TaskList


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
        f"the heaviest of {count} lanes takes {duration(split.lane_s)} of it"
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
