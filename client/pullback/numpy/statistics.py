"""Means, spreads, quantiles, and the functions of classification, made of the rows.

A mean divides by the `size` row rather than by a number, so that a graph retyped for another batch
length (`Graph.with_shapes`) stays right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.numpy.axes import many_axes, one_axis
from pullback.numpy.complex_numbers import squared_size
from pullback.numpy.composed import where as choose
from pullback.numpy.elementwise import (
    divide,
    exp,
    isnan,
    logical_not,
    maximum,
    multiply,
    sqrt,
    subtract,
)
from pullback.numpy.reductions import logsumexp, max, min, sum
from pullback.tracing.apply import Value, apply, as_value, cast, is_traced
from pullback.tracing.promotion import boolean, floating, promoted
from pullback_graph.errors import ShapeError, TraceError
from pullback_graph.types import FLOAT64, as_dtype
from pullback_graph.types import Shape as Axes


def mean(
    x: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False, where: Any = None
) -> Any:
    """The mean over axes; `where` chooses the elements that count."""
    value = _averaged(x, dtype)
    axes = many_axes(axis, value.ndim)
    total = sum(value, axes, keepdims=keepdims, where=where)
    if where is None:
        return divide(total, _count(value, axes))
    chosen = cast(promoted(boolean, (where,))[0], value.dtype)
    chosen = apply("broadcast_to", chosen, shape=value.shape)
    return divide(total, sum(chosen, axes, keepdims=keepdims))


def var(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    *,
    correction: float | None = None,
    keepdims: bool = False,
) -> Any:
    """The variance over axes: squares about the mean, over the count less `ddof` (`correction`).

    Of complex numbers, their distances from the mean are squared.
    """
    value = _averaged(x, dtype)
    axes = many_axes(axis, value.ndim)
    centred = subtract(value, mean(value, axes, keepdims=True))
    less = ddof if correction is None else correction
    squares = squared_size(centred)
    count = _count(squares, axes)
    exact = not is_traced(less) and less == 0
    degrees = count if exact else maximum(subtract(count, less), 0)
    return divide(sum(squares, axes, keepdims=keepdims), degrees)


def std(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: float = 0,
    *,
    correction: float | None = None,
    keepdims: bool = False,
) -> Any:
    """The standard deviation over axes: the square root of `var`."""
    return sqrt(var(x, axis, dtype, ddof, correction=correction, keepdims=keepdims))


def average(x: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    """The mean, each element weighing as `weights` says (of x's shape, or of its one axis)."""
    if weights is None:
        return mean(x, axis, keepdims=keepdims)
    value, weight = promoted(floating, (x, weights))
    if weight.shape != value.shape:
        if axis is None:
            raise ShapeError(
                f"weights of shape {weight.shape} are not of shape {value.shape}; give their axis"
            )
        along = one_axis(axis, value.ndim)
        if weight.shape != value.shape[along : along + 1]:
            raise ShapeError(f"weights of shape {weight.shape} do not fit shape {value.shape}")
        shape = tuple([n if i == along else 1 for i, n in enumerate(value.shape)])
        weight = apply("reshape", weight, shape=shape)
    weight = apply("broadcast_to", weight, shape=value.shape)
    total = sum(multiply(value, weight), axis, keepdims=keepdims)
    return divide(total, sum(weight, axis, keepdims=keepdims))


def nansum(x: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> Any:
    """The sum of the elements that are not NaN."""
    return sum(x, axis, dtype, keepdims=keepdims, where=logical_not(isnan(x)))


def nanmean(x: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> Any:
    """The mean of the elements that are not NaN."""
    return mean(x, axis, dtype, keepdims=keepdims, where=logical_not(isnan(x)))


def nanmax(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The largest of the elements that are not NaN (-infinity where all are)."""
    return max(choose(isnan(x), -np.inf, x), axis, keepdims=keepdims)


def nanmin(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The smallest of the elements that are not NaN (infinity where all are)."""
    return min(choose(isnan(x), np.inf, x), axis, keepdims=keepdims)


# --- quantiles ------------------------------------------------------------------------------------


def median(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The middle element along an axis (or of all), the mean of the two middle ones."""
    return quantile(x, 0.5, axis, keepdims=keepdims)


def percentile(x: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """`quantile` of q / 100."""
    return quantile(x, np.true_divide(_static(q), 100), axis, keepdims=keepdims)


def quantile(x: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The value below which a share q of the elements lies, linear between neighbours.

    Args:
        q: between 0 and 1, not traced; an axis for each of its own comes first in the result.

    Raises:
        ShapeError: there are no elements, or q is out of range.
    """
    shares = _static(q)
    (value,) = promoted(floating, (x,))
    axes = many_axes(axis, value.ndim)
    kept = tuple([i for i in range(value.ndim) if i not in axes])
    whole = apply("permute_dims", value, axes=kept + axes)
    count = int(np.prod([value.shape[i] for i in axes], dtype=np.int64))
    if count == 0 or ((shares < 0) | (shares > 1)).any():
        raise ShapeError(f"quantile {q!r} of {count} element(s); it needs some, and q in [0, 1]")
    rows = apply("reshape", whole, shape=(*[value.shape[i] for i in kept], count))
    ordered = apply("sort", rows, axis=len(kept))
    result = _between(ordered, shares * (count - 1), len(kept))
    if not keepdims:
        return result
    return apply("expand_dims", result, axes=tuple([shares.ndim + i for i in axes]))


def _between(ordered: Value, places: Any, axis: int) -> Any:
    """Elements at fractional places along the last axis, whose axes then come first."""
    low = np.floor(places).astype(np.int64)
    part = np.asarray(places - low, ordered.dtype)
    high = np.minimum(low + 1, ordered.shape[axis] - 1)
    part = part.reshape(part.shape + (1,) * axis)
    below, above = (
        apply("permute_dims", taken, axes=_first(taken.ndim, axis))
        for taken in (apply("take", ordered, index, axis=axis) for index in (low, high))
    )
    nan = isnan(apply("take", ordered, np.asarray(-1), axis=axis))  # NaN is sorted last
    result = subtract(multiply(below, subtract(1.0, part)), multiply(above, -part))
    return choose(nan, np.nan, choose(part == 0, below, result))


def _first(rank: int, axis: int) -> Axes:
    """The permutation that brings the axes from `axis` on to the front."""
    return (*range(axis, rank), *range(axis))


# --- classification -------------------------------------------------------------------------------


def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) over its sum along axes."""
    return exp(log_softmax(x, axis))


def log_softmax(x: Any, axis: Any = -1) -> Any:
    """x less the log of the sum of its exponentials along axes."""
    (value,) = promoted(floating, (x,))
    return subtract(value, logsumexp(value, axis, keepdims=True))


# --- inside ---------------------------------------------------------------------------------------


def _averaged(x: Any, dtype: Any) -> Value:
    """x in the dtype its mean has: integers become float64."""
    value = as_value(x)
    if dtype is None:
        return value if value.dtype.kind in "fc" else cast(value, FLOAT64)
    return cast(value, as_dtype(dtype))


def _count(value: Value, axes: Axes) -> Any:
    """The number of elements over axes, as a 0-d value of the array's dtype."""
    return apply("size", value, axes=axes, dtype=value.dtype)


def _static(q: Any) -> Any:
    if is_traced(q):
        raise TraceError("the share of a quantile must be a number, not traced; pass it as one")
    return np.asarray(q, np.float64)
