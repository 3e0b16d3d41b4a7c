"""The kernels protocol over NumPy and SciPy: the reference every other executor is held to.

Dtypes stay what they are (float32 in, float32 out); nothing here writes into an operand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback_graph.kernels import ControlFlow, Index, LinearAlgebra, Slices
from pullback_graph.types import DType, Shape, complex_dtype
from pullback_graph.windows import Window
from pullback_worker.buffer_reuse import elementwise, fresh
from pullback_worker.numpy_convolution import convolution
from pullback_worker.numpy_einsum import contraction
from pullback_worker.numpy_random import random_bits, random_fold_in
from pullback_worker.numpy_reduction import reduction
from pullback_worker.numpy_scatter import in_range, in_range_index, sum_at
from pullback_worker.numpy_selection import where
from pullback_worker.numpy_windows import reduce_window

Array = Any
_SMALL = 1024
"""Elements up to which writing a broadcast array out costs less than describing it as a view."""


class NumpyKernels:
    """Array functions on `numpy.ndarray`."""

    name = "numpy"
    xp: Any = np

    @property
    def special(self) -> Any:
        """`scipy.special`, imported when a program first needs it."""
        import scipy.special  # noqa: PLC0415  (most graphs need none of it)

        return scipy.special

    @property
    def fft(self) -> Any:
        """`scipy.fft`, imported when a program first needs it."""
        import scipy.fft  # noqa: PLC0415  (as above)

        return scipy.fft

    @property
    def linalg(self) -> LinearAlgebra:
        """Factorisations by NumPy and LAPACK, imported when a program first needs them."""
        from pullback_worker.numpy_linalg import NumpyLinearAlgebra  # noqa: PLC0415  (as above)

        return NumpyLinearAlgebra()

    @property
    def control(self) -> ControlFlow:
        """Loops and branches as Python functions, written for each body."""
        from pullback_worker.numpy_control_flow import NumpyControlFlow  # noqa: PLC0415  (a cycle)

        return NumpyControlFlow()

    def astype(self, x: Array, dtype: DType) -> Array:
        """Cast; float to integer truncates, NaN gives 0 and overflow the nearest bound."""
        x = np.asarray(x)
        if x.dtype.kind == "c" and dtype.kind not in "cb":
            x = x.real
        if x.dtype.kind == "f" and dtype.kind in "iu":
            return _truncated(x, dtype)
        return x.astype(dtype)

    @fresh
    def complex(self, x: Array, y: Array) -> Array:
        """`x` + i `y`, part by part; real floats of one dtype, which broadcast."""
        z = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)), complex_dtype(x.dtype))
        z.real, z.imag = x, y
        return z

    @elementwise
    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """`x` where `condition` holds, else `y`; all three broadcast."""
        return where(condition, x, y)

    def reduction(self, ufunc: str, axes: Shape, keepdims: bool) -> Callable[[Array], Array]:
        """The reduction over axes by NumPy's ufunc of that name; the dtype is kept."""
        return reduction(ufunc, axes, keepdims)

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """`x` broadcast to `shape`: a read-only view, or a fresh array where that is cheaper."""
        size = 1
        for length in shape:
            size *= length
        if size > _SMALL:
            return np.broadcast_to(x, shape)
        z = np.empty(shape, x.dtype)
        z[...] = x
        return z

    def pad(self, x: Array, fill: Array, low: Shape, high: Shape) -> Array:
        """`x` with `fill` (0-d) around it, `low` elements before and `high` after on each axis."""
        sizes = zip(low, x.shape, high, strict=True)
        z = np.empty([before + size + after for before, size, after in sizes], x.dtype)
        z.fill(fill)
        z[tuple([slice(b, b + n) for b, n in zip(low, x.shape, strict=True)])] = x
        return z

    @fresh
    def take(self, x: Array, indices: Array, axis: int) -> Array:
        """The entries of `x` at `indices` along `axis`; the indices' axes stand in its place."""
        if indices.dtype != np.uint64:  # which NumPy would wrap around
            try:
                return x.take(indices, axis)
            except IndexError:  # out of range
                pass
        return x.take(in_range(indices, max(x.shape[axis], 1)), axis)

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        """The entries of `x` along `axis`, chosen anew for every position of the other axes."""
        return self.index(x, _along_axis(x.shape, indices, axis))

    def index(self, x: Array, index: Index) -> Array:
        """`x[index]`."""
        if not any([type(entry) is not slice and entry.dtype == np.uint64 for entry in index]):
            try:
                return x[index]
            except IndexError:  # out of range
                pass
        return x[in_range_index(index, x.shape)]

    def index_add(self, x: Array, index: Index, y: Array) -> Array:
        """`x` with `y` added at `index`, repeated places adding up."""
        return x + sum_at(x.shape, [index], [y])

    def sum_at_slices(self, shape: Shape, places: Sequence[Slices], ys: Sequence[Array]) -> Array:
        """Zeros of `shape` with each of `ys` (one or more, of one dtype) added at its place."""
        z = np.zeros(shape, ys[0].dtype)
        for place, y in zip(places, ys, strict=True):
            view = z[place or ...]
            view += y
        return z

    def sum_at(self, shape: Shape, indices: Sequence[Index], ys: Sequence[Array]) -> Array:
        """The same at indices that hold an integer array or more, repeated places adding up."""
        return sum_at(shape, indices, ys)

    def sum_along_axes(
        self, shape: Shape, axes: Sequence[int], indices: Sequence[Array], ys: Sequence[Array]
    ) -> Array:
        """Zeros of `shape` with each of `ys` added where `take_along_axis` would take it from."""
        pairs = zip(indices, axes, strict=True)
        return sum_at(shape, [_along_axis(shape, index, axis) for index, axis in pairs], ys)

    def dynamic_slice(self, x: Array, starts: Array, sizes: Shape) -> Array:
        """The block of `sizes` at `starts`, an integer vector clamped so that the block fits."""
        return x[_block(x.shape, starts, sizes)]

    def dynamic_update_slice(self, x: Array, y: Array, starts: Array) -> Array:
        """`x` with `y` written at `starts`, clamped so that `y` fits."""
        z = np.array(x)
        z[_block(x.shape, starts, y.shape)] = y
        return z

    def sum_at_blocks(self, shape: Shape, starts: Sequence[Array], ys: Sequence[Array]) -> Array:
        """Zeros of `shape` with each of `ys` added where `dynamic_slice` would take it from."""
        z = np.zeros(shape, ys[0].dtype)
        for start, y in zip(starts, ys, strict=True):
            z[_block(shape, start, y.shape)] += y
        return z

    def einsum(self, subscripts: str) -> Callable[..., Array]:
        """The contraction that explicit `subscripts` (`ij,jk->ik`, no ellipsis) describe."""
        return contraction(subscripts)

    def convolution(self, **window: Any) -> Callable[..., Array]:
        """The function of array and kernel that the attributes of `convolution` describe."""
        return convolution(**window)

    def reduce_window(self, reducer: str, **window: Any) -> Callable[[Array], Array]:
        """The `sum`, `max` or `argmax` over the windows that the attributes of its row describe."""
        return reduce_window(reducer, Window(**window))

    def random_bits(self, key: Array, shape: Shape, dtype: DType) -> Array:
        """Threefry-2x32 bits of `shape`, whose first axes are those of the keys (..., 2)."""
        return random_bits(key, shape, dtype)

    def random_fold_in(self, key: Array, data: Array) -> Array:
        """New keys (..., 2) of uint32 from keys and integers, which broadcast."""
        return random_fold_in(key, data)


