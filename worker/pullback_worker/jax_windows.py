"""Reductions over sliding windows by jax.lax: XLA's own, after the padding is written out.

Padding written out may be negative and carries what never wins, on every backend alike.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax

from pullback_graph.types import INT64, DType, Shape
from pullback_graph.windows import Window, result_sizes

Array: TypeAlias = Any
_NOWHERE = int(np.iinfo(INT64).max)
"""The place of what is padding: after every element."""


def reduce_window(reducer: str, window: Window) -> Callable[[Array], Array]:
    """The function that reduces windows of an array's last axes: `sum`, `max` or `argmax`."""
    reduced = _REDUCERS[reducer]

    def run(x: Array) -> Array:
        x = jnp.asarray(x)
        lead = x.ndim - len(window.sizes)
        shape = (*x.shape[:lead], *result_sizes(x.shape[lead:], window))
        if 0 in shape:
            return jnp.zeros(shape, INT64 if reducer == "argmax" else x.dtype)
        return reduced(x, window)

    return run


def _sum(x: Array, window: Window) -> Array:
    zero = x.dtype.type(0)
    return _slide(lax.add, window, zero)(_padded(x, window, zero))


def _max(x: Array, window: Window) -> Array:
    least = _least(x.dtype)
    return _slide(lax.max, window, least)(_padded(x, window, least))


def _argmax(x: Array, window: Window) -> Array:
    shape = x.shape[x.ndim - len(window.sizes) :]
    places = jnp.broadcast_to(jnp.arange(prod(shape), dtype=INT64).reshape(shape), x.shape)
    neutral = (_least(x.dtype), INT64.type(_NOWHERE))
    operands = (_padded(x, window, neutral[0]), _padded(places, window, neutral[1]))
    _, found = _slide(_first_largest, window, neutral)(operands)
    return jnp.where(found == _NOWHERE, -1, found)


_REDUCERS = {"sum": _sum, "max": _max, "argmax": _argmax}


def _first_largest(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
    """The larger of two (value, place); NaN is larger still; the first of what ties."""
    (x, i), (y, j) = one, other
    x_nan, y_nan = x != x, y != y
    tie = (x == y) | (x_nan & y_nan)
    better = jnp.where(tie, i < j, (x > y) | (x_nan & ~y_nan))
    return jnp.where(better, x, y), jnp.where(better, i, j)


def _slide(reducer: Callable[..., Any], window: Window, neutral: Any) -> Callable[..., Any]:
    def run(operands: Any) -> Any:
        rank = (operands[0] if isinstance(operands, tuple) else operands).ndim
        return lax.reduce_window(
            operands,
            neutral,
            reducer,
            window_dimensions=_whole(window.sizes, rank),
            window_strides=_whole(window.strides, rank),
            padding="VALID",
            window_dilation=_whole(window.rhs_dilation, rank),
        )

    return run


def _whole(entries: Shape, rank: int) -> Shape:
    """An entry for every axis: 1 for those of the batch."""
    return (1,) * (rank - len(entries)) + entries


def _padded(x: Array, window: Window, neutral: Any) -> Array:
    places = zip(window.low, window.high, window.lhs_dilation, strict=True)
    lead = [(0, 0, 0)] * (x.ndim - len(window.sizes))
    return lax.pad(x, neutral, [*lead, *[(low, high, lhs - 1) for low, high, lhs in places]])


def _least(dtype: DType) -> Any:
    return dtype.type(-np.inf if dtype.kind == "f" else np.iinfo(dtype).min)
