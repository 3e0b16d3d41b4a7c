"""Axes that a body keeps from its inputs to its outputs, so that a loop of it keeps them too.

A class of axes (see `axis_groups`) is kept where no node of the body blocks it, where every output
has it, or is a partial sum over it that the loop adds up. A batch axis is such a class.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pullback_graph.axis_groups import AxisGroups, AxisOf
from pullback_graph.graph import Graph, Node
from pullback_graph.op import Axes, Factors, JointTranspose, Transpose

_SUM = "add"


@dataclass(frozen=True, slots=True)
class BodyAxes:
    """Factors of a body's inputs and outputs, and those of them that some output sums over."""

    inputs: tuple[Factors, ...]
    outputs: tuple[Factors, ...]
    summed: frozenset[int]


_known: WeakKeyDictionary[Graph, dict[tuple[int, int, int], BodyAxes]] = WeakKeyDictionary()


def body_axes(body: Graph, consts: int, carries: int, sums: int) -> BodyAxes:
    """The axes of a loop's body: carries come back as they went, the last outputs are added up."""
    kept = _known.setdefault(body, {})
    key = (consts, carries, sums)
    if key not in kept:
        kept[key] = _Classes(body, consts, carries, sums).found()
    return kept[key]


class _Classes:
    """The classes of a body's axes, and those that are not kept."""

    def __init__(self, body: Graph, consts: int, carries: int, sums: int) -> None:
        self.body, self.groups = body, AxisGroups(body)
        self.added = range(len(body.outputs) - sums, len(body.outputs))
        self.parents: dict[AxisOf, AxisOf] = {}
        self.bad: set[AxisOf] = set()
        self.partial: dict[int, set[AxisOf]] = {}
        for k in range(carries):
            self._tie(consts + k, body.outputs[k].value)

    def found(self) -> BodyAxes:
        """Every class judged."""
        body = self.body
        self._check_sizes()
        for first, node, axes in zip(body.first_results, body.nodes, self.groups.axes, strict=True):
            self._pass(first, node, axes)
        values = [item.value for item in body.outputs]
        inputs = {c for i in range(len(body.inputs)) for c in self._of(i)}
        kept = [c for c in sorted(inputs - self.bad) if self._reaches_all(c, values)]
        numbers = {c: k for k, c in enumerate(kept)}
        return BodyAxes(
            tuple([self._factors(i, numbers) for i in range(len(body.inputs))]),
            tuple([self._factors(value, numbers) for value in values]),
            frozenset([k for c, k in numbers.items() if any(c not in self._of(v) for v in values)]),
        )

    def _factors(self, value: int, numbers: dict[AxisOf, int]) -> Factors:
        return tuple([numbers.get(c) for c in self._of(value)])

    def _reaches_all(self, c: AxisOf, values: Sequence[int]) -> bool:
        """Whether each output has the axis, or is a partial sum over it that is added up."""
        for k, value in enumerate(values):
            is_partial, has_axis = c in self.partial.get(value, ()), c in self._of(value)
            if is_partial == has_axis or (is_partial and k not in self.added):
                return False
        return True

    def _check_sizes(self) -> None:
        """Classes that one value meets twice, of several sizes, or of a constant are not kept."""
        sizes: dict[AxisOf, int] = {}
        held = range(len(self.body.inputs), len(self.body.inputs) + len(self.body.constants))
        for value, type in enumerate(self.body.types):
            own = self._of(value)
            for c, size in zip(own, type.shape, strict=True):
                if own.count(c) > 1 or sizes.setdefault(c, size) != size:
                    self.bad.add(c)
                if value in held and size != 1:
                    self.bad.add(c)

    def _pass(self, first: int, node: Node, axes: Axes) -> None:
        """Follow the classes, and partial sums over them, through one node."""
        results = range(first, first + len(node.types))
        met: dict[AxisOf, set[int | None]] = {}
        for i, own in zip(node.operands, axes.operands, strict=True):
            for c, factor in zip(self._of(i), own, strict=True):
                met.setdefault(c, set()).add(factor)
        for c, factors in met.items():
            factor = next(iter(factors))
            if len(factors) > 1 or factor is None:
                self.bad.add(c)
                continue
            lacking = [v for v, own in zip(results, axes.results, strict=True) if factor not in own]
            if lacking and axes.reduce.get(factor) != _SUM:
                self.bad.add(c)
            for value in lacking:
                self.partial.setdefault(value, set()).add(c)
        self._pass_partial(node, results, met)

    def _pass_partial(self, node: Node, results: range, met: Collection[AxisOf]) -> None:
        summed = [self.partial.get(i, set()) for i in node.operands]
        for c in set().union(*summed):
            places = [k for k, own in enumerate(summed) if c in own]
            if c in met or not _keeps_sums(node, places):
                self.bad.add(c)
            for value in results:
                self.partial.setdefault(value, set()).add(c)

    def _of(self, value: int) -> list[AxisOf]:
        """The class of each axis of a value."""
        rank = len(self.body.types[value].shape)
        return [self._root(self.groups.root(AxisOf(value, axis))) for axis in range(rank)]

    def _tie(self, one: int, other: int) -> None:
        for a, b in zip(self._of(one), self._of(other), strict=True):
            if a != b:
                self.parents[max(a, b)] = min(a, b)

    def _root(self, member: AxisOf) -> AxisOf:
        while member in self.parents:
            member = self.parents[member]
        return member


def _keeps_sums(node: Node, places: Sequence[int]) -> bool:
    """Whether a node on terms of a sum, at these operands, gives terms of the node on the sum."""
    rule = node.op.derivative
    if node.op.name == _SUM:
        return len(places) == len(node.operands)
    if type(rule) is Transpose and len(places) == 1:
        return rule.transposes[places[0]] is not None
    return type(rule) is JointTranspose and set(places) == set(
        rule.linear or range(len(node.operands))
    )
