"""What an executor must offer so that run rules work on it: an array namespace and its corners.

The graph room defines this protocol; the worker room implements it once over NumPy and SciPy and
once over jax.numpy. A run rule binds once, when a program is compiled: `run(kernels, **attributes)`
returns the callable that the program then applies to the operands.

Where an index is an integer array, a negative entry counts from the end, and what is still out of
range is clipped to the nearest element: the same on every executor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from pullback_graph.types import Array, DType, Shape

Index: TypeAlias = "tuple[slice | Array, ...]"
"""One entry per leading axis: a slice, or an integer array (which broadcast, as in NumPy)."""

Slices: TypeAlias = "tuple[slice, ...]"
"""A slice per axis."""


class Kernels(Protocol):
    """Array functions of one executor, named as in NumPy; all return fresh arrays or views."""

    name: str
    """`numpy` or `jax`."""
    xp: Any
    """The array namespace (`numpy` or `jax.numpy`)."""

    @property
    def special(self) -> Any:
        """The special functions (`scipy.special` or `jax.scipy.special`)."""

    def astype(self, x: Array, dtype: DType) -> Array:
        """Cast; float to integer truncates, NaN gives 0 and overflow the nearest bound."""

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """`x` broadcast to `shape`."""

    def pad(self, x: Array, fill: Array, low: Shape, high: Shape) -> Array:
        """`x` with `fill` (0-d) around it, `low` elements before and `high` after on each axis."""

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        """The entries of `x` at `indices` along `axis`; the indices' axes stand in its place."""

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        """The entries of `x` along `axis`, chosen anew for every position of the other axes."""

    def index(self, x: Array, index: Index) -> Array:
        """`x[index]`."""

    def index_add(self, x: Array, index: Index, y: Array) -> Array:
        """`x` with `y` added at `index`, repeated places adding up."""

    def sum_at_slices(self, shape: Shape, places: Sequence[Slices], ys: Sequence[Array]) -> Array:
        """Zeros of `shape` with each of `ys` (one or more, of one dtype) added at its place."""

    def sum_at(self, shape: Shape, indices: Sequence[Index], ys: Sequence[Array]) -> Array:
        """The same at indices that hold an integer array or more, repeated places adding up."""

    def sum_along_axes(
        self, shape: Shape, axes: Sequence[int], indices: Sequence[Array], ys: Sequence[Array]
    ) -> Array:
        """Zeros of `shape` with each of `ys` added where `take_along_axis` would take it from."""

    def dynamic_slice(self, x: Array, starts: Array, sizes: Shape) -> Array:
        """The block of `sizes` at `starts`, an integer vector clamped so that the block fits."""

    def dynamic_update_slice(self, x: Array, y: Array, starts: Array) -> Array:
        """`x` with `y` written at `starts`, clamped so that `y` fits."""

    def sum_at_blocks(self, shape: Shape, starts: Sequence[Array], ys: Sequence[Array]) -> Array:
        """Zeros of `shape` with each of `ys` added where `dynamic_slice` would take it from."""

    def einsum(self, subscripts: str) -> Callable[..., Array]:
        """The contraction that explicit `subscripts` (`ij,jk->ik`, no ellipsis) describe."""

    def convolution(self, **window: Any) -> Callable[..., Array]:
        """The function of array and kernel that the attributes of `convolution` describe."""

    def random_bits(self, key: Array, shape: Shape, dtype: DType) -> Array:
        """Threefry-2x32 bits of `shape`, whose first axes are those of the keys (..., 2)."""

    def random_fold_in(self, key: Array, data: Array) -> Array:
        """New keys (..., 2) of uint32 from keys and integers, which broadcast."""
