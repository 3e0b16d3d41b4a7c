"""Rules that the rows of linear algebra share: types, axes, cost, and arithmetic on matrices.

Matrices stand on the last two axes, which must stay whole; the axes before them are a batch, and
all of it is kept. What has no answer (a singular matrix to invert) is NaN in its own matrix of the
batch, on every executor: never an exception, never part of a matrix.

In derivatives `g` is a cotangent, `z` the result, `a`, `b` and `x` the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from pullback_graph.errors import ShapeError
from pullback_graph.op import Axes, Cost, CostRule, Example
from pullback_graph.ops.rules import (
    FLOATING,
    INEXACT,
    check_kind,
    check_same_dtype,
    constant_like,
    moved_bytes,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType, Shape, broadcast_shapes

SQUARES = ((3, 3), (2, 1, 2, 2), (0, 0))
"""Shapes of square matrices to test with: a batch, and size zero, included."""


# --- type -----------------------------------------------------------------------------------------


def check_matrix(x: ArrayType, kinds: str = FLOATING) -> None:
    """Refuse what is no batch of floating matrices, real unless `kinds` says more.

    Raises:
        DTypeError: the dtype is not of these kinds.
        ShapeError: it has fewer than two axes.
    """
    check_kind(x, kinds)
    if x.rank < 2:
        raise ShapeError(f"shape {x.shape} is no matrix; reshape it to two axes or more")


def check_square(x: ArrayType, kinds: str = FLOATING) -> None:
    """Refuse what is no batch of square matrices.

    Raises:
        DTypeError, ShapeError: the dtype is not of these kinds, or rows and columns differ.
    """
    check_matrix(x, kinds)
    rows, columns = x.shape[-2:]
    if rows != columns:
        raise ShapeError(
            f"shape {x.shape}: the matrix has {rows} rows and {columns} columns, and must be "
            "square; slice it, or use lstsq or pinv"
        )


def square(x: ArrayType) -> ArrayType:
    """A square matrix gives one of its type."""
    check_square(x)
    return x


def square_inexact(x: ArrayType) -> ArrayType:
    """The same, complex ones too."""
    check_square(x, INEXACT)
    return x


def square_pair(a: ArrayType, b: ArrayType) -> ArrayType:
    """Two square matrices of one type give a third."""
    check_square(a)
    check_same_dtype(a, b)
    if a.shape != b.shape:
        raise ShapeError(f"shapes {a.shape} and {b.shape} differ; broadcast one to the other")
    return a


def solution(a: ArrayType, b: ArrayType, **_: Any) -> ArrayType:
    """A square matrix and right-hand sides, a column each; their batches broadcast."""
    check_square(a, INEXACT)
    check_same_dtype(a, b)
    check_matrix(b, INEXACT)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"a matrix of shape {a.shape} takes right-hand sides of {a.shape[-1]} rows, got shape "
            f"{b.shape}; expand_dims a vector to a column"
        )
    batch = broadcast_shapes([a.shape[:-2], b.shape[:-2]])
    return ArrayType(a.dtype, batch + b.shape[-2:])


# --- axes, cost -----------------------------------------------------------------------------------


def batch_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Axes:
    """Axes of the batch are kept, those of the matrices (or what stands for them) stay whole."""
    rank = operands[0].rank - 2
    kept = tuple(range(rank))

    def own(type: ArrayType) -> tuple[int | None, ...]:
        return (*kept, *[None] * (type.rank - rank))

    return Axes(tuple(map(own, operands)), tuple(map(own, results)))


def solution_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Axes:
    """The batch and the right-hand sides are kept."""
    rank = results[0].rank
    batch = results[0].shape[:-2]

    def own(shape: Shape) -> tuple[int | None, ...]:
        places = enumerate(shape[:-2], rank - len(shape))
        return tuple([axis if size == batch[axis] else None for axis, size in places])

    a, b = operands
    column = rank - 1
    return Axes(
        ((*own(a.shape), None, None), (*own(b.shape), None, column)),
        ((*range(rank - 2), None, column),),
    )


def matrix_cost(flops: Callable[[int, int], float], *, passes: float = 0.0) -> CostRule:
    """FLOPs of one matrix by its rows and columns, times the batch; operands read, results written.

    The first operand is read and written another `passes` times in between.
    """

    def rule(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
        x = operands[0]
        rows, columns = x.shape[-2:]
        between_bytes = 2 * passes * x.size_bytes
        return Cost(
            float(prod(x.shape[:-2]) * flops(rows, columns)),
            moved_bytes(operands, results) + between_bytes,
        )

    return rule


def solution_cost(cube: float, square: float) -> CostRule:
    """`cube` n³ FLOPs for each matrix, and `square` n² for each right-hand side of the result."""

    def rule(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
        a = operands[0]
        n = a.shape[-1]
        flops = cube * n * a.size + square * n * results[0].size
        return Cost(float(flops), moved_bytes(operands, results))

    return rule


def workspace(multiple: int) -> Callable[..., int]:
    """Bytes in use besides the results: so many times the first operand's."""
    return lambda operands, **_: multiple * operands[0].size_bytes


