"""Which nodes of a joint graph are forward work, and so the phase of any part of it.

Forward is what the job's values depend on; the rest serves derivatives alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pullback_graph.graph import Graph
from pullback_server.planner.extract import needed
from pullback_server.planner.plan import Phase


def forward_nodes(graph: Graph, values: int) -> list[bool]:
    """Per node, whether one of the first `values` outputs depends on it."""
    wanted = [item.value for item in graph.outputs[:values]]
    flags = [False] * len(graph.nodes)
    for position in needed(graph, range(len(graph.nodes)), wanted):
        flags[position] = True
    return flags


def phase_of(nodes: Iterable[int], forward: Sequence[bool]) -> Phase:
    """The phase of a task of these nodes."""
    kinds = {forward[position] for position in nodes}
    if len(kinds) == 2:
        return Phase.FUSED
    return Phase.BACKWARD if kinds == {False} else Phase.FORWARD
