"""Pooling: the largest element, or the mean, of windows that slide over the last axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback.nn.windows import entries, paddings, spatial_rank
from pullback.tracing.apply import Value, apply, as_value
from pullback.tracing.promotion import floating, promoted
from pullback_graph.errors import ShapeError
from pullback_graph.types import Shape
from pullback_graph.windows import Window


def max_pool(x: Any, size: Any, stride: Any = None, padding: Any = 0, *, dilation: Any = 1) -> Any:
    """The largest element of each window; padding is never chosen.

    Of elements that tie, the first in row-major order has the derivative.

    Args:
        x: (N, C, spatial); with a size for each of some last axes, of any axes before them.
        size: an integer for all spatial axes, or one for each.
        stride: likewise; the size where None.
        padding: an integer, one or a pair for each axis, "SAME" or "VALID".

    Raises:
        ShapeError, AttributeFault: the window does not fit the array, or an option is none.
    """
    value = as_value(x)
    return apply("reduce_window_max", value, **_window(value, size, stride, padding, dilation))


def avg_pool(
    x: Any,
    size: Any,
    stride: Any = None,
    padding: Any = 0,
    *,
    dilation: Any = 1,
    count_padding: bool = True,
) -> Any:
    """The mean of each window; arguments as for `max_pool`.

    Args:
        count_padding: whether padding counts as zeros, or not at all.
    """
    (value,) = promoted(floating, (x,))
    own = _window(value, size, stride, padding, dilation)
    total = apply("reduce_window_sum", value, **own)
    if count_padding:
        return pnp.divide(total, float(prod(own["sizes"])))
    ones = np.ones(value.shape[value.ndim - len(own["sizes"]) :], value.dtype)
    return pnp.divide(total, pnp.maximum(apply("reduce_window_sum", ones, **own), 1.0))


def _window(value: Value, size: Any, stride: Any, padding: Any, dilation: Any) -> dict[str, Shape]:
    """The attributes of the rows."""
    rank = len(size) if isinstance(size, Sequence) else spatial_rank("pooling", value)
    if not 1 <= rank <= value.ndim:
        raise ShapeError(f"{rank} sizes of a window for shape {value.shape}; give one an axis")
    sizes = entries("size", size, rank)
    strides = sizes if stride is None else entries("stride", stride, rank)
    apart = entries("dilation", dilation, rank)
    low, high = paddings(padding, value.shape[value.ndim - rank :], sizes, strides, apart)
    window = Window(sizes, strides, low, high, (1,) * rank, apart)
    return dict(zip(Window._fields, window, strict=True))
