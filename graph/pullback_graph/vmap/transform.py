"""vmap: a graph for one point becomes the graph for many, with a new leading axis.

What does not depend on a mapped input is computed once, for all positions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from pullback_graph.attributes import Lead
from pullback_graph.builder import Builder, Origin
from pullback_graph.errors import InputError, ShapeError
from pullback_graph.graph import Graph
from pullback_graph.ops.leading import spread
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
    mapped: Collection[str],
    size: int,
    make_builder: Callable[[], Builder] = Builder,
) -> Graph:
    """The graph for `size` points at once.

    Inputs named in `mapped` have a new leading axis of that size, and so has every output: one that
    depends on none of them is repeated along it.

    Raises:
        InputError: the graph has no input of such a name, or the size is negative.
        LimitExceeded: a row can be mapped only one position at a time, and there are too many.
    """
    if size < 0:
        raise InputError(f"cannot map over {size} positions; give a size of zero or more")
    for name in mapped:
        graph.input_index(name)
    builder = make_builder()
    inputs = []
    for name, type in graph.inputs:
        flag = name in mapped
        shape = (size, *type.shape) if flag else type.shape
        inputs.append(Mapped(builder.input(name, type._replace(shape=shape)), flag))
    values = replay_mapped(builder, graph, inputs, size)
    return builder.build([(name, values[value].whole(size)) for name, value in graph.outputs])


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
