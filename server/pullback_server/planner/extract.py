"""Cuts a piece out of a graph as a graph of its own, its axes resized to one block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from pullback_graph.attributes import resized
from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.resize import with_bodies_for
from pullback_graph.types import ArrayType
from pullback_server.planner.labels import Kind, Labels


@dataclass(frozen=True, slots=True)
class Range:
    """Positions start:stop along the sharded axis group."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a graph.

    Attributes:
        nodes: positions of its nodes, ascending.
        boundary: values it reads from outside, in the order of its graph's inputs.
        gathered: values it reads all of although it may read a block of them too, behind those.
        exports: values it gives, in the order of its graph's outputs.
    """

    nodes: tuple[int, ...]
    boundary: tuple[int, ...]
    exports: tuple[int, ...]
    gathered: tuple[int, ...] = ()


def piece(
    graph: Graph,
    nodes: Sequence[int],
    exports: Sequence[int],
    gathered_operands: Sequence[Set[int]] | None = None,
) -> Piece:
    """The piece of the given nodes; constants come along and are no boundary.

    Args:
        gathered_operands: per node of the graph, the positions of operands to be read whole.
    """
    held = range(len(graph.inputs), len(graph.inputs) + len(graph.constants))
    inside: set[int] = set()
    boundary: dict[int, None] = {}
    gathered: dict[int, None] = {}
    for position in nodes:
        whole = gathered_operands[position] if gathered_operands is not None else ()
        for k, i in enumerate(graph.nodes[position].operands):
            if k in whole and i not in held:
                gathered[i] = None
            elif i not in inside and i not in held:
                boundary[i] = None
        inside.update(results_of(graph, position))
    return Piece(tuple(nodes), tuple(boundary), tuple(exports), tuple(gathered))


def results_of(graph: Graph, position: int) -> range:
    """The values a node gives."""
    first = graph.first_results[position]
    return range(first, first + len(graph.nodes[position].types))


def needed(graph: Graph, nodes: Sequence[int], values: Iterable[int]) -> list[int]:
    """Those of the ascending `nodes` that `values` depend on, through each other, ascending."""
    wanted, kept = set(values), []
    for position in reversed(nodes):
        if not wanted.isdisjoint(results_of(graph, position)):
            kept.append(position)
            wanted.update(graph.nodes[position].operands)
    return kept[::-1]


def block_type(graph: Graph, labels: Labels, value: int, block: Range) -> ArrayType:
    """The type of a value in one shard."""
    type, label = graph.types[value], labels.values[value]
    if label.kind is not Kind.SHARDED:
        return type
    size = type.shape[label.axis] // labels.length * (block.stop - block.start)
    return type._replace(shape=_with_size(type.shape, label.axis, size))


def whole(graph: Graph, part: Piece) -> Graph:
    """The piece as a graph; names are by position, so that pieces built alike are equal graphs."""
    builder = Builder()
    refs = {v: builder.input(f"v{k}", graph.types[v]) for k, v in enumerate(part.boundary)}
    for position in part.nodes:
        node = graph.nodes[position]
        for i in node.operands:
            if i not in refs:
                refs[i] = builder.constant(graph.constants[i - len(graph.inputs)])
        results = builder.replay(node, tuple([refs[i].index for i in node.operands]))
        for value, index in zip(results_of(graph, position), results, strict=True):
            refs[value] = Ref(builder, index)
    return builder.build([(f"y{k}", refs[value]) for k, value in enumerate(part.exports)])


def cut(graph: Graph, labels: Labels, part: Piece, block: Range) -> Graph:
    """The piece as a graph for one block of the sharded axes."""
    builder = Builder()
    refs: dict[int, Ref] = {}
    for value in part.boundary:
        type = block_type(graph, labels, value, block)
        refs[value] = builder.input(f"v{len(refs)}", type)
    whole = {v: builder.input(f"w{k}", graph.types[v]) for k, v in enumerate(part.gathered)}
    for position in part.nodes:
        node, first = graph.nodes[position], graph.first_results[position]
        operands = [
            _operand(builder, graph, labels, (refs, whole), position, k, block)
            for k in range(len(node.operands))
        ]
        attributes = dict(node.attributes)
        if labels.sharded_nodes[position]:
            attributes = resized(
                node.op.attributes,
                attributes,
                graph.types[node.operands[0]].shape if node.operands else (),
                operands[0].shape if operands else (),
                block_type(graph, labels, first, block).shape,
            )
            attributes = with_bodies_for(node.op, attributes, [ref.type for ref in operands])
        results = builder.append(node.op, tuple(ref.index for ref in operands), attributes)
        for offset, index in enumerate(results):
            refs[first + offset] = Ref(builder, index)
    return builder.build([(f"y{k}", refs[value]) for k, value in enumerate(part.exports)])


def depends_on_position(graph: Graph, labels: Labels, part: Piece) -> bool:
    """Whether equal-sized blocks of the piece still differ: constants or whole values are cut."""
    return any(
        labels.sharded_nodes[position]
        and any(
            _cut_axis(graph, labels, position, k) is not None
            for k in range(len(graph.nodes[position].operands))
        )
        for position in part.nodes
    )


def _cut_axis(graph: Graph, labels: Labels, position: int, k: int) -> int | None:
    """The axis along which a sharded node wants a block of operand `k`, which is there whole."""
    value, axis = graph.nodes[position].operands[k], labels.cut_operands[position].get(k)
    if axis is not None or k in labels.gathered_operands[position]:
        return axis
    held = range(len(graph.inputs), len(graph.inputs) + len(graph.constants))
    label = labels.values[value]
    return label.axis if value in held and label.kind is Kind.SHARDED else None


def _operand(
    builder: Builder,
    graph: Graph,
    labels: Labels,
    refs: tuple[dict[int, Ref], dict[int, Ref]],
    position: int,
    k: int,
    block: Range,
) -> Ref:
    """Operand `k` of a node: a value of the piece, a gathered one, a constant, or a block of one.

    Args:
        refs: the values of the piece, and those that were gathered for it.
    """
    value = graph.nodes[position].operands[k]
    own = refs[k in labels.gathered_operands[position]]
    if value not in own:
        own[value] = builder.constant(graph.constants[value - len(graph.inputs)])
    axis = _cut_axis(graph, labels, position, k) if labels.sharded_nodes[position] else None
    return (
        own[value] if axis is None else _block_of(builder, own[value], axis, labels.length, block)
    )


def _block_of(builder: Builder, ref: Ref, axis: int, length: int, block: Range) -> Ref:
    """A block of a whole value; of a constant, a constant."""
    scale = ref.shape[axis] // length
    starts = _with_size((0,) * len(ref.shape), axis, block.start * scale)
    stops = _with_size(ref.shape, axis, block.stop * scale)
    array = builder.constant_value(ref.index)
    if array is not None:
        places = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
        return builder.constant(array[places])
    sliced: Ref = do.slice(ref, starts=starts, stops=stops, steps=(1,) * len(starts))
    return sliced


def _with_size(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])
