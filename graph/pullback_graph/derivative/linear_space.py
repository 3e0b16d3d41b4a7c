"""Tangents and cotangents as vectors: zero, sum, and the passage between shapes that broadcast.

The passes do all their own arithmetic here, once; rules never broadcast or un-broadcast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.ref import Ref, apply, do
from pullback_graph.types import ArrayType, Shape


def filled(builder: Builder, type: ArrayType, value: float) -> Ref:
    """An array of `type` whose elements all equal `value`."""
    scalar = builder.constant(np.asarray(value, type.dtype))
    return broadcast_to(scalar, type.shape)


def zeros(builder: Builder, type: ArrayType) -> Ref:
    """The zero vector of `type`."""
    return filled(builder, type, 0.0)


def basis(builder: Builder, type: ArrayType, position: int) -> Ref:
    """The vector of `type` that is one at the flat `position` and zero elsewhere."""
    array = np.zeros(type.size, type.dtype)
    array[position] = 1
    return builder.constant(array.reshape(type.shape))


def reduced_to(cotangent: Ref, shape: Shape) -> Ref:
    """The cotangent of an operand of `shape` that was broadcast to the cotangent's shape."""
    if cotangent.shape == shape:
        return cotangent
    extra = len(cotangent.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        axis + extra
        for axis, size in enumerate(shape)
        if size == 1 and cotangent.shape[axis + extra] != 1
    )
    if axes:
        cotangent = do.sum(cotangent, axes=axes, keepdims=False)
    return cotangent if cotangent.shape == shape else do.reshape(cotangent, shape=shape)


def broadcast_to(tangent: Ref, shape: Shape) -> Ref:
    """The tangent, broadcast to the shape of the result it belongs to."""
    return tangent if tangent.shape == shape else do.broadcast_to(tangent, shape=shape)


def flow_into(flowing: dict[int, list[Ref]], index: int, vector: Ref) -> None:
    """Note a contribution to value `index`, and add up what can be by now.

    The sum runs along as the contributions come, so that none of them waits for the last; those
    of rows that can sum themselves are kept apart until `total`. The order of the sum is total's.
    """
    found = flowing.setdefault(index, [])
    if found and not _sums_itself(vector) and not _sums_itself(found[0]):
        found[0] = found[0] + vector
    elif _sums_itself(vector):
        found.append(vector)
    else:
        found.insert(0, vector)


def _sums_itself(vector: Ref) -> bool:
    node = vector.builder.node(vector.index)
    return node is not None and node.op.fuse_sum is not None


def total(vectors: Sequence[Ref]) -> Ref:
    """The sum of vectors of one type, in order.

    Results of rows that can sum themselves (`Op.fuse_sum`: slices placed in zeros, scattered rows)
    are gathered into one node each, so that n slices of a vector cost their own elements, not n
    vectors.
    """
    vectors = _fused(vectors) if len(vectors) > 1 else vectors
    result = vectors[0]
    for vector in vectors[1:]:
        result = result + vector
    return result


def _fused(vectors: Sequence[Ref]) -> list[Ref]:
    """The vectors with those that rows can sum by themselves summed."""
    kept: list[Ref] = []
    groups: dict[str, list[Ref]] = {}
    for vector in vectors:
        node = vector.builder.node(vector.index)
        if node is not None and node.op.fuse_sum is not None:
            groups.setdefault(node.op.name, []).append(vector)
        else:
            kept.append(vector)
    return kept + [_fuse(group) for group in groups.values()]


def _fuse(group: Sequence[Ref]) -> Ref:
    """One node in place of the sum of several nodes of one row."""
    if len(group) == 1:
        return group[0]
    builder = group[0].builder
    nodes = [builder.node(vector.index) for vector in group]
    operands = [[Ref(builder, i) for i in node.operands] for node in nodes if node]
    attributes = [node.attributes for node in nodes if node]
    op = next(node.op for node in nodes if node)
    assert op.fuse_sum is not None
    merged, merged_attributes = op.fuse_sum(operands, attributes)
    fused: Ref = apply(op.name, *merged, **merged_attributes)
    return fused
