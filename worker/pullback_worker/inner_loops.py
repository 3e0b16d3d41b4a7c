"""How often NumPy starts an inner loop for a node, beyond the first: each start has its price.

Axes along which all operands go on alike are one loop; what is short and last starts it often. An
elementwise start takes as long again for each operand that does not go along with the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import NamedTuple

from pullback_graph.graph import Node
from pullback_graph.op import Axes, Factors
from pullback_graph.ops.rules import broadcast_axes
from pullback_graph.types import ArrayType, Shape

LEAST_ELEMENTS = 1 << 10
"""Of fewer elements there are few loops, whose price is a call's."""


class InnerLoops(NamedTuple):
    """How many inner loops a node starts, beyond the first, and what they go along.

    Attributes:
        started: of an elementwise row, for each operand that stays at an axis of the result.
        kind: `along` axes that all operands share, `kept` or `contracted` ones, or ones taken
            `whole`; or `places` to move elements to.
    """

    kind: str
    started: int


def inner_loops(node: Node, operands: Sequence[ArrayType]) -> InnerLoops:
    """The inner loops of a node on operands of those types."""
    largest = max([type.size for type in (*operands, *node.types)], default=0)
    if largest < LEAST_ELEMENTS or not operands:
        return InnerLoops("along", 0)
    if node.op.axes is broadcast_axes:
        shape = node.types[0].shape
        stay = sum([type.size > 1 and type.shape != shape for type in operands])
        loops = _beyond_first(node.types[0].size, _along(operands, shape))
        return InnerLoops("along", stay * loops)
    places = [type.size for type in operands if type.dtype.kind in "iu"]
    if places and len(operands) > 1:
        return InnerLoops("places", max(places))
    axes = node.op.axes(operands, node.types, **node.attributes)
    if len(operands) > 1:
        return InnerLoops("whole", max(_batch(axes, operands) - 1, 0))
    kind, inner = _last(axes, operands[0].shape)
    return InnerLoops(kind, _beyond_first(operands[0].size, inner))


def _beyond_first(elements: int, inner: int) -> int:
    return max(elements // max(inner, 1) - 1, 0)


def _along(operands: Sequence[ArrayType], shape: Shape) -> int:
    """The length of the last axes of a result that every operand goes along, or stays at."""
    if all([type.shape == shape or type.size == 1 for type in operands]):
        return prod(shape)
    padded = [(1,) * (len(shape) - len(type.shape)) + type.shape for type in operands]
    goes = [[n > 1 for n in column] for column in zip(*padded, strict=True)]
    long = [axis for axis, n in enumerate(shape) if n > 1]
    inner = shape[long[-1]]
    for axis, after in reversed(list(pairwise(long))):
        if goes[axis] != goes[after]:
            break
        inner *= shape[axis]
    return inner


def _last(axes: Axes, shape: Shape) -> tuple[str, int]:
    """What becomes of an operand's last axes, and the length of those it becomes of."""
    kept = {factor for factors in axes.results for factor in factors}
    kinds = [
        "whole" if factor is None else "kept" if factor in kept else "contracted"
        for factor in axes.operands[0]
    ]
    long = [axis for axis, n in enumerate(shape) if n > 1]
    inner = 1
    for axis in reversed(long):
        if kinds[axis] != kinds[long[-1]]:
            break
        inner *= shape[axis]
    return (kinds[long[-1]] if long else "kept"), inner


def _batch(axes: Axes, operands: Sequence[ArrayType]) -> int:
    """The length of the leading axes that all operands and results share."""
    shared = 1
    ways: list[Factors] = [*axes.operands, *axes.results]
    for axis in range(min(map(len, ways))):
        factor = ways[0][axis]
        if factor is None or any([factors[axis] != factor for factors in ways]):
            break
        shared *= operands[0].shape[axis]
    return shared
