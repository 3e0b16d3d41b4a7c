"""Which elements of a node's result depend on which elements of an operand, from its row alone.

A row that moves elements is run on their numbers, so that its own run rule says where they go; of
any other row, `axes` says which axes keep elements apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import gcd
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph, Node
from pullback_graph.op import Axes, Moves, Op
from pullback_graph.pattern import Indices
from pullback_graph.ref import Ref
from pullback_graph.sparsity.products import Pairs, pairs
from pullback_graph.types import FLOAT64, ArrayType, Shape

Evaluate: TypeAlias = Callable[
    [Op, Sequence["np.ndarray[Any, Any]"], Mapping[str, Any]], Sequence[Any]
]
"""Runs one node: `(op, arrays, attributes)` -> result arrays."""
Known: TypeAlias = Callable[[int], "np.ndarray[Any, Any] | None"]
"""The array of a value that does not depend on inputs, by number; None where it does."""

Relations: TypeAlias = "list[list[Relation | Pairs] | None]"
"""Per operand its relations to the result; None where `axes` says them."""

MAX_WEIGHED_ELEMENTS = 1 << 26
"""Elements that a row that weighs is run on, position after position."""

_FIRST_NUMBER = 1 << 40
"""Of the elements that a row is run on: no fill of a row is as large."""


class Relation(NamedTuple):
    """An element of the operand and one of the result belong together if they are in one group.

    Attributes:
        of_operand: the group of each element of the operand; None: it is the element's number.
        of_result: the same of the result; a group below zero is that of nothing.
        groups: how many there are.
    """

    of_operand: Indices | None
    of_result: Indices | None
    groups: int


def copied(
    node: Node, types: Sequence[ArrayType], active: Sequence[bool], known: Known, evaluate: Evaluate
) -> Relations | None:
    """Of a row that copies; None where a place is not known ahead."""
    arrays: list[Any] = []
    firsts, number = [], _FIRST_NUMBER
    for operand, type, is_active in zip(node.operands, types, active, strict=True):
        firsts.append(number)
        if type.is_floating:
            arrays.append(
                np.arange(number, number + type.size).reshape(type.shape)
                if is_active
                else np.zeros(type.shape, np.int64)
            )
            number += type.size * is_active
        else:
            arrays.append(known(operand))
    if any([array is None for array in arrays]):
        return None
    sources = np.asarray(evaluate(node.op, arrays, node.attributes)[0]).reshape(-1)
    relations: Relations = []
    for type, first, is_active in zip(types, firsts, active, strict=True):
        own = sources - first
        own[(own < 0) | (own >= type.size * is_active)] = -1
        relations.append([Relation(None, own, type.size)])
    return relations


def placed(
    node: Node, types: Sequence[ArrayType], active: Sequence[bool], known: Known, evaluate: Evaluate
) -> Relations | None:
    """Of a row that places: where its transpose takes each operand's elements from."""
    arrays: list[Any] = [
        np.zeros(type.shape) if type.is_floating else known(operand)
        for operand, type in zip(node.operands, types, strict=True)
    ]
    if any([array is None for array in arrays]):
        return None
    size = node.types[0].size
    builder = Builder()
    double = [type._replace(dtype=FLOAT64) if type.is_floating else type for type in types]
    operands = [builder.input(f"x{i}", type) for i, type in enumerate(double)]
    g = builder.input("g", ArrayType(FLOAT64, node.types[0].shape))
    cotangents = _pulled(node, g, operands)
    moved = {i: ref for i, ref in enumerate(cotangents) if ref is not None and active[i]}
    if not moved:
        return [[] for _ in types]
    graph = builder.build([(str(i), ref) for i, ref in moved.items()])
    numbers = np.arange(size, dtype=np.float64).reshape(node.types[0].shape)
    found = _run(graph, [*arrays, numbers], evaluate)
    targets = {
        i: np.asarray(x).reshape(-1).astype(np.int64) for i, x in zip(moved, found, strict=True)
    }
    return [[Relation(targets[i], None, size)] if i in targets else [] for i in range(len(types))]


