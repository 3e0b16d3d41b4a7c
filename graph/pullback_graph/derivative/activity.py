"""Which values carry derivatives: those of floating dtype that depend on what is differentiated."""

from __future__ import annotations

from collections.abc import Iterable

from pullback_graph.graph import Graph
from pullback_graph.op import Zero


def active_values(graph: Graph, inputs: Iterable[int]) -> list[bool]:
    """Per value, whether it depends on one of `inputs` through rows that are not Zero."""
    active = [False] * len(graph.types)
    for index in inputs:
        active[index] = True
    for first, node in zip(graph.first_results, graph.nodes, strict=True):
        if type(node.op.derivative) is Zero or not any([active[i] for i in node.operands]):
            continue
        for offset, result in enumerate(node.types):
            active[first + offset] = result.dtype.kind in "fc"
    return active
