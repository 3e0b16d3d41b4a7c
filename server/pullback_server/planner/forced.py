"""Splits that were asked for: what a graph does not have is refused, and the message says why."""

from __future__ import annotations

from pullback_graph.errors import RequestError
from pullback_graph.job import Split
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import Plan
from pullback_server.planner.shard_axes import (
    LEAST_SHARDED_SHARE,
    best_of,
    candidates,
    check_nodes,
    forced_count,
)
from pullback_server.planner.splits import Joint, branched, sharded, staged, unsplit

FORCED_STAGES = 4
"""Stages of a forced `stage` split without a count, where there is enough to cut."""
FORCED_LANES = 4
"""Lanes of a forced `branch` split without a count, for work too small to tell."""
WORTH_TASKS = 2
"""A micro-batch of a stage takes at least as long as the overhead of this many tasks."""
MICRO_BATCHES = 4
"""Micro-batches per stage: then all stages work for four fifths of the time."""


ASKED_FOR_NONE = "split none was asked for"


def forced_none(joint: Joint, _count: int) -> Plan:
    """One task, as was asked for."""
    return unsplit(joint, ASKED_FOR_NONE)


def forced_shard(joint: Joint, count: int) -> Plan:
    """Shards along the best axis that is long enough.

    Raises:
        RequestError: the graph has none, or not so many.
        LimitExceeded: it would make too many nodes.
    """
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


def forced_branch(joint: Joint, count: int) -> Plan:
    """Lanes of independent parts.

    Raises:
        RequestError: the graph has none, or not so many.
        LimitExceeded: it would make too many nodes.
    """
    parts = len(joint.parts.working)
    if parts < max(2, count):
        raise RequestError(
            f"split {Split('branch', count)}: the values of this graph are made of {parts} "
            f"independent part{'' if parts == 1 else 's'}; use "
            f"{'fewer branches' if parts > 1 else 'split shard, stage or none'}",
            field="options.split",
        )
    check_nodes(Split("branch", count), len(joint.graph.nodes))
    return branched(joint, count or min(lanes_of(joint) or FORCED_LANES, parts))


def forced_stage(joint: Joint, count: int) -> Plan:
    """Stages, with micro-batches where a batch axis is worth it.

    Raises:
        RequestError: the graph has none, or not so many.
        LimitExceeded: it would make too many nodes.
    """
    check_nodes(Split("stage", count), count)
    if sum(joint.forward) < 2:
        raise RequestError(
            "split stage: the forward part of this graph has fewer than two nodes; use split none",
            field="options.split",
        )
    count = count or min(FORCED_STAGES, sum(joint.forward))
    return staged(joint, count, _micro_batches(joint, count))


def lanes_of(joint: Joint) -> int:
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
