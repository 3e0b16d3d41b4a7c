"""Another size for some axes of a graph, without a new trace: ranks, values and rows stay.

Axes that rows keep or contract together form groups, found from the rows' `axes`. A group scales as
one; its scale comes from the inputs whose shapes are given, or from a node whose type rule gives
another size than before (a concat of something longer). Every node is then built again by its row.

An axis of size one that stays so broadcasts against whatever the others became.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, NamedTuple

from pullback_graph.attributes import Kind, resized
from pullback_graph.axis_groups import AxisGroups, AxisOf
from pullback_graph.builder import Builder
from pullback_graph.errors import ShapeError
from pullback_graph.graph import Graph, Node
from pullback_graph.op import Axes, Op
from pullback_graph.ref import Ref
from pullback_graph.types import ArrayType, Shape


def with_shapes(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> Graph:
    """The graph for other sizes of some inputs' axes.

    Inputs that are not named follow the axes they share with those that are. Merged and split axes
    (reshape) scale in proportion. Attributes that are sizes of whole axes follow; other attributes,
    and constants, stay as they were traced.

    Raises:
        InputError: the graph has no input of such a name.
        ShapeError: a rank differs, two inputs disagree on an axis they share, a constant or a node
            fixes a size that would have to change, or the new types do not fit a row.
    """
    given = {graph.input_index(name): _checked(graph, name, shapes[name]) for name in shapes}
    if all(graph.types[value].shape == shape for value, shape in given.items()):
        return graph
    groups = AxisGroups(graph)
    found: dict[AxisOf, _Scale] = {}
    while True:  # at most once per group: each time around, one more is known from the start
        try:
            return _Resizing(graph, groups, given, found).run()
        except _FoundLate as late:
            found[late.root] = late.scale


def with_bodies_for(
    op: Op, attributes: Mapping[str, Any], operands: Sequence[ArrayType]
) -> dict[str, Any]:
    """A node's attributes for operands of these types: its subgraphs retyped to fit them.

    Raises:
        ShapeError: a subgraph does not go with these sizes.
    """
    if op.bodies is None:
        return dict(attributes)
    made = dict(attributes)
    for name, types in op.bodies(operands, **attributes).items():
        body = attributes[name]
        if isinstance(body, tuple):
            made[name] = tuple([retyped(one, types) for one in body])
        elif body is not None:
            made[name] = retyped(body, types)
    return made


def retyped(body: Graph, types: Sequence[ArrayType]) -> Graph:
    """A subgraph for inputs of other sizes; one that they do not fit otherwise stays as it is."""
    if len(types) != len(body.inputs) or any(
        [item.type.rank != type.rank for item, type in zip(body.inputs, types, strict=True)]
    ):
        return body
    return with_shapes(
        body, {item.name: type.shape for item, type in zip(body.inputs, types, strict=True)}
    )


class _Scale(NamedTuple):
    """What became of a group: one of its axes went from `old` to `new`, because of `reason`."""

    old: int
    new: int
    reason: str

    def of(self, size: int) -> int | None:
        """The new size of another axis of the group, or None where it would not be whole."""
        if size == self.old:
            return self.new
        whole, rest = divmod(size * self.new, self.old) if self.old else (0, 1)
        return None if rest else whole


class _FoundLate(Exception):
    """A group's scale became known after a member was sized without it: start over with it."""

    def __init__(self, root: AxisOf, scale: _Scale) -> None:
        super().__init__()
        self.root = root
        self.scale = scale


