"""The kernels protocol over jax.numpy, in 64-bit mode: the reference's oracle.

Every function can be jitted; what is out of range means what it means to the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
from jax import lax

from pullback_graph.kernels import ControlFlow, Index, LinearAlgebra, Slices
from pullback_graph.types import DType, Shape
from pullback_graph.windows import Window
from pullback_worker.jax_control_flow import JaxControlFlow
from pullback_worker.jax_convolution import convolution
from pullback_worker.jax_linalg import JaxLinearAlgebra
from pullback_worker.jax_placing import placed
from pullback_worker.jax_random import random_bits, random_fold_in
from pullback_worker.jax_scatter import add_apart, collides
from pullback_worker.jax_windows import reduce_window

Array = Any


_REDUCTIONS = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_or": "any",
    "logical_and": "all",
}
"""What jax.numpy calls the reduction of a ufunc."""


class JaxKernels:
    """Array functions on `jax.Array`.

    Args:
        globally: turn JAX's 64-bit mode on for the whole process; else whoever traces or calls does
            so for its own thread.
        apart: sum what is added at one place before it is added, as a GPU should: it takes
            additions that collide in any order, or slowly.
    """

    name = "jax"
    xp: Any = jnp

    def __init__(self, *, globally: bool = True, apart: bool = False) -> None:
        self._apart = apart
        if globally:
            jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

    @property
    def special(self) -> Any:
        """`jax.scipy.special`."""
        return jax.scipy.special

    @property
    def fft(self) -> Any:
        """`jax.numpy.fft`."""
        return jnp.fft

    @property
    def linalg(self) -> LinearAlgebra:
        """Factorisations by `jax.lax.linalg`."""
        return JaxLinearAlgebra()

    @property
    def control(self) -> ControlFlow:
        """Loops and branches by `jax.lax`."""
        return JaxControlFlow(self)

    def astype(self, x: Array, dtype: DType) -> Array:
        """Cast; float to integer truncates, NaN gives 0 and overflow the nearest bound."""
        x = jnp.asarray(x)
        if x.dtype.kind == "c" and dtype.kind not in "cb":
            x = x.real
        if x.dtype.kind != "f" or dtype.kind not in "iu":
            return x.astype(dtype)
        info = np.iinfo(dtype)
        below = x < info.min
        above = x >= x.dtype.type(2.0) ** (info.bits - (info.min < 0))
        z = jnp.where(below | above | jnp.isnan(x), 0, x).astype(dtype)
        return jnp.where(above, dtype.type(info.max), jnp.where(below, dtype.type(info.min), z))

    def complex(self, x: Array, y: Array) -> Array:
        """`x` + i `y`, part by part; real floats of one dtype, which broadcast."""
        return lax.complex(*jnp.broadcast_arrays(x, y))

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """`x` where `condition` holds, else `y`; all three broadcast."""
        return jnp.where(condition, x, y)

    def reduction(self, ufunc: str, axes: Shape, keepdims: bool) -> Callable[[Array], Array]:
        """The reduction over axes by NumPy's ufunc of that name; the dtype is kept."""
        function = getattr(jnp, _REDUCTIONS[ufunc])
        if ufunc in ("add", "multiply"):
            return lambda x: function(x, axis=axes, keepdims=keepdims, dtype=x.dtype)
        return lambda x: function(x, axis=axes, keepdims=keepdims)

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """`x` broadcast to `shape`."""
        return jnp.broadcast_to(x, shape)

    def pad(self, x: Array, fill: Array, low: Shape, high: Shape) -> Array:
        """`x` with `fill` (0-d) around it, `low` elements before and `high` after on each axis."""
        return lax.pad(x, fill, [(a, b, 0) for a, b in zip(low, high, strict=True)])

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        """The entries of `x` at `indices` along `axis`; the indices' axes stand in its place."""
        return jnp.take(x, _in_range(indices, x.shape[axis]), axis, mode="clip")

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        """The entries of `x` along `axis`, chosen anew for every position of the other axes."""
        indices = _in_range(indices, x.shape[axis])
        return jnp.take_along_axis(x, indices, axis, mode="clip")

    def index(self, x: Array, index: Index) -> Array:
        """`x[index]`."""
        return x.at[_in_range_index(index, x.shape)].get(mode="clip")

    def index_add(self, x: Array, index: Index, y: Array) -> Array:
        """`x` with `y` added at `index`, repeated places adding up."""
        index = _in_range_index(index, x.shape)
        if self._apart and collides(index, y):
            return add_apart(x, index, y)
        return x.at[index].add(y, mode="drop")

    def sum_at_slices(self, shape: Shape, places: Sequence[Slices], ys: Sequence[Array]) -> Array:
        """Zeros of `shape` with each of `ys` (one or more, of one dtype) added at its place."""
        return placed(shape, places, ys)

    def sum_at(self, shape: Shape, indices: Sequence[Index], ys: Sequence[Array]) -> Array:
        """The same at indices that hold an integer array or more, repeated places adding up."""
        z = jnp.zeros(shape, ys[0].dtype)
        for index, y in zip(indices, ys, strict=True):
            z = self.index_add(z, index, y)
        return z

    def sum_along_axes(
        self, shape: Shape, axes: Sequence[int], indices: Sequence[Array], ys: Sequence[Array]
    ) -> Array:
        """Zeros of `shape` with each of `ys` added where `take_along_axis` would take it from."""
        numbers = jnp.ix_(*map(jnp.arange, shape))
        z = jnp.zeros(shape, ys[0].dtype)
        for axis, index, y in zip(axes, indices, ys, strict=True):
            if index.shape[axis] == 1:  # nothing falls on one place, and a choice can be fused
                z = z + jnp.where(numbers[axis] == _in_range(index, shape[axis]), y, 0)
            else:
                z = self.index_add(z, (*numbers[:axis], index, *numbers[axis + 1 :]), y)
        return z

    def dynamic_slice(self, x: Array, starts: Array, sizes: Shape) -> Array:
        """The block of `sizes` at `starts`, an integer vector clamped so that the block fits."""
        return lax.dynamic_slice(x, _clamped(x.shape, starts, sizes), sizes)

    def dynamic_update_slice(self, x: Array, y: Array, starts: Array) -> Array:
        """`x` with `y` written at `starts`, clamped so that `y` fits."""
        return lax.dynamic_update_slice(x, y, _clamped(x.shape, starts, y.shape))

    def sum_at_blocks(self, shape: Shape, starts: Sequence[Array], ys: Sequence[Array]) -> Array:
        """Zeros of `shape` with each of `ys` added where `dynamic_slice` would take it from."""
        z = jnp.zeros(shape, ys[0].dtype)
        for start, y in zip(starts, ys, strict=True):
            z = self.dynamic_update_slice(z, self.dynamic_slice(z, start, y.shape) + y, start)
        return z

    def einsum(self, subscripts: str) -> Callable[..., Array]:
        """The contraction that explicit `subscripts` (`ij,jk->ik`, no ellipsis) describe."""
        return lambda *xs: jnp.einsum(subscripts, *xs, precision=lax.Precision.HIGHEST)

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


