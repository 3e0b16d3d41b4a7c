"""Values that others stand in for, when a graph is built: its nodes with every read redirected.

What stands in may have been made later than what reads it, so the nodes are put in order again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pullback_graph.graph import Node

Numbered = tuple[int, Node]
"""A node and the number of its first result."""


class Settled(NamedTuple):
    """The nodes that the roots need, each after what it reads, and where they stood before."""

    nodes: list[Numbered]
    positions: list[int]
    roots: list[int]


def settled(
    nodes: Sequence[Numbered],
    node_of: Mapping[int, int],
    superseded: Mapping[int, int],
    roots: Sequence[int],
) -> Settled | None:
    """The nodes with superseded values read no more; None where a value would need itself.

    Args:
        node_of: value number -> position of the node that gives it.
        superseded: value number -> number of the value to read in its place.
    """

    def current(value: int) -> int:
        while value in superseded:
            value = superseded[value]
        return value

    reads = [tuple([current(i) for i in node.operands]) for _, node in nodes]
    kept = [current(root) for root in roots]
    order = _ordered(reads, node_of, kept)
    if order is None:
        return None
    made = [(nodes[i][0], nodes[i][1]._replace(operands=reads[i])) for i in order]
    return Settled(made, order, kept)


def _ordered(
    reads: Sequence[tuple[int, ...]], node_of: Mapping[int, int], roots: Sequence[int]
) -> list[int] | None:
    """Positions of the nodes that the roots need, in their order but for what must come earlier."""
    needed = _needed(reads, node_of, roots)
    order: list[int] = []
    done: set[int] = set()
    open_: set[int] = set()
    for start in sorted(needed):
        stack: list[tuple[int, Iterator[int]]] = []
        if start not in done:
            stack.append((start, iter(reads[start])))
            open_.add(start)
        while stack:
            position, rest = stack[-1]
            value = next(rest, None)
            if value is None:
                stack.pop()
                done.add(position)
                order.append(position)
                open_.discard(position)
                continue
            below = node_of.get(value)
            if below is None or below in done:
                continue
            if below in open_:
                return None
            stack.append((below, iter(reads[below])))
            open_.add(below)
    return order


def _needed(
    reads: Sequence[tuple[int, ...]], node_of: Mapping[int, int], roots: Sequence[int]
) -> set[int]:
    """Positions of the nodes that the roots depend on."""
    found: set[int] = set()
    waiting = [node_of[root] for root in roots if root in node_of]
    while waiting:
        position = waiting.pop()
        if position not in found:
            found.add(position)
            waiting += [node_of[i] for i in reads[position] if i in node_of]
    return found
