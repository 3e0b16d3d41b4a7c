"""How matmul maps over a leading axis: as one larger product, or as a batch of products.

Vectors then stand as matrices of one row or column.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from pullback_graph.attributes import Lead
from pullback_graph.ops.leading import permuted, reshaped
from pullback_graph.ref import Ref

_NARROW = 32
"""Columns up to which all positions' matrices side by side are multiplied faster than in turn."""


def map_matmul(operands: Sequence[Ref], lead: Lead) -> Ref | None:
    """None where broadcasting the axis as a batch axis is all there is to it."""
    (x, y), (by_x, by_y) = operands, lead.mapped
    if by_x and by_y:
        return _vectors(x, y, lead.size)
    if by_x:
        return _common_right(x, y)
    return _common_left(x, y) if len(x.shape) == 2 else _broadcast_left(x, y, lead.size)


def _common_right(x: Ref, y: Ref) -> Ref | None:
    """Rows of all positions below each other, times one matrix or vector."""
    if len(y.shape) > 2 or len(x.shape) < 3:
        return None
    rows = x.shape[:-1]
    return reshaped(reshaped(x, (prod(rows), x.shape[-1])) @ y, rows + y.shape[1:])


def _common_left(x: Ref, y: Ref) -> Ref | None:
    """One matrix, times the vectors or narrow matrices of all positions side by side."""
    if len(y.shape) == 2:
        return y @ permuted(x, (1, 0))
    size, inner, columns = y.shape[0], y.shape[-2], y.shape[-1]
    if len(y.shape) > 3 or columns > _NARROW:
        return None
    beside = reshaped(permuted(y, (1, 0, 2)), (inner, size * columns))
    return permuted(reshaped(x @ beside, (x.shape[0], size, columns)), (1, 0, 2))


def _broadcast_left(x: Ref, y: Ref, size: int) -> Ref | None:
    """A vector or a batch of matrices, times a vector at each position."""
    if len(y.shape) > 2:
        return None
    if len(x.shape) == 1:
        return y @ x
    rank = len(x.shape)
    columns = permuted(y, (1, 0))
    return permuted(x @ columns, (rank - 1, *range(rank - 1)))


def _vectors(x: Ref, y: Ref, size: int) -> Ref | None:
    """Vectors as rows and columns, where one operand has them at each position."""
    row, column = len(x.shape) == 2, len(y.shape) == 2
    if not row and not column:
        return None
    batch = [1] * max(len(x.shape) - 3, len(y.shape) - 3, 0)
    if row:
        x = reshaped(x, (size, *batch, 1, x.shape[-1]))
    if column:
        y = reshaped(y, (size, *batch, y.shape[-1], 1))
    z = x @ y
    rows = () if row else z.shape[-2:-1]
    columns = () if column else z.shape[-1:]
    return reshaped(z, z.shape[:-2] + rows + columns)
