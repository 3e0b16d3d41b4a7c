"""Functions that reduce or accumulate along axes. `axis` is an int, several, or None for all.

Sums and products of small integers are taken in int64 or uint64, as NumPy does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.numpy.axes import many_axes, one_axis
from pullback.numpy.composed import where as choose
from pullback.numpy.elementwise import not_equal
from pullback.tracing.apply import Value, apply, as_value, cast
from pullback.tracing.promotion import boolean, floating, promoted
from pullback_graph.errors import ShapeError
from pullback_graph.types import INT64, DType, as_dtype


def sum(
    x: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False, where: Any = None
) -> Any:
    """The sum over axes; `where` chooses the elements that count."""
    return _added("sum", x, axis, dtype, keepdims, where, 0)


def prod(
    x: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False, where: Any = None
) -> Any:
    """The product over axes; `where` chooses the elements that count."""
    return _added("prod", x, axis, dtype, keepdims, where, 1)


def max(x: Any, axis: Any = None, *, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest element over axes, and `initial`; elements that tie share the derivative."""
    return _extreme("max", "maximum", x, axis, keepdims, initial)


def min(x: Any, axis: Any = None, *, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest element over axes, and `initial`; elements that tie share the derivative."""
    return _extreme("min", "minimum", x, axis, keepdims, initial)


def ptp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The largest element less the smallest."""
    return max(x, axis, keepdims=keepdims) - min(x, axis, keepdims=keepdims)


def all(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Whether all elements are true (not zero)."""
    return _logic("all", x, axis, keepdims)


def any(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Whether one element is true (not zero)."""
    return _logic("any", x, axis, keepdims)


def count_nonzero(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """How many elements are not zero, as int64."""
    return sum(cast(not_equal(x, 0), INT64), axis, keepdims=keepdims)


def logsumexp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """log(sum(exp(x))), without overflow."""
    (value,) = promoted(floating, (x,))
    return apply("logsumexp", value, axes=many_axes(axis, value.ndim), keepdims=keepdims)


def argmax(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the first largest element along an axis, or in the flat array."""
    return _search("argmax", x, axis, keepdims)


def argmin(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the first smallest element along an axis, or in the flat array."""
    return _search("argmin", x, axis, keepdims)


def cumsum(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    """The running sum along an axis, or of the flat array."""
    return _running("cumsum", x, axis, dtype)


def cumprod(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    """The running product along an axis, or of the flat array."""
    return _running("cumprod", x, axis, dtype)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The running sum along an axis (needed unless there is only one), from 0 if asked.

    Raises:
        ShapeError: `axis` is missing where there are several.
    """
    return _cumulative("cumsum", 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The running product along an axis (needed unless there is only one), from 1 if asked.

    Raises:
        ShapeError: `axis` is missing where there are several.
    """
    return _cumulative("cumprod", 1, x, axis, dtype, include_initial)


def summable(x: Any, dtype: Any) -> Value:
    """x in the dtype its elements are added up in."""
    value = as_value(x)
    return cast(value, _sum_dtype(value.dtype) if dtype is None else as_dtype(dtype))


def _sum_dtype(dtype: DType) -> DType:
    """NumPy's: bool and small integers go to the 64-bit integer of their sign."""
    return as_dtype(np.add.reduce(np.zeros(0, dtype)).dtype) if dtype.kind in "biu" else dtype


def _added(
    row: str, x: Any, axis: Any, dtype: Any, keepdims: bool, chosen: Any, neutral: int
) -> Any:
    value = summable(x, dtype)
    if chosen is not None:
        value = choose(chosen, value, neutral)
    return apply(row, value, axes=many_axes(axis, value.ndim), keepdims=keepdims)


def _extreme(row: str, join: str, x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
    value = as_value(x)
    axes = many_axes(axis, value.ndim)
    if initial is None:
        return apply(row, value, axes=axes, keepdims=keepdims)
    start = cast(as_value(initial), value.dtype)
    if 0 in [value.shape[i] for i in axes]:
        kept = [
            1 if i in axes else n for i, n in enumerate(value.shape) if keepdims or i not in axes
        ]
        return apply("broadcast_to", start, shape=tuple(kept))
    return apply(join, apply(row, value, axes=axes, keepdims=keepdims), start)


def _logic(row: str, x: Any, axis: Any, keepdims: bool) -> Any:
    (value,) = promoted(boolean, (x,))
    return apply(row, value, axes=many_axes(axis, value.ndim), keepdims=keepdims)


def _flat(value: Value) -> Value:
    flat: Value = apply("reshape", value, shape=(value.size,))
    return flat


def _search(row: str, x: Any, axis: Any, keepdims: bool) -> Any:
    value = as_value(x)
    if axis is not None:
        return apply(row, value, axis=one_axis(axis, value.ndim), keepdims=keepdims)
    position = apply(row, _flat(value), axis=0, keepdims=False)
    return apply("reshape", position, shape=(1,) * value.ndim) if keepdims else position


def _running(row: str, x: Any, axis: Any, dtype: Any) -> Any:
    value = summable(x, dtype)
    if axis is None:
        value, axis = _flat(value), 0
    return apply(row, value, axis=one_axis(axis, value.ndim), reverse=False)


def _cumulative(
    row: str, first: int, x: Any, axis: int | None, dtype: Any, include_initial: bool
) -> Any:
    value = summable(x, dtype)
    if axis is None and value.ndim != 1:
        raise ShapeError(f"{value.ndim} axes: say which with axis=")
    along = one_axis(axis or 0, value.ndim)
    running = apply(row, value, axis=along, reverse=False)
    if not include_initial:
        return running
    shape = tuple([1 if i == along else n for i, n in enumerate(value.shape)])
    return apply("concat", np.full(shape, first, value.dtype), running, axis=along)
