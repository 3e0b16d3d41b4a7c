"""vmap: a graph for one point becomes the graph for many, with a new leading axis.

What does not depend on a mapped input is computed once, for all positions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pullback_graph.attributes import Lead
from pullback_graph.builder import Builder, Origin
from pullback_graph.errors import InputError, ShapeError
from pullback_graph.graph import Graph, Input
from pullback_graph.ops.leading import permuted, spread, to_front
from pullback_graph.ref import Ref
from pullback_graph.vmap.node import map_node


class Mapped(NamedTuple):
    """A value while a graph is mapped, and whether it has the axis (in front)."""

    ref: Ref
    is_mapped: bool

    def whole(self, size: int) -> Ref:
        """The value with the axis, repeated along it where it has none."""
        return self.ref if self.is_mapped else spread(self.ref, size)


def vmap(
    graph: Graph,
    in_axes: Mapping[str, int] | Collection[str],
    size: int,
    out_axes: Mapping[str, int | None] | int | None = 0,
) -> Graph:
    """The graph for `size` points at once.

    Args:
        in_axes: per input that differs from point to point, where its new axis stands; names alone
            say: in front. The others are common to all points.
        size: of the new axis, the same for all.
        out_axes: where the new axis stands in the outputs, or in each; in front of those that a
            mapping leaves out. None is for an output that is the same at all points, and stays as
            it is; any other of this sort is repeated along the axis.

    Raises:
        InputError: there is no such input or output, the size is negative, an axis is out of
            range, or an output of None differs from point to point.
        LimitExceeded: a row can be mapped only one position at a time, and there are too many.
    """
    if size < 0:
        raise InputError(f"cannot map over {size} positions; give a size of zero or more")
    given = in_axes if isinstance(in_axes, Mapping) else dict.fromkeys(in_axes, 0)
    if isinstance(out_axes, Mapping):
        for name in out_axes:
            graph.output_index(name)
    for name in given:
        graph.input_index(name)
    builder = Builder()
    inputs = [_input(builder, item, given.get(item.name), size) for item in graph.inputs]
    values = replay_mapped(builder, graph, inputs, size)
    outputs = []
    for name, number in graph.outputs:
        axis = out_axes.get(name, 0) if isinstance(out_axes, Mapping) else out_axes
        outputs.append((name, _output(name, values[number], axis, size)))
    return builder.build(outputs)


def _input(builder: Builder, item: Input, axis: int | None, size: int) -> Mapped:
    """An input of the mapped graph, its axis moved in front."""
    name, type = item
    if axis is None:
        return Mapped(builder.input(name, type), False)
    place = _place("input", name, axis, type.rank)
    shape = (*type.shape[:place], size, *type.shape[place:])
    return Mapped(to_front(builder.input(name, type._replace(shape=shape)), place), True)


def _output(name: str, value: Mapped, axis: int | None, size: int) -> Ref:
    """An output of the mapped graph, its axis where it should be."""
    if axis is None:
        if value.is_mapped:
            raise InputError(
                f"output {name!r} differs from point to point, so that it has an axis for them; "
                "say where with out_axes",
                field="out_axes",
            )
        return value.ref
    whole = value.whole(size)
    rank = len(whole.shape) - 1
    place = _place("output", name, axis, rank)
    return permuted(whole, (*range(1, place + 1), 0, *range(place + 1, rank + 1)))


def _place(what: str, name: str, axis: int, rank: int) -> int:
    """The position of a new axis beside `rank` others, counted from the front."""
    if not -rank - 1 <= axis <= rank:
        raise InputError(
            f"axis {axis} of {what} {name!r} is out of range: with the axis of the points it has "
            f"{rank + 1}, so give {-rank - 1} to {rank}",
            field=f"{what[:-3]}_axes",
        )
    return axis % (rank + 1)


def replay_mapped(
    builder: Builder,
    graph: Graph,
    inputs: Sequence[Mapped],
    size: int,
    origins: Sequence[Origin] = (),
) -> list[Mapped]:
    """Replay `graph` into `builder` on inputs, some with a leading axis of `size`.

    Args:
        origins: of the nodes of `graph`, where the builder keeps track of them.

    Returns:
        Every value of the graph, by number.

    Raises:
        ShapeError: an input is not of the graph's type, with the axis or without.
        LimitExceeded: as in `vmap`.
    """
    for item, (ref, flag) in zip(graph.inputs, inputs, strict=True):
        shape = (size, *item.type.shape) if flag else item.type.shape
        if ref.type != item.type._replace(shape=shape):
            raise ShapeError(f"input {item.name!r} is {item.type}, mapped {flag}, not {ref.type}")
    values = [*inputs, *[Mapped(builder.constant(array), False) for array in graph.constants]]
    for position, node in enumerate(graph.nodes):
        if origins:
            builder.phase, builder.position = origins[position]
        operands = [values[i] for i in node.operands]
        flags = tuple([operand.is_mapped for operand in operands])
        refs = [operand.ref for operand in operands]
        if any(flags):
            results = map_node(builder, node, refs, Lead(size, flags))
            values += [Mapped(ref, True) for ref in results]
        else:
            numbers = builder.replay(node, tuple([ref.index for ref in refs]))
            values += [Mapped(Ref(builder, number), False) for number in numbers]
    builder.phase = ""
    return values
