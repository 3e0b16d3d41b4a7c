"""Reductions on NumPy arrays: its own, but for short rows, at whose every start NumPy loses time.

Many short sums are one product with a vector of ones; the largest of many short rows are found
column by column. Both see the same numbers, in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from pullback_worker.buffer_reuse import fresh

Array = Any

_LEAST, _LEAST_ROWS = 256, 32
"""Elements and rows from which it is worth looking."""
_SUMMED, _COMPARED = 512, 32
"""Rows of up to so many elements are short, for sums and for extremes."""
_LEAST_COMPARED_ROWS, _BLOCK_ROWS = 256, 1024
"""Rows are turned into columns a block at a time, which stays near."""


def reduction(ufunc: str, axes: tuple[int, ...], keepdims: bool) -> Callable[[Array], Array]:
    """The reduction of a ufunc over axes; the dtype is kept."""
    reduce = getattr(np, ufunc).reduce

    def plain(x: Array) -> Array:
        return reduce(x, axes, x.dtype, None, keepdims)

    short = {"add": _sums, "maximum": _extremes(reduce), "minimum": _extremes(reduce)}.get(ufunc)
    count = len(axes)
    if short is None or not count:
        return fresh(plain)

    def run(x: Array) -> Array:
        rank = x.ndim
        if (
            x.size < _LEAST
            or x.dtype.kind != "f"
            or not x.flags.c_contiguous
            or axes != _last(rank, count)
        ):
            return plain(x)
        shape = x.shape
        kept = shape[: rank - count]
        length = shape[-1] if count == 1 else _size(shape[rank - count :])
        rows = x.size // length if length else 0
        if rows < _LEAST_ROWS:
            return plain(x)
        z = short(x, rows, length)
        if z is None:
            return plain(x)
        return z.reshape(kept + (1,) * count if keepdims else kept)

    return fresh(run)


@lru_cache(maxsize=256)
def _last(rank: int, count: int) -> tuple[int, ...]:
    return tuple(range(rank - count, rank))


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _sums(x: Array, rows: int, length: int) -> Array | None:
    if not 1 < length <= _SUMMED:
        return None
    return x.reshape(rows, length) @ _ones(length, x.dtype)


def _extremes(reduce: Callable[..., Array]) -> Callable[[Array, int, int], Array | None]:
    def run(x: Array, rows: int, length: int) -> Array | None:
        if not 1 < length <= _COMPARED or rows < _LEAST_COMPARED_ROWS:
            return None
        x = x.reshape(rows, length)
        z = np.empty(rows, x.dtype)
        for start in range(0, rows, _BLOCK_ROWS):
            stop = start + _BLOCK_ROWS
            reduce(x[start:stop].T.copy(), axis=0, out=z[start:stop])
        return z

    return run


@lru_cache(maxsize=1024)
def _ones(length: int, dtype: Any) -> Array:
    return np.ones(length, dtype)
