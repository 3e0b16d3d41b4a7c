"""Linear systems, inverses, determinants and powers. NaN where a matrix is singular."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pullback.numpy.elementwise import greater, multiply, square, subtract
from pullback.numpy.linalg.factorizations import svdvals
from pullback.numpy.linalg.matrices import matrix, tolerance
from pullback.numpy.linear import matmul
from pullback.numpy.manipulation import expand_dims, moveaxis, reshape, squeeze
from pullback.numpy.reductions import max, sum
from pullback.tracing.apply import Value, apply, cast
from pullback.tracing.promotion import floating, promoted
from pullback_graph.errors import ShapeError


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Any
    logabsdet: Any


class LstsqResult(NamedTuple):
    """The least squares solution of least norm, and what is known of it.

    `residuals` are the sums of squares that are left, one a right-hand side (always: NumPy leaves
    them out where the rank is not full). `rank` is int64.
    """

    x: Any
    residuals: Any
    rank: Any
    singular_values: Any


def system(a: Any, b: Any) -> tuple[Value, Value, bool]:
    """A matrix and right-hand sides as columns, and whether `b` was a vector (one axis)."""
    left, right = promoted(floating, (a, b))
    vector = right.ndim == 1
    return matrix(left), expand_dims(right, -1) if vector else right, vector


def without_column(x: Any, vector: bool) -> Any:
    """The solution in the form that its right-hand side had."""
    return squeeze(x, -1) if vector else x


def solve(a: Any, b: Any, /) -> Any:
    """x with a x = b, by LU with partial pivoting.

    Args:
        b: a vector (one axis), or right-hand sides as columns; batches broadcast.
    """
    left, right, vector = system(a, b)
    return without_column(apply("solve", left, right), vector)


def inv(x: Any, /) -> Any:
    """The inverse."""
    return apply("inv", matrix(x))


def pinv(x: Any, /, rcond: Any = None, *, rtol: float | None = None) -> Any:
    """The Moore-Penrose inverse; its derivative is that at constant rank.

    Args:
        rtol: singular values up to this share of the largest are taken as zero (`rcond` is NumPy's
            older name). By default the larger side of the matrix times the dtype's rounding.
    """
    value = matrix(x)
    return apply("pinv", value, rtol=_share(value, rcond if rtol is None else rtol))


def lstsq(a: Any, b: Any, /, rcond: Any = None, *, rtol: float | None = None) -> LstsqResult:
    """The x that makes |a x - b| least, and of those the one of least norm.

    Args:
        b: a vector (one axis), or right-hand sides as columns.
        rtol: as in `pinv`.
    """
    left, right, vector = system(a, b)
    if left.shape[-2] != right.shape[-2]:
        raise ShapeError(
            f"a matrix of shape {left.shape} takes right-hand sides of {left.shape[-2]} rows, got "
            f"shape {np.shape(b)}"
        )
    share = _share(left, rcond if rtol is None else rtol)
    x = matmul(apply("pinv", left, rtol=share), right)
    residuals = sum(square(subtract(matmul(left, x), right)), -2)
    values = svdvals(left)
    least = multiply(max(values, -1, keepdims=True, initial=0.0), share)
    rank = sum(cast(greater(values, least), np.dtype(np.int64)), -1)
    return LstsqResult(without_column(x, vector), without_column(residuals, vector), rank, values)


def det(x: Any, /) -> Any:
    """The determinant. Its derivative is there for a singular matrix too, the second one not."""
    return apply("det", matrix(x))


def slogdet(x: Any, /) -> SlogdetResult:
    """Sign and logarithm of the determinant: 0 and -inf where the matrix is singular."""
    return SlogdetResult(*apply("slogdet", matrix(x)))


def matrix_power(x: Any, n: int, /) -> Any:
    """The product of n times x, or of its inverse where n is negative; by repeated squaring."""
    value, count = matrix(x), operator.index(n)
    if value.shape[-1] != value.shape[-2]:
        raise ShapeError(f"shape {value.shape}: a power needs a square matrix; slice it")
    if count == 0:
        size = value.shape[-1]
        one = apply("eye", rows=size, columns=size, k=0, dtype=value.dtype)
        return apply("broadcast_to", one, shape=value.shape)
    factor: Any = inv(value) if count < 0 else value
    count = -count if count < 0 else count
    result = None
    while True:
        if count & 1:
            result = factor if result is None else apply("matmul", result, factor)
        count >>= 1
        if not count:
            return result
        factor = apply("matmul", factor, factor)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of the map from the last axes to the first `ind`, by tensordot."""
    (value,) = promoted(floating, (a,))
    if ind < 1:
        raise ShapeError(f"tensorinv takes one axis or more as the result's, got ind={ind}")
    first, last = value.shape[:ind], value.shape[ind:]
    return reshape(inv(reshape(value, (prod(first), prod(last)))), (*last, *first))


def tensorsolve(a: Any, b: Any, axes: Sequence[int] | None = None) -> Any:
    """The x whose tensordot with a, over all its axes, is b.

    Args:
        axes: of a, to be moved behind the others before.
    """
    left, right = promoted(floating, (a, b))
    if axes is not None:
        left = moveaxis(left, axes, range(-len(axes), 0))
    shape = left.shape[right.ndim :]
    square = reshape(left, (prod(left.shape[: right.ndim]), prod(shape)))
    return reshape(solve(square, reshape(right, (-1,))), shape)


def multi_dot(arrays: Sequence[Any]) -> Any:
    """The product of matrices in the order of least work; the first and last may be vectors.

    Source: Cormen et al. 2009, section 15.2.
    """
    values = promoted(floating, list(arrays))
    if len(values) < 2:
        raise ShapeError(f"multi_dot takes two arrays or more, got {len(values)}")
    first = values[0].shape[0] if values[0].ndim > 1 else 1
    sizes = [first, *[value.shape[0] for value in values[1:]]]
    sizes.append(values[-1].shape[1] if values[-1].ndim > 1 else 1)
    return _product(values, _splits(sizes), 0, len(values) - 1)


def _splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each run of matrices, matrix i being sizes[i] by sizes[i + 1]."""
    count = len(sizes) - 1
    work = {(i, i): 0 for i in range(count)}
    chosen = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            choices = [
                (work[i, k] + work[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            work[i, j], chosen[i, j] = sorted(choices)[0]
    return chosen


def _product(values: Sequence[Value], splits: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return values[i]
    k = splits[i, j]
    return matmul(_product(values, splits, i, k), _product(values, splits, k + 1, j))


def _share(x: Value, given: Any) -> float:
    return tolerance(x) if given is None else float(given)
