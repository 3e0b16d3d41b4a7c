"""A graph that does the same at every point of a leading axis, as the tape of one point.

Such a graph comes of `vmap`, or of elementwise code on vectors. Rows are not named: that no node
mixes points is seen from their `axes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pullback_graph.axis_groups import AxisGroups, AxisOf
from pullback_graph.errors import RequestError
from pullback_graph.graph import Graph
from pullback_graph.op import Axes
from pullback_graph.resize import with_shapes
from pullback_graph.tape.of_graph import tape_of
from pullback_graph.tape.tape import Tape


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Which values of a graph have the axis of points in front.

    Attributes:
        count: how many points there are.
        inputs, outputs: whether each has the axis.
    """

    count: int
    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]


def pointwise(graph: Graph) -> Pointwise | None:
    """How a graph is pointwise; None where some node mixes points, or there are none."""
    groups = AxisGroups(graph)
    first = _with_points(graph, groups)
    if first is None:
        return None
    walk = _Walk(graph, groups, first)
    held = len(graph.inputs) + len(graph.constants)
    stacked = [walk.has_axis(value) for value in range(len(graph.inputs))]
    alone = range(len(graph.inputs), held)
    if not any(stacked) or any(walk.has_axis(value) for value in alone):
        return None
    stacked += [False] * len(alone)
    for own, node, axes in zip(graph.first_results, graph.nodes, groups.axes, strict=True):
        results = range(own, own + len(node.types))
        if not walk.keeps(node.operands, results, axes, stacked):
            return None
        stacked += [walk.has_axis(value) for value in results]
    outputs = [stacked[item.value] for item in graph.outputs]
    return Pointwise(walk.count, tuple(stacked[: len(graph.inputs)]), tuple(outputs))


def tape_of_point(graph: Graph, points: Pointwise) -> Tape | None:
    """The tape of one point: stacked inputs and outputs have one point left; None where none is."""
    shapes = {
        item.name: (1, *item.type.shape[1:])
        for item, is_stacked in zip(graph.inputs, points.inputs, strict=True)
        if is_stacked
    }
    try:
        return tape_of(with_shapes(graph, shapes))
    except RequestError:  # sizes that cannot change, or a row without a scalar form
        return None


def _with_points(graph: Graph, groups: AxisGroups) -> int | None:
    """The first output whose leading axis is one of an input's."""
    given = [value for value in range(len(graph.inputs)) if graph.types[value].rank]
    roots = {groups.root(AxisOf(value, 0)) for value in given}
    for item in graph.outputs:
        if graph.types[item.value].rank and groups.root(AxisOf(item.value, 0)) in roots:
            return item.value
    return None


class _Walk:
    """The group of the axis of points, followed from node to node."""

    def __init__(self, graph: Graph, groups: AxisGroups, first: int) -> None:
        self.count = graph.types[first].shape[0]
        self._types = graph.types
        self._groups = groups
        self._root = groups.root(AxisOf(first, 0))

    def has_axis(self, value: int) -> bool:
        """Whether a value has the axis in front."""
        shape = self._types[value].shape
        return bool(shape) and shape[0] == self.count and self._is_in(value, 0)

    def keeps(
        self, operands: Iterable[int], results: Iterable[int], axes: Axes, stacked: list[bool]
    ) -> bool:
        """Whether a node has the axis in front of operands and results, and mixes no points."""
        met = set()
        for value, own in zip(operands, axes.operands, strict=True):
            if self._is_elsewhere(value, stacked[value]):
                return False
            if stacked[value]:
                met.add(own[0])
        if len(met) > 1 or None in met or met & axes.reduce.keys():
            return False
        for value, own in zip(results, axes.results, strict=True):
            if self._is_elsewhere(value, self.has_axis(value)):
                return False
            if met and not (self.has_axis(value) and own[0] in met):
                return False
        return True

    def _is_elsewhere(self, value: int, is_stacked: bool) -> bool:
        """Whether another axis of a value, or one of another size, belongs to the group."""
        shape = self._types[value].shape
        return any(
            self._is_in(value, axis)
            for axis in range(1 if is_stacked else 0, len(shape))
            if shape[axis] != 1
        )

    def _is_in(self, value: int, axis: int) -> bool:
        return self._groups.root(AxisOf(value, axis)) == self._root
