"""Functions that make arrays from sizes and numbers: plain arrays, unless given traced ones.

A plain array that meets a traced one becomes a constant of the graph; one that is large and
uniform, or counts up, is stored as that, not written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.numpy.axes import as_shape
from pullback.numpy.elementwise import add, multiply, subtract
from pullback.numpy.manipulation import broadcast_arrays, moveaxis, reshape
from pullback.tracing.apply import apply, as_value, cast, is_traced
from pullback.tracing.promotion import common, floating, promoted
from pullback_graph.errors import TraceError
from pullback_graph.types import FLOAT64, as_dtype


def asarray(x: Any, /, dtype: Any = None, *, copy: bool | None = None) -> Any:
    """x as an array: a number, a (nested) sequence, or an array of any library; traced stays so."""
    value = as_value(x)
    result = value if dtype is None else cast(value, as_dtype(dtype))
    return result if is_traced(result) else np.array(result, copy=copy)


def copy(x: Any, /) -> Any:
    """A copy of a plain array; a traced one itself, which cannot change."""
    return asarray(x, copy=True)


def zeros(shape: Any, dtype: Any = FLOAT64) -> Any:
    """An array of zeros."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = FLOAT64) -> Any:
    """An array of ones."""
    return full(shape, 1, dtype)


def empty(shape: Any, dtype: Any = FLOAT64) -> Any:
    """An array of zeros: nothing here is left undefined."""
    return full(shape, 0, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of one value, which may be traced."""
    (value,) = promoted(common, (fill_value,))
    value = value if dtype is None else cast(value, as_dtype(dtype))
    if is_traced(value):
        return apply("broadcast_to", value, shape=as_shape(shape))
    return np.full(as_shape(shape), value)


def zeros_like(x: Any, /, dtype: Any = None, *, shape: Any = None) -> Any:
    """Zeros of the shape and dtype of x."""
    return full_like(x, 0, dtype, shape=shape)


def ones_like(x: Any, /, dtype: Any = None, *, shape: Any = None) -> Any:
    """Ones of the shape and dtype of x."""
    return full_like(x, 1, dtype, shape=shape)


def empty_like(x: Any, /, dtype: Any = None, *, shape: Any = None) -> Any:
    """Zeros of the shape and dtype of x: nothing here is left undefined."""
    return full_like(x, 0, dtype, shape=shape)


def full_like(x: Any, /, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """One value in the shape and dtype of x; traced where the value is."""
    value = as_value(x)
    fill = cast(as_value(fill_value), value.dtype if dtype is None else as_dtype(dtype))
    return full(value.shape if shape is None else shape, fill)


def arange(start: Any, /, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """Evenly spaced numbers from `start` (0 where only a stop is given) up to `stop`."""
    _check_numbers("arange", start, stop, step)
    bounds: Any = (0, start, step) if stop is None else (start, stop, step)
    return as_value(np.arange(*bounds, dtype=dtype))


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    *,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`, which may be arrays, and traced."""
    if not is_traced(start, stop):
        spaced = np.linspace(start, stop, num, endpoint, dtype=dtype, axis=axis)
        return as_value(spaced)
    low, high = promoted(floating, (start, stop))
    low, high = broadcast_arrays(low, high)
    steps = num - 1 if endpoint else num
    share = np.arange(num, dtype=low.dtype) / low.dtype.type(max(steps, 1))
    share = reshape(share, (num,) + (1,) * low.ndim)
    values = add(multiply(low, subtract(1, share)), multiply(high, share))
    values = values if dtype is None else cast(values, as_dtype(dtype))
    return moveaxis(values, 0, axis) if axis else values


def eye(rows: int, columns: int | None = None, /, *, k: int = 0, dtype: Any = FLOAT64) -> Any:
    """A matrix of ones on diagonal k, zeros elsewhere."""
    return np.eye(rows, columns, k, dtype=as_dtype(dtype))


def identity(n: int, dtype: Any = FLOAT64) -> Any:
    """The identity matrix."""
    return np.eye(n, dtype=as_dtype(dtype))


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Any]:
    """Vectors broadcast against each other: an array per vector, an axis per vector."""
    values = [reshape(x, (-1,)) for x in arrays]
    count = len(values)
    grids = [
        reshape(value, tuple([-1 if i == axis else 1 for i in range(count)]))
        for axis, value in enumerate(values)
    ]
    whole = list(broadcast_arrays(*grids)) if grids else []
    if indexing == "xy" and count > 1:
        return [moveaxis(grid, 0, 1) for grid in whole]
    return whole


def _check_numbers(name: str, *values: Any) -> None:
    if is_traced(*values):
        raise TraceError(
            f"{name} needs numbers, for they decide the shape; use linspace, whose ends may be "
            "traced, or scale an arange of numbers"
        )
