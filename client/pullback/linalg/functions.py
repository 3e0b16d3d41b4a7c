"""Functions of whole matrices, under SciPy's names."""

from __future__ import annotations

from typing import Any

from pullback.numpy.joining import concat
from pullback.numpy.linalg.matrices import matrix
from pullback.numpy.manipulation import atleast_2d
from pullback.tracing.apply import apply, as_value
from pullback.tracing.promotion import common, floating, promoted
from pullback_graph.errors import ShapeError


def expm(a: Any, /) -> Any:
    """The exponential of square matrices."""
    return apply("expm", matrix(a))


def expm_frechet(a: Any, e: Any, /, *, compute_expm: bool = True) -> Any:
    """The exponential and its derivative at `a` in the direction `e`, or that alone."""
    left, right = promoted(floating, (a, e))
    derivative = apply("expm_frechet", left, right)
    return (apply("expm", left), derivative) if compute_expm else derivative


def block_diag(*arrays: Any) -> Any:
    """Matrices side by side on the diagonal of one, with zeros elsewhere; vectors are rows."""
    if not arrays:
        raise ShapeError("block_diag takes one matrix or more")
    values = promoted(common, [atleast_2d(as_value(x)) for x in arrays])
    if any(value.ndim > 2 for value in values):
        raise ShapeError("block_diag takes matrices of two axes; map it over a batch")
    width = sum(value.shape[1] for value in values)
    zero = values[0].dtype.type(0)
    rows, start = [], 0
    for value in values:
        stop = start + value.shape[1]
        padding = {"low": (0, start), "high": (0, width - stop)}
        rows.append(apply("pad", value, zero, **padding))
        start = stop
    return concat(rows, axis=0)