def _in_range(index: Array, size: int) -> Array:
    """The integer array `index` as int64 within an axis of `size` elements (one or more)."""
    index = jnp.asarray(index)
    if index.dtype.kind == "u":
        bound = index.dtype.type(min(size - 1, np.iinfo(index.dtype).max))
        return jnp.minimum(index, bound).astype(jnp.int64)
    index = index.astype(jnp.int64)
    return jnp.clip(jnp.where(index < 0, index + size, index), 0, max(size - 1, 0))


def _in_range_index(index: Index, shape: Shape) -> Index:
    """`index` with its integer arrays brought in range of the axes they index."""
    return tuple(
        [
            entry if isinstance(entry, slice) else _in_range(entry, size)
            for entry, size in zip(index, shape, strict=False)
        ]
    )


def _clamped(shape: Shape, starts: Array, sizes: Shape) -> list[Array]:
    """Starts, one an axis, of a block of `sizes` moved into `shape` where it would stick out."""
    if starts.dtype.kind == "u":
        starts = jnp.minimum(starts, np.iinfo(starts.dtype).max // 2)
    starts = starts.astype(jnp.int64)
    room = [length - size for length, size in zip(shape, sizes, strict=True)]
    return [jnp.clip(starts[axis], 0, bound) for axis, bound in enumerate(room)]
