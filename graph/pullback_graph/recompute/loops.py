"""Fits a derivative into a memory cap by its loops: how many steps each keeps whole at a time.

That is an attribute of a loop which its reverse pass reads, so it is set before differentiating.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isqrt
from typing import NamedTuple

from pullback_graph.derivative.lower import Lowered
from pullback_graph.graph import Graph, Node
from pullback_graph.memory import peak_bytes
from pullback_graph.ops.scan import SCAN, steps_of

_LEAST_STEPS = 4
"""A shorter loop has nothing to save."""


class Segments(NamedTuple):
    """How a loop of n steps is cut: `steps` per segment are √n over `divisor`; slots as the row."""

    divisor: int
    slots: int


_TRIED = (Segments(1, 0), Segments(4, 0), Segments(1, 8), Segments(4, 8), Segments(4, 3))
"""By rising work."""


def lower_within(
    graph: Graph, cap_bytes: int | None, lower: Callable[[Graph], Lowered]
) -> tuple[Lowered, float]:
    """The lowered graph with its loops cut into segments as far as the cap asks for.

    Where no cut fits, the smallest is given: single values may still be computed again (`fit`).

    Args:
        cap_bytes: None where there is no cap.
        lower: differentiates and simplifies.

    Returns:
        The lowered graph, and its work over that of the plain one; 0 where that fits, or nothing
        smaller was found.
    """
    plain = lower(graph)
    if cap_bytes is None or not graph.bodies:
        return plain, 0.0
    least, smallest = peak_bytes(plain.graph), plain
    if least <= cap_bytes:
        return plain, 0.0
    for segments in _TRIED:
        changed = segmented(graph, segments)
        if changed is graph:
            break
        lowered = lower(changed)
        peak = peak_bytes(lowered.graph)
        if peak < least:
            least, smallest = peak, lowered
        if peak <= cap_bytes:
            break
    factor = smallest.graph.cost.work / max(plain.graph.cost.work, 1.0)
    return smallest, factor if smallest is not plain else 0.0


def segmented(graph: Graph, segments: Segments) -> Graph:
    """The graph with its loops cut so; those that say how themselves, and short ones, stay."""
    nodes = tuple(_cut(graph, segments))
    if all([new is old for new, old in zip(nodes, graph.nodes, strict=True)]):
        return graph
    return Graph(graph.inputs, graph.constants, nodes, graph.outputs)


def _cut(graph: Graph, segments: Segments) -> Iterator[Node]:
    for node in graph.nodes:
        steps = _steps(graph, node) if node.op is SCAN else 0
        if steps < _LEAST_STEPS or node.attributes["segment"]:
            yield node
            continue
        segment = max(1, isqrt(steps) // segments.divisor)
        changed = {**node.attributes, "segment": segment, "slots": segments.slots}
        yield node._replace(attributes=changed)


def _steps(graph: Graph, node: Node) -> int:
    """How many steps a loop takes; 0 for one that carries nothing, which keeps what it likes."""
    first = node.attributes["consts"] + node.attributes["carries"]
    stacked = [graph.types[i] for i in node.operands[first:]]
    return steps_of(stacked, node.attributes["length"])
