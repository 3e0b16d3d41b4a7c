"""Adding at indices on NumPy arrays: every repeated place counts, every index has a meaning.

A negative index counts from the end; what is still out of range is clipped to the nearest element.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.kernels import Index
from pullback_graph.types import DType, Shape

Array: TypeAlias = Any
_SPARSE_SIZE = 4096
"""Elements from which a sparse matrix product repays its setting up."""
_FLAT_SIZE = 256
"""Elements from which adding one by one at flat positions beats adding row by row."""


def in_range(index: Array, size: int) -> Array:
    """The integer array `index` as int64 within an axis of `size` elements (one or more)."""
    if index.dtype.kind == "u":
        index = np.minimum(index, index.dtype.type(min(size - 1, np.iinfo(index.dtype).max)))
        return index.astype(np.int64)
    index = index.astype(np.int64, copy=False)
    wrapped = np.where(index < 0, index + size, index)
    return np.maximum(np.minimum(wrapped, size - 1), 0)


def in_range_index(index: Index, shape: Shape) -> Index:
    """`index` with its integer arrays brought in range of the axes they index."""
    return tuple(
        [
            entry if type(entry) is slice else in_range(entry, max(size, 1))
            for entry, size in zip(index, shape, strict=False)
        ]
    )


def sum_at(shape: Shape, indices: Sequence[Index], ys: Sequence[Array]) -> Array:
    """Zeros of `shape` with each of `ys` (one or more, of one dtype) added at its integer index.

    What stands at indices of the same axes is added as rows of one matrix, so that many small
    contributions cost what they hold.
    """
    groups: dict[Shape, list[_Rows]] = {}
    for index, y in zip(indices, ys, strict=True):
        axes = tuple([axis for axis, entry in enumerate(index) if type(entry) is not slice])
        groups.setdefault(axes, []).append(_rows(shape, axes, index, y))
    dtype = ys[0].dtype
    first, *rest = [_scattered(shape, axes, group, dtype) for axes, group in groups.items()]
    for other in rest:
        first = first + other
    return first


class _Rows(NamedTuple):
    """What stands at integer indices: flat positions over the indexed axes, a row for each."""

    places: Array
    values: Array


def _rows(shape: Shape, axes: Shape, index: Index, y: Array) -> _Rows:
    """One contribution as rows; NumPy's rule says where in `y` the indices' own axes stand."""
    places: Array = 0
    for axis in axes:
        places = places * shape[axis] + in_range(np.asarray(index[axis]), max(shape[axis], 1))
    begin = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    own = places.ndim
    if begin and own:
        order = (*range(begin, begin + own), *range(begin), *range(begin + own, y.ndim))
        y = y.transpose(order)
    rest = prod([size for axis, size in enumerate(shape) if axis not in axes])
    return _Rows(places.reshape(-1), np.reshape(y, (places.size, rest)))


def _scattered(shape: Shape, axes: Shape, group: Sequence[_Rows], dtype: DType) -> Array:
    """The sum of contributions at integer indices of `axes`, as an array of `shape`."""
    places, values = group[0]
    if len(group) > 1:
        places = np.concatenate([rows.places for rows in group])
        values = np.concatenate([rows.values for rows in group])
    others = [axis for axis in range(len(shape)) if axis not in axes]
    order = (*axes, *others)
    z = _added_rows(prod([shape[axis] for axis in axes]), places, values, dtype)
    z = z.reshape([shape[axis] for axis in order])
    return z.transpose(sorted(range(len(order)), key=order.__getitem__))


def _added_rows(count: int, places: Array, values: Array, dtype: DType) -> Array:
    """A matrix of `count` rows, zero but for `values` added to the rows at `places`."""
    width = values.shape[1]
    if values.size >= _SPARSE_SIZE and width > 1 and dtype.kind in "fc":
        return _sparse_product(count, places, values)
    z = np.zeros((count, width), dtype)
    if width == 1:
        np.add.at(z[:, 0], places, values[:, 0])
    elif values.size < _FLAT_SIZE:
        np.add.at(z, places, values)
    else:
        flat = places[:, None] * width + np.arange(width)
        np.add.at(z.reshape(-1), flat.reshape(-1), values.reshape(-1))
    return z


def _sparse_product(count: int, places: Array, values: Array) -> Array:
    """The same as the product of a matrix with a one in each column, at its place."""
    import scipy.sparse  # noqa: PLC0415  (heavy, and most graphs scatter little or nothing)

    ones = np.ones(len(places), values.dtype)
    starts = np.arange(len(places) + 1)
    picked = scipy.sparse.csc_array((ones, places, starts), shape=(count, len(places)))
    return picked @ values