# --- arithmetic -----------------------------------------------------------------------------------


def transposed(x: Ref) -> Ref:
    """The matrices of `x` transposed."""
    rank = len(x.shape)
    z: Ref = do.permute_dims(x, axes=(*range(rank - 2), rank - 1, rank - 2))
    return z


def matmul(*factors: Ref) -> Ref:
    """The product of matrices, from left to right."""
    z = factors[0]
    for factor in factors[1:]:
        z = do.matmul(z, factor)
    return z


def total(x: Ref | None, y: Ref | None) -> Ref:
    """The sum of two tangents or cotangents, of which one may be absent."""
    if x is None:
        assert y is not None, "one of the two is there"
        return y
    return x if y is None else x + y


def symmetrized(x: Ref) -> Ref:
    """(x + xᵀ) / 2."""
    return 0.5 * (x + transposed(x))


def lower_half(x: Ref) -> Ref:
    """The lower triangle with half the diagonal; it is its own transpose as a linear map."""
    halved: Ref = 0.5 * (do.tril(x, k=0) + do.tril(x, k=-1))
    return halved


def column_scaled(x: Ref, scale: Ref) -> Ref:
    """The columns of `x` (..., m, n), each times its element of `scale` (..., n)."""
    return x * do.expand_dims(scale, axes=(len(scale.shape) - 1,))


def row_scaled(scale: Ref, x: Ref) -> Ref:
    """The rows of `x` (..., m, n), each times its element of `scale` (..., m)."""
    return do.expand_dims(scale, axes=(len(scale.shape),)) * x


def differences(x: Ref) -> Ref:
    """x_j - x_i at (i, j), for `x` of shape (..., n); 0 where that may be rounding alone."""
    rank, count = len(x.shape), x.shape[-1]
    z: Ref = do.expand_dims(x, axes=(rank - 1,)) - do.expand_dims(x, axes=(rank,))
    if not count:
        return z
    largest = do.max(do.abs(x), axes=(rank - 1,), keepdims=True)
    least = do.expand_dims(largest, axes=(rank,)) * (count * float(np.finfo(x.dtype).eps))
    gaps: Ref = do.where(do.abs(z) <= least, constant_like(z, 0.0), z)
    return gaps


def inner(x: Ref, y: Ref) -> Ref:
    """The sum over the matrices of the products of their elements."""
    rank = len(x.shape)
    z: Ref = do.sum(x * y, axes=(rank - 2, rank - 1), keepdims=False)
    return z


def spread(x: Ref) -> Ref:
    """A scalar for each matrix of a batch, as matrices of one row and column."""
    rank = len(x.shape)
    z: Ref = do.expand_dims(x, axes=(rank, rank + 1))
    return z


def block(x: Ref, upper: Ref | None = None) -> Ref:
    """[[x, upper], [0, x]]; without `upper`, zeros there too."""
    zeros = do.broadcast_to(constant_like(x, 0.0), shape=x.shape)
    last = len(x.shape) - 1
    top = do.concat(x, zeros if upper is None else upper, axis=last)
    z: Ref = do.concat(top, do.concat(zeros, x, axis=last), axis=last - 1)
    return z


def upper_right(x: Ref) -> Ref:
    """The upper right quarter of matrices of even size."""
    *batch, rows, columns = x.shape
    starts = (*[0] * len(batch), 0, columns // 2)
    stops = (*batch, rows // 2, columns)
    z: Ref = do.slice(x, starts=starts, stops=stops, steps=(1,) * len(stops))
    return z


def plain_transposed(x: Array) -> Array:
    """The matrices of an executor's array transposed."""
    return x.swapaxes(-1, -2)


# --- domain ---------------------------------------------------------------------------------------


def square_examples(*shapes: Shape, count: int = 1) -> tuple[Example, ...]:
    """Square matrices, `count` of one shape."""
    return tuple(Example((shape,) * count) for shape in shapes or SQUARES)
