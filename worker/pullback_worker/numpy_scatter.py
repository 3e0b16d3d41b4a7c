"""Adding at indices on NumPy arrays: every repeated place counts, every index has a meaning.

A negative index counts from the end; what is still out of range is clipped to the nearest element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback_graph.kernels import Index
from pullback_graph.types import Shape

Array = Any


def in_range(index: Array, size: int) -> Array:
    """The integer array `index` as int64 within an axis of `size` elements (one or more)."""
    if index.dtype.kind == "u":
        return np.minimum(index, index.dtype.type(min(size - 1, np.iinfo(index.dtype).max))).astype(
            np.int64
        )
    index = index.astype(np.int64, copy=False)
    return np.clip(np.where(index < 0, index + size, index), 0, size - 1)


def in_range_index(index: Index, shape: Shape) -> Index:
    """`index` with its integer arrays brought in range of the axes they index."""
    return tuple(
        [
            entry if type(entry) is slice or size == 0 else in_range(entry, size)
            for entry, size in zip(index, shape, strict=False)
        ]
    )


def add_at(z: Array, index: Index, y: Array) -> None:
    """Add `y` into `z` at `index`, in place."""
    if all([type(entry) is slice for entry in index]):
        z[index] += y
        return
    places: Any = in_range_index(index, z.shape)
    np.add.at(z, places, y)