class _Resizing:
    """One attempt: builds the graph anew from the scales known at its start."""

    def __init__(
        self,
        graph: Graph,
        groups: AxisGroups,
        given: Mapping[int, Shape],
        found: Mapping[AxisOf, _Scale],
    ) -> None:
        self.graph = graph
        self.groups = groups
        self.given = given
        self.scales = dict(found)
        self.unscaled: set[AxisOf] = set()
        self.builder = Builder()

    def run(self) -> Graph:
        graph, builder = self.graph, self.builder
        for value, shape in self.given.items():
            reason = f"input {graph.inputs[value].name!r}"
            for axis, size in enumerate(shape):
                self.set_scale(AxisOf(value, axis), size, f"{reason} axis {axis}", firm=True)
        for value, (name, type) in enumerate(graph.inputs):
            shape = self.given.get(value) or self.scaled(value, f"input {name!r}")
            builder.input(name, ArrayType(type.dtype, shape))
        for value, array in enumerate(graph.constants, len(graph.inputs)):
            self.check_constant(value)
            builder.constant(array)
        first = len(builder.types)
        for position, (node, axes) in enumerate(zip(graph.nodes, self.groups.axes, strict=True)):
            self.add_node(position, node, axes, first)
            first += len(node.types)
        outputs = [(name, Ref(builder, value)) for name, value in graph.outputs]
        return builder.build(outputs, prune=False)

    # --- values -----------------------------------------------------------------------------------

    def add_node(self, position: int, node: Node, axes: Axes, first: int) -> None:
        what = f"node {position} {node.op.name}"
        old = self.shape(node.operands[0]) if node.operands else ()
        new = self.builder.types[node.operands[0]].shape if node.operands else ()
        _check_slice(node, axes, old, new, what)
        expected = self.result_shape(node, axes, first, what) if _has(node, Kind.SHAPE) else ()
        attributes = resized(node.op.attributes, node.attributes, old, new, expected)
        attributes = with_bodies_for(
            node.op, attributes, [self.builder.types[i] for i in node.operands]
        )
        results = self.builder.append(node.op, node.operands, attributes)
        for value in results:
            for axis, size in enumerate(self.builder.types[value].shape):
                self.set_scale(AxisOf(value, axis), size, what)

    def result_shape(self, node: Node, axes: Axes, first: int, what: str) -> Shape:
        """The shape of the first result: as its operands scale, else as its groups do."""
        local: dict[int, _Scale] = {}
        for value, factors in zip(node.operands, axes.operands, strict=True):
            pairs = zip(factors, self.shape(value), self.builder.types[value].shape, strict=True)
            local.update(
                {f: _Scale(old, new, what) for f, old, new in pairs if f is not None and old != new}
            )
        shape = []
        for axis, (factor, size) in enumerate(zip(axes.results[0], self.shape(first), strict=True)):
            scale = local.get(factor) if factor is not None else None
            scaled = self.size(AxisOf(first, axis), what) if scale is None else scale.of(size)
            shape.append(_whole(scaled, size, what))
        return tuple(shape)

    def check_constant(self, value: int) -> None:
        """Refuse a constant with an axis in a group that scales; size one broadcasts."""
        type = self.graph.types[value]
        for axis, size in enumerate(type.shape):
            root = self.groups.root(AxisOf(value, axis))
            scale = self.scales.get(root)
            if size == 1:
                continue
            if scale is not None and scale.of(size) != size:
                raise ShapeError(
                    f"constant %{value} ({type}) holds axis {axis} at {size}, where {scale.reason} "
                    f"makes it {scale.of(size)}; make the constant an input, or trace again"
                )
            self.unscaled.add(root)

    def scaled(self, value: int, what: str) -> Shape:
        """The new shape of a value, as its groups scale."""
        return tuple(
            [self.size(AxisOf(value, axis), what) for axis in range(len(self.shape(value)))]
        )

    def shape(self, value: int) -> Shape:
        """The shape before."""
        return self.graph.types[value].shape

    # --- scales -----------------------------------------------------------------------------------

    def size(self, member: AxisOf, what: str) -> int:
        """The new size of an axis, as its group scales."""
        size = self.shape(member.value)[member.axis]
        root = self.groups.root(member)
        scale = self.scales.get(root)
        if scale is None:
            self.unscaled.add(root)
            return size
        return _whole(scale.of(size), size, what)

    def set_scale(self, member: AxisOf, new: int, reason: str, *, firm: bool = False) -> None:
        """Note that an axis has a new size; refuse it where its group has another scale.

        Only a firm scale holds a group at the size it has.
        """
        old = self.shape(member.value)[member.axis]
        if old == new == 1:
            return
        root = self.groups.root(member)
        scale = self.scales.get(root)
        if scale is not None:
            if scale.of(old) != new:
                raise ShapeError(
                    f"{reason} gives {new} for an axis that {scale.reason} makes {scale.of(old)}: "
                    "the graph ties the two; give sizes that agree, or trace again"
                )
            return
        if old == new and not firm:
            self.unscaled.add(root)
            return
        found = _Scale(old, new, reason)
        if root in self.unscaled:
            raise _FoundLate(root, found)
        self.scales[root] = found


def _checked(graph: Graph, name: str, shape: Sequence[int]) -> Shape:
    old = graph.inputs[graph.input_index(name)].type.shape
    new = tuple([index(size) for size in shape])
    if len(new) != len(old) or any(size < 0 for size in new):
        raise ShapeError(
            f"input {name!r} has shape {old}; {new} is none of that rank: only sizes can change, "
            "trace again for another rank",
            field=name,
        )
    return new


def _check_slice(node: Node, axes: Axes, old: Shape, new: Shape, what: str) -> None:
    """Refuse to resize an axis that is cut at fixed places.

    `x[1:]` and `x[-9:]` of ten elements are the same node: at another size, either may be meant.
    """
    if not _has(node, Kind.STOPS):
        return
    for axis, factor in enumerate(axes.operands[0]):
        if factor is None and old[axis] != new[axis]:
            raise ShapeError(
                f"{what} cuts axis {axis} at fixed places, so it cannot go from {old[axis]} to "
                f"{new[axis]}; trace again at that size, or index with an array"
            )


def _has(node: Node, kind: Kind) -> bool:
    return any([attribute.kind is kind for attribute in node.op.attributes])


def _whole(size: int | None, old: int, what: str) -> int:
    if size is None:
        raise ShapeError(
            f"{what}: an axis of size {old} would scale to no whole number; give sizes in "
            "proportion, or trace again"
        )
    return size
