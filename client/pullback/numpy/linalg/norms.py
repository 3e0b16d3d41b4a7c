"""Norms of vectors and matrices, and what singular values say of a matrix.

A norm's derivative at zero is zero. Orders below 1 have none where an element is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.numpy.axes import many_axes, ordered_axes
from pullback.numpy.complex_numbers import squared_size
from pullback.numpy.composed import where
from pullback.numpy.elementwise import (
    abs,
    divide,
    equal,
    greater,
    multiply,
    not_equal,
    pow,
    sqrt,
)
from pullback.numpy.linalg.factorizations import svdvals
from pullback.numpy.linalg.matrices import tolerance
from pullback.numpy.linalg.solutions import inv
from pullback.numpy.manipulation import expand_dims, moveaxis
from pullback.numpy.reductions import max, min, sum
from pullback.tracing.apply import as_value, cast
from pullback.tracing.promotion import floating, promoted
from pullback_graph.errors import ShapeError
from pullback_graph.types import real_dtype


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """(sum |x|^ord)^(1/ord) over axes; inf, -inf and 0 (how many are not zero) too."""
    (value,) = promoted(floating, (x,))
    axes = many_axes(axis, value.ndim)
    if ord == 2:
        return _root(sum(squared_size(value), axes, keepdims=keepdims), 2)
    if ord == np.inf:
        return max(abs(value), axes, keepdims=keepdims)
    if ord == -np.inf:
        return min(abs(value), axes, keepdims=keepdims)
    if ord == 0:
        return sum(cast(not_equal(value, 0.0), real_dtype(value.dtype)), axes, keepdims=keepdims)
    if ord == 1:
        return sum(abs(value), axes, keepdims=keepdims)
    return _root(sum(pow(abs(value), ord), axes, keepdims=keepdims), ord)


def matrix_norm(
    x: Any, /, *, keepdims: bool = False, ord: Any = "fro", axis: Any = (-2, -1)
) -> Any:
    """Of matrices in two axes.

    Args:
        ord: "fro" (the root of the sum of squares); 1 or inf, the largest sum of a column or a row
            (the smallest: -1, -inf); 2 or -2, the largest or smallest singular value; "nuc", their
            sum.

    Raises:
        ShapeError: there is no such order.
    """
    (value,) = promoted(floating, (x,))
    rows, columns = ordered_axes(axis, value.ndim)
    if ord in ("fro", None):
        return _root(sum(squared_size(value), (rows, columns), keepdims=keepdims), 2)
    of_values = _OF_SINGULAR_VALUES.get(ord)
    if of_values is not None:
        norms = of_values(svdvals(moveaxis(value, (rows, columns), (-2, -1))), -1)
        return expand_dims(norms, tuple(sorted((rows, columns)))) if keepdims else norms
    summed = {1: rows, -1: rows, np.inf: columns, -np.inf: columns}.get(ord)
    if summed is None:
        raise ShapeError(
            f"matrix norm {ord!r} is not offered; use 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        )
    sums = sum(abs(value), summed, keepdims=True)
    return (max if ord > 0 else min)(sums, (rows, columns), keepdims=keepdims)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """NumPy's `linalg.norm`: of a vector, of a matrix, or of all elements where `ord` is None."""
    value = as_value(x)
    if ord is None:
        return vector_norm(value, axis=axis, keepdims=keepdims)
    several = isinstance(axis, Sequence) or hasattr(axis, "__len__")
    given = tuple(range(value.ndim)) if axis is None else tuple(axis) if several else (axis,)
    if len(given) == 1:
        return vector_norm(value, axis=given, keepdims=keepdims, ord=ord)
    if len(given) != 2:
        raise ShapeError(f"a norm of order {ord} needs one axis or two, got {given}")
    return matrix_norm(value, axis=given, keepdims=keepdims, ord=ord)


def cond(x: Any, /, p: Any = None) -> Any:
    """The norm of order p times that of the inverse; by default the ratio of singular values."""
    (value,) = promoted(floating, (x,))
    if p in (None, 2, -2):
        values = svdvals(value)
        ends = max(values, -1), min(values, -1)
        return divide(*(ends[::-1] if p == -2 else ends))
    return multiply(matrix_norm(value, ord=p), matrix_norm(inv(value), ord=p))


def matrix_rank(x: Any, /, tol: Any = None, *, rtol: Any = None) -> Any:
    """How many singular values exceed `tol`, or `rtol` times the largest, as int64.

    `rtol` is by default the larger side of the matrix times the dtype's rounding.
    """
    (value,) = promoted(floating, (x,))
    if value.ndim < 2:
        return cast(not_equal(max(abs(value), keepdims=False), 0.0), np.dtype(np.int64))
    values = svdvals(value)
    if tol is None:
        share = tolerance(value) if rtol is None else rtol
        tol = multiply(max(values, -1, keepdims=True, initial=0.0), _column(share))
    else:
        tol = _column(tol)
    return sum(cast(greater(values, tol), np.dtype(np.int64)), -1)


_OF_SINGULAR_VALUES: dict[Any, Callable[..., Any]] = {2: max, -2: min, "nuc": sum}


def _column(x: Any) -> Any:
    """A tolerance for each matrix, to stand beside its singular values."""
    return x if np.ndim(x) == 0 else expand_dims(x, -1)


def _root(x: Any, order: float) -> Any:
    """The root of that order, with derivative zero at zero."""
    zero = equal(x, 0.0)
    safe = where(zero, 1.0, x)
    return where(
        zero, 0.0 if order > 0 else np.inf, sqrt(safe) if order == 2 else pow(safe, 1.0 / order)
    )