def weighed(
    node: Node, types: Sequence[ArrayType], active: Sequence[bool], known: Known, evaluate: Evaluate
) -> Relations | None:
    """Of a row that weighs: what it copies with each weight alone; the weights go by axes.

    Weights that are known to be zero let nothing through.
    """
    x, w = types
    lanes = w.size // max(w.shape[0], 1)
    if lanes * (x.size + node.types[0].size) > MAX_WEIGHED_ELEMENTS or not active[0]:
        return None
    given = None if active[1] else known(node.operands[1])
    weights = np.ones(w.shape) if given is None else (given != 0).astype(FLOAT64)
    numbers = np.arange(1, x.size + 1, dtype=FLOAT64).reshape(x.shape)
    relations: list[Relation | Pairs] = []
    for lane in range(lanes):
        alone = np.zeros((w.shape[0], lanes))
        alone[:, lane] = weights.reshape(w.shape[0], lanes)[:, lane]
        if alone.any():
            found = evaluate(node.op, [numbers, alone.reshape(w.shape)], node.attributes)[0]
            sources = np.rint(np.asarray(found).reshape(-1)).astype(np.int64) - 1
            relations.append(Relation(None, sources, x.size))
    return [relations, None]


def multiplied(
    node: Node, types: Sequence[ArrayType], active: Sequence[bool], known: Known, evaluate: Evaluate
) -> Relations | None:
    """Of a row that multiplies two operands, one of which is known: what its zeros leave."""
    if len(types) != 2 or active[0] == active[1]:
        return None
    other = 1 if active[0] else 0
    weights = known(node.operands[other]) if types[other].size > 1 else None
    if weights is None:
        return None
    axes = node.op.axes(types, node.types, **node.attributes)
    found = pairs(axes, other, weights, types[1 - other], node.types[0])
    if found is None:
        return None
    relations: Relations = [[found], [found]]
    return relations


def _pulled(node: Node, g: Ref, operands: Sequence[Ref]) -> Sequence[Ref | None]:
    """The cotangents of a linear row's operands."""
    rule: Any = node.op.derivative
    if hasattr(rule, "transpose"):
        return list(rule.transpose(g, *operands, **node.attributes))
    return list(rule.vjp(g, None, *operands, **node.attributes))


def _run(graph: Graph, arrays: Sequence[Any], evaluate: Evaluate) -> list[Any]:
    values = [*arrays, *graph.constants]
    for node in graph.nodes:
        values += evaluate(node.op, [values[i] for i in node.operands], node.attributes)
    return [values[output.value] for output in graph.outputs]


MOVEMENTS = {
    Moves.COPIES: copied,
    Moves.PLACES: placed,
    Moves.WEIGHS: weighed,
    Moves.MULTIPLIES: multiplied,
}
"""How a row that moves is followed."""


def kept(axes: Axes, operand: int, result: int, types: tuple[ArrayType, ArrayType]) -> Relation:
    """What `axes` says of an operand and a result of those types: elements apart along kept axes.

    A kept axis of another size in the result is cut block for block, as the sizes go.
    """
    (_, own), (_, made) = types
    factors, results = axes.operands[operand], axes.results[result]
    if factors == results and own == made and len({*factors} - {None}) == len(own):
        return Relation(None, None, types[0].size)
    shared = [f for f in dict.fromkeys(factors) if f is not None and f in results]
    blocks = [gcd(_size(own, factors, f), _size(made, results, f)) for f in shared]
    count = 1
    for block in blocks:
        count *= block
    return Relation(
        _groups(own, factors, shared, blocks), _groups(made, results, shared, blocks), count
    )


def _size(shape: Shape, factors: Sequence[int | None], factor: int) -> int:
    """The size of all axes of one factor together: one block for all where they differ."""
    size = 0
    for own, n in zip(factors, shape, strict=True):
        if own == factor:
            size = gcd(size, n)
    return size


def _groups(
    shape: Shape, factors: Sequence[int | None], shared: Sequence[int], blocks: Sequence[int]
) -> Indices:
    """The group of each element: its block along every shared factor."""
    groups = np.zeros((1,) * len(shape), np.int64)
    for factor, block in zip(shared, blocks, strict=True):
        axis = factors.index(factor)
        ones = [1] * len(shape)
        ones[axis] = shape[axis]
        along = np.arange(shape[axis]) * block // max(shape[axis], 1)
        groups = groups * block + along.reshape(ones)
    return np.broadcast_to(groups, shape).reshape(-1)
