"""Matrices as operands: their dtype, their shape, and their parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.numpy import manipulation
from pullback.numpy.reductions import sum
from pullback.tracing.apply import Value, apply, as_value
from pullback.tracing.promotion import floating, promoted
from pullback_graph.errors import ShapeError


def matrix(x: Any) -> Value:
    """A batch of floating matrices.

    Raises:
        ShapeError: there are fewer than two axes.
    """
    (value,) = promoted(floating, (x,))
    if value.ndim < 2:
        raise ShapeError(f"a matrix has two axes, got shape {value.shape}; use reshape")
    return value


def tolerance(x: Value) -> float:
    """Singular values of `x` up to this share of the largest one may be rounding alone."""
    rows, columns = x.shape[-2:]
    return float(max(rows, columns) * np.finfo(x.dtype).eps)


def transposed(x: Value) -> Any:
    """The matrices transposed."""
    rank = x.ndim
    return apply("permute_dims", x, axes=(*range(rank - 2), rank - 1, rank - 2))


def columns(x: Value, start: int, stop: int) -> Any:
    """Columns start:stop of matrices."""
    rank = x.ndim
    return apply(
        "slice",
        x,
        starts=(*[0] * (rank - 1), start),
        stops=(*x.shape[:-1], stop),
        steps=(1,) * rank,
    )


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of the diagonal of the last two axes."""
    return sum(diagonal(x, offset=offset), -1, dtype)


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of the last two axes, `offset` above the main one."""
    value = as_value(x)
    if value.ndim < 2:
        raise ShapeError(f"a matrix has two axes, got shape {value.shape}; use reshape")
    return manipulation.diagonal(value, offset, -2, -1)
