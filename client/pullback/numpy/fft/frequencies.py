"""What stands beside transforms: the frequencies of their points, and the order of these."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.numpy.axes import ordered_axes
from pullback.numpy.elementwise import divide
from pullback.numpy.manipulation import roll
from pullback.tracing.apply import as_value, cast
from pullback_graph.errors import ShapeError
from pullback_graph.types import FLOAT64, as_dtype


def fftfreq(n: int, /, d: Any = 1.0, *, dtype: Any = FLOAT64) -> Any:
    """Cycles per unit at each of n points of a transform; `d` is the sample spacing, maybe traced.

    Raises:
        ShapeError: n is less than one.
    """
    _check_count(n)
    return _over(np.fft.ifftshift(np.arange(-(n // 2), (n + 1) // 2)) / n, d, dtype)


def rfftfreq(n: int, /, d: Any = 1.0, *, dtype: Any = FLOAT64) -> Any:
    """The same for the n // 2 + 1 points of `rfft`.

    Raises:
        ShapeError: n is less than one.
    """
    _check_count(n)
    return _over(np.arange(n // 2 + 1) / n, d, dtype)


def fftshift(x: Any, /, axes: Any = None) -> Any:
    """The points in order of frequency, zero in the middle of each axis (of all where None)."""
    return _shifted(x, axes, 1)


def ifftshift(x: Any, /, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return _shifted(x, axes, -1)


def _shifted(x: Any, axes: Any, sign: int) -> Any:
    value = as_value(x)
    chosen = tuple(range(value.ndim)) if axes is None else ordered_axes(axes, value.ndim)
    if not chosen:
        return value
    shifts = tuple([(value.shape[i] // 2 if sign > 0 else -(value.shape[i] // 2)) for i in chosen])
    return roll(value, shifts, chosen)


def _over(cycles: Any, spacing: Any, dtype: Any) -> Any:
    return cast(as_value(divide(cycles, spacing)), as_dtype(dtype))


def _check_count(n: int) -> None:
    if n < 1:
        raise ShapeError(f"a transform has one point or more, got {n}")
