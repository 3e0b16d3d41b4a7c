"""Graph -> Plan: a way to split is asked for, or chosen by the cost table; a pure function.

What a plan is made of never depends on the workers there are: those imagined here are a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pullback_graph.graph import Graph
from pullback_graph.job import Options
from pullback_server.planner.choose import chosen
from pullback_server.planner.forced import forced_branch, forced_none, forced_shard, forced_stage
from pullback_server.planner.plan import Plan
from pullback_server.planner.splits import Joint


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


_BY_KIND: Mapping[str, Callable[[Joint, int], Plan]] = {
    "auto": chosen,
    "none": forced_none,
    "shard": forced_shard,
    "branch": forced_branch,
    "stage": forced_stage,
}
