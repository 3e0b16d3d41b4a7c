"""Axes that belong together: the classes of (value, axis) joined by what rows keep or contract.

Two axes are in one group when changing or cutting one forces the other: a batch axis is such a
group. Found by union-find over the rows' `axes`, with no annotation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pullback_graph.graph import Graph
from pullback_graph.op import Axes


class AxisOf(NamedTuple):
    """One axis of one value."""

    value: int
    axis: int


def node_axes(graph: Graph) -> tuple[Axes, ...]:
    """The Axes of every node, by its row."""
    types = graph.types
    return tuple(
        node.op.axes([types[i] for i in node.operands], node.types, **node.attributes)
        for node in graph.nodes
    )


class AxisGroups:
    """The groups of a graph.

    Attributes:
        axes: the Axes of every node, in node order.
    """

    def __init__(self, graph: Graph) -> None:
        self.axes = node_axes(graph)
        self._parents: dict[AxisOf, AxisOf] = {}
        for first, node, axes in zip(graph.first_results, graph.nodes, self.axes, strict=True):
            results = range(first, first + len(node.types))
            seen: dict[int, AxisOf] = {}
            for factor, member in _factored(node.operands, axes.operands):
                self._join(member, seen.setdefault(factor, member))
            for factor, member in _factored(results, axes.results):
                self._join(member, seen.setdefault(factor, member))

    def root(self, member: AxisOf) -> AxisOf:
        """The representative of the member's group."""
        parents = self._parents
        root = member
        while (parent := parents.get(root, root)) != root:
            root = parent
        while (parent := parents.get(member, member)) != root:
            parents[member] = root
            member = parent
        return root

    def _join(self, one: AxisOf, other: AxisOf) -> None:
        first, second = self.root(one), self.root(other)
        if first != second:
            self._parents[max(first, second)] = min(first, second)


def _factored(
    values: range | tuple[int, ...], factors: tuple[tuple[int | None, ...], ...]
) -> Iterator[tuple[int, AxisOf]]:
    """Every axis that has a factor, with it."""
    for value, own in zip(values, factors, strict=True):
        for axis, factor in enumerate(own):
            if factor is not None:
                yield factor, AxisOf(value, axis)