NUMPY = NumpyKernels()
"""The one instance: it has no state."""


def _truncated(x: Array, dtype: DType) -> Array:
    """Float to integer, defined for every float."""
    info = np.iinfo(dtype)
    below = x < info.min
    above = x >= x.dtype.type(2.0) ** (info.bits - (info.min < 0))
    fits = ~(below | above | np.isnan(x))
    z = np.where(fits, x, 0).astype(dtype)
    if not fits.all():
        z = np.where(above, dtype.type(info.max), np.where(below, dtype.type(info.min), z))
    return z


def _along_axis(shape: Shape, indices: Array, axis: int) -> Index:
    """The full integer index that pairs `indices` along `axis` with every other position."""
    rank = len(shape)
    return tuple(
        [
            indices if i == axis else np.arange(size).reshape((size,) + (1,) * (rank - 1 - i))
            for i, size in enumerate(shape)
        ]
    )


def _block(shape: Shape, starts: Array, sizes: Shape) -> tuple[slice, ...]:
    """The slices of a block of `sizes` at `starts`, moved into `shape` where it would stick out."""
    triples = zip(starts.tolist(), sizes, shape, strict=True)
    clamped = [(min(max(start, 0), length - size), size) for start, size, length in triples]
    return tuple([slice(start, start + size) for start, size in clamped])
