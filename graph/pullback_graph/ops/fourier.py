"""Discrete Fourier transforms along axes, of any length; the other axes are a batch.

`fft` is its own transpose: its matrix is symmetric. `rfft` and `irfft` are each other's, but for
the weight of the columns that stand for two, themselves and the conjugate that is left out.

In derivatives `g` is a cotangent; it pairs with a tangent as the real part of their product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2, prod
from typing import Any

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault, ShapeError
from pullback_graph.kernels import Kernels
from pullback_graph.op import Axes, Cost, CostRule, Example, Op, Transpose
from pullback_graph.ops.domains import complexes
from pullback_graph.ops.linear_algebra import workspace
from pullback_graph.ops.rules import (
    AXES,
    COMPLEX,
    FLOATING,
    check_axes,
    check_kind,
    moved_bytes,
    reals,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType, Shape, complex_dtype, real_dtype

OPPOSITE = {"backward": "forward", "ortho": "ortho", "forward": "backward"}
"""Norms, and which scales the other direction alike: by 1, 1/sqrt(n), 1/n on the way there."""
NORM = Attribute("norm", Kind.STRING, "backward")
INVERSE = Attribute("inverse", Kind.BOOL, False)
SIZE = Attribute("size", Kind.INT)


# --- type -----------------------------------------------------------------------------------------


def _check(x: ArrayType, kinds: str, axes: Shape, norm: str) -> None:
    """Refuse what cannot be transformed."""
    check_kind(x, kinds)
    check_axes(x.shape, axes)
    if not axes:
        raise ShapeError("a transform needs an axis; name one or more")
    if any([x.shape[axis] == 0 for axis in axes]):
        raise ShapeError(f"shape {x.shape} has no points along axes {axes}; pad it first")
    if norm not in OPPOSITE:
        raise AttributeFault(f"attribute 'norm' must be one of {', '.join(OPPOSITE)}, got {norm!r}")


def _fft_type(x: ArrayType, *, axes: Shape, inverse: bool, norm: str) -> ArrayType:
    _check(x, COMPLEX, axes, norm)
    return x


def _rfft_type(x: ArrayType, *, axes: Shape, norm: str) -> ArrayType:
    _check(x, FLOATING, axes, norm)
    kept = x.shape[axes[-1]] // 2 + 1
    return ArrayType(complex_dtype(x.dtype), _with_size(x.shape, axes[-1], kept))


def _irfft_type(x: ArrayType, *, axes: Shape, size: int, norm: str) -> ArrayType:
    _check(x, COMPLEX, axes, norm)
    needed, given = size // 2 + 1, x.shape[axes[-1]]
    if size < 1 or given != needed:
        raise ShapeError(
            f"a result of size {size} comes from {max(needed, 0)} points along axis {axes[-1]}, "
            f"got shape {x.shape}; pad or slice it, or give another size"
        )
    return ArrayType(real_dtype(x.dtype), _with_size(x.shape, axes[-1], size))


def _with_size(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


# --- derivative -----------------------------------------------------------------------------------


def _weighted(x: Ref, axis: int, size: int, weight: float) -> Ref:
    """`x` with what stands for two of `size` points, itself and its conjugate, times `weight`."""
    count = x.shape[axis]
    position = x.builder.add("iota", shape=(count,), axis=0, dtype=real_dtype(x.dtype))
    twice = (position > 0.0) & (position < (size + 1) // 2)
    one, other = (x.builder.constant(x.dtype.type(value)) for value in (1.0, weight))
    weights = do.where(twice, other, one)
    along = tuple([count if i == axis else 1 for i in range(len(x.shape))])
    return x * do.reshape(weights, shape=along)


def _rfft_transpose(g: Ref, x: Ref, *, axes: Shape, norm: str) -> Ref:
    size = x.shape[axes[-1]]
    halved = _weighted(do.conj(g), axes[-1], size, 0.5)
    z: Ref = do.irfft(halved, axes=axes, size=size, norm=OPPOSITE[norm])
    return z


def _irfft_transpose(g: Ref, x: Ref, *, axes: Shape, size: int, norm: str) -> Ref:
    z: Ref = do.conj(do.rfft(g, axes=axes, norm=OPPOSITE[norm]))
    return _weighted(z, axes[-1], size, 2.0)


# --- axes, cost -----------------------------------------------------------------------------------


def _axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axes: Shape, **_: Any
) -> Axes:
    """Transformed axes must stay whole; the others are kept."""
    factors = tuple([None if i in axes else i for i in range(operands[0].rank)])
    return Axes((factors,), (factors,))


def _cost(flops: float, *, of_result: bool = False) -> CostRule:
    """So many FLOPs a point of the whole (the real side) and halving; a pass over it an axis.

    Source: Van Loan 1992, section 1.4: 5 n log2 n of complex numbers, half of it of real ones.
    """

    def rule(
        operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axes: Shape, **_: Any
    ) -> Cost:
        whole = results[0] if of_result else operands[0]
        depth = log2(max(prod([whole.shape[axis] for axis in axes]), 2))
        between_bytes = 2 * (len(axes) - 1) * whole.size_bytes
        return Cost(flops * whole.size * depth, moved_bytes(operands, results) + between_bytes)

    return rule


# --- the rows -------------------------------------------------------------------------------------


def _run_fft(k: Kernels, *, axes: Shape, inverse: bool, norm: str) -> Callable[[Array], Array]:
    transform = k.fft.ifftn if inverse else k.fft.fftn
    return lambda x: transform(x, axes=axes, norm=norm)


def _run_rfft(k: Kernels, *, axes: Shape, norm: str) -> Callable[[Array], Array]:
    transform = k.fft.rfftn
    return lambda x: transform(x, axes=axes, norm=norm)


def _run_irfft(k: Kernels, *, axes: Shape, size: int, norm: str) -> Callable[[Array], Array]:
    transform = k.fft.irfftn

    def run(x: Array) -> Array:
        sizes = (*[x.shape[axis] for axis in axes[:-1]], size)
        return transform(x, s=sizes, axes=axes, norm=norm)

    return run


_PLACES: tuple[tuple[Shape, Shape, str], ...] = (
    ((5,), (0,), "backward"),
    ((2, 4), (1,), "forward"),
    ((4, 3), (0,), "ortho"),
    ((3, 4), (0, 1), "backward"),
    ((2, 3, 4), (2, 0), "forward"),
    ((1,), (0,), "ortho"),
    ((0, 2), (1,), "backward"),
)

ROWS: tuple[Op, ...] = (
    Op(
        "fft",
        operands=1,
        attributes=(AXES, INVERSE, NORM),
        type=_fft_type,
        run=_run_fft,
        derivative=Transpose(lambda g, x, **attributes: do.fft(g, **attributes)),
        axes=_axes,
        cost=_cost(5.0),
        domain=complexes(
            1,
            examples=[
                Example((shape,), {"axes": axes, "inverse": i % 2 == 1, "norm": norm})
                for i, (shape, axes, norm) in enumerate(_PLACES)
            ],
        ),
        scratch=workspace(1),
        doc="The discrete Fourier transform of a complex x along `axes`, or its inverse. `norm` "
        "scales by 1/n on the way back (`backward`), on the way there (`forward`), or by "
        "1/sqrt(n) both ways (`ortho`).",
    ),
    Op(
        "rfft",
        operands=1,
        attributes=(AXES, NORM),
        type=_rfft_type,
        run=_run_rfft,
        derivative=Transpose(_rfft_transpose),
        axes=_axes,
        cost=_cost(2.5),
        domain=reals(
            1,
            examples=[
                Example((shape,), {"axes": axes, "norm": norm}) for shape, axes, norm in _PLACES
            ],
        ),
        scratch=workspace(2),
        doc="The transform of a real x along `axes`; of the last of them, n // 2 + 1 points, as "
        "the others are their conjugates.",
    ),
    Op(
        "irfft",
        operands=1,
        attributes=(AXES, SIZE, NORM),
        type=_irfft_type,
        run=_run_irfft,
        derivative=Transpose(_irfft_transpose),
        axes=_axes,
        cost=_cost(2.5, of_result=True),
        domain=complexes(
            1,
            examples=[
                Example((shape,), {"axes": axes, "size": 2 * shape[axes[-1]] - odd, "norm": norm})
                for shape, axes, norm in _PLACES
                for odd in (1, 2)
                if 2 * shape[axes[-1]] > odd
            ],
        ),
        scratch=workspace(2),
        doc="The inverse of rfft: real, of `size` points along the last of `axes`. Imaginary parts "
        "that no real array has (of the first point, and of the middle one of an even size) count "
        "for nothing.",
    ),
)
