"""What an executor must offer so that run rules work on it: an array namespace and its corners.

The graph room defines this protocol; the worker room implements it once over NumPy and SciPy and
once over jax.numpy. A run rule binds once, when a program is compiled: `run(kernels, **attributes)`
returns the callable that the program then applies to the operands.

Where an index is an integer array, a negative entry counts from the end, and what is still out of
range is clipped to the nearest element: the same on every executor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from pullback_graph.types import Array, DType, Shape

if TYPE_CHECKING:
    from pullback_graph.graph import Graph

Index: TypeAlias = "tuple[slice | Array, ...]"
"""One entry per leading axis: a slice, or an integer array (which broadcast, as in NumPy)."""

Slices: TypeAlias = "tuple[slice, ...]"
"""A slice per axis."""


class LinearAlgebra(Protocol):
    """Matrices on the last two axes, real and floating, the axes before them a batch.

    What has no answer is NaN in its own matrix of the batch; nothing raises. Signs of vectors are
    whatever the library gives: rows that promise more see to it themselves.
    """

    def cholesky(self, x: Array) -> Array:
        """The lower factor of (x + xᵀ) / 2; a lower triangle of NaN where there is none."""

    def lu(self, x: Array) -> tuple[Array, Array]:
        """L and U of square `x` in one array, and the order of its rows (int64)."""

    def qr(self, x: Array) -> tuple[Array, Array]:
        """Q with as many columns as `x`, and square R."""

    def eigh(self, x: Array) -> tuple[Array, Array]:
        """Eigenvalues of (x + xᵀ) / 2, ascending, and eigenvectors as columns."""

    def svd(self, x: Array) -> tuple[Array, Array, Array]:
        """The thin decomposition u, s, vh, with s descending."""

    def triangular_solve(
        self, a: Array, b: Array, *, lower: bool, transpose: bool, unit_diagonal: bool
    ) -> Array:
        """T⁻¹ b or T⁻ᵀ b, T a triangle of `a`, batches broadcasting; NaN where T is singular."""

    def solve(self, a: Array, b: Array) -> Array:
        """a⁻¹ b, batches broadcasting; NaN where a pivot of `a` is zero."""

    def inv(self, x: Array) -> Array:
        """The inverse; NaN where a pivot is zero."""

    def expm(self, x: Array) -> Array:
        """The exponential; NaN where `x` is not finite."""

    def expm_frechet(self, a: Array, e: Array) -> Array:
        """The derivative of the exponential at `a` in the direction `e`, of one shape."""


class Loop(NamedTuple):
    """How a scan's operands and results are laid out, and which way it runs.

    `length` is what there is to know where nothing is stacked, else -1.
    """

    consts: int
    carries: int
    sums: int
    length: int
    reverse: bool


class ControlFlow(Protocol):
    """Rows with subgraphs: each gives a function of the row's operands.

    Its results are a tuple where there are several; a single one stands alone.
    """

    def scan(self, body: Graph, loop: Loop) -> Callable[..., Any]:
        """The loop over a leading axis."""

    def while_loop(
        self, cond: Graph, body: Graph, consts: int, max_steps: int, keep: bool
    ) -> Callable[..., Any]:
        """The loop that ends when the condition says so."""

    def cond(self, branches: Sequence[Graph]) -> Callable[..., Any]:
        """One of the branches: the choice, then what it runs on."""

    def call(self, graph: Graph) -> Callable[..., Any]:
        """The graph itself."""


class Kernels(Protocol):
    """Array functions of one executor, named as in NumPy; all return fresh arrays or views."""

    name: str
    """`numpy` or `jax`."""
    xp: Any
    """The array namespace (`numpy` or `jax.numpy`)."""

    @property
    def special(self) -> Any:
        """The special functions (`scipy.special` or `jax.scipy.special`)."""

    @property
    def fft(self) -> Any:
        """Fourier transforms that keep the precision (`scipy.fft` or `jax.numpy.fft`)."""

    @property
    def linalg(self) -> LinearAlgebra:
        """Factorisations and solutions."""

    @property
    def control(self) -> ControlFlow:
        """Loops and branches."""

    def astype(self, x: Array, dtype: DType) -> Array:
        """Cast; float to integer truncates, NaN gives 0 and overflow the nearest bound.

        A complex number loses its imaginary part, except to complex and to bool (whether not 0).
        """

    def complex(self, x: Array, y: Array) -> Array:
        """`x` + i `y`, part by part; real floats of one dtype, which broadcast."""

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """`x` where `condition` (bool) holds, else `y`, of one dtype; all three broadcast."""

    def reduction(self, ufunc: str, axes: Shape, keepdims: bool) -> Callable[[Array], Array]:
        """The reduction over axes by NumPy's ufunc of that name; the dtype is kept."""

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

    def reduce_window(self, reducer: str, **window: Any) -> Callable[[Array], Array]:
        """The `sum`, `max` or `argmax` over the windows that the attributes of its row describe."""

    def random_bits(self, key: Array, shape: Shape, dtype: DType) -> Array:
        """Threefry-2x32 bits of `shape`, whose first axes are those of the keys (..., 2)."""

    def random_fold_in(self, key: Array, data: Array) -> Array:
        """New keys (..., 2) of uint32 from keys and integers, which broadcast."""
