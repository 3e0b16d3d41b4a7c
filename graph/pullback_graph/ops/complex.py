"""Rows between complex numbers and their parts, linear over the reals alone.

A cotangent g and a tangent t of a complex value pair as the real part of their product, without a
conjugate, which is JAX's convention: the transpose of `real` is the cast to complex, of `conj` is
`conj` itself, and a holomorphic row has one map for both directions.

In derivatives `t` is a tangent or a cotangent, told apart by its dtype where the two differ.
"""

from __future__ import annotations

from pullback_graph.op import Op, Partials
from pullback_graph.ops.domains import complexes
from pullback_graph.ops.rules import COMPLEX, FLOATING, elementwise_of, elementwise_row, reals
from pullback_graph.ref import Ref, do
from pullback_graph.types import ArrayType, complex_dtype, real_dtype

_complex, _floating = elementwise_of(COMPLEX), elementwise_of(FLOATING)


def _part_type(x: ArrayType) -> ArrayType:
    return ArrayType(real_dtype(x.dtype), _complex(x).shape)


def _complex_type(x: ArrayType, y: ArrayType) -> ArrayType:
    return ArrayType(complex_dtype(x.dtype), _floating(x, y).shape)


def as_complex(x: Ref) -> Ref:
    """The real value as a complex one."""
    z: Ref = do.astype(x, dtype=complex_dtype(x.dtype))
    return z


def _real_dx(t: Ref, z: Ref, x: Ref) -> Ref:
    """Re t, and its transpose: the cast to complex."""
    return do.real(t) if t.type.is_complex else as_complex(t)


def _imag_dx(t: Ref, z: Ref, x: Ref) -> Ref:
    """Im t, and its transpose: -i t."""
    return do.imag(t) if t.type.is_complex else do.complex(0.0, -t)


def _complex_dx(t: Ref, z: Ref, x: Ref, y: Ref) -> Ref:
    """The cast to complex, and its transpose: Re t."""
    return do.real(t) if t.type.is_complex else as_complex(t)


def _complex_dy(t: Ref, z: Ref, x: Ref, y: Ref) -> Ref:
    """Is i t, and its transpose: -Im t."""
    return -do.imag(t) if t.type.is_complex else do.complex(0.0, t)


ROWS: tuple[Op, ...] = (
    elementwise_row(
        "real",
        lambda k: k.xp.real,
        Partials(_real_dx),
        0,
        complexes(1),
        "The real part of a complex x, of the dtype of its parts.",
        type=_part_type,
    ),
    elementwise_row(
        "imag",
        lambda k: k.xp.imag,
        Partials(_imag_dx),
        0,
        complexes(1),
        "The imaginary part of a complex x, of the dtype of its parts.",
        type=_part_type,
    ),
    elementwise_row(
        "conj",
        lambda k: k.xp.conjugate,
        Partials(lambda t, z, x: do.conj(t)),
        1,
        complexes(1),
        "The complex conjugate of a complex x.",
        type=_complex,
    ),
    elementwise_row(
        "complex",
        lambda k: k.complex,
        Partials(_complex_dx, _complex_dy),
        0,
        reals(2, special=(0.0, -0.0, float("inf"), float("nan"))),
        "x + i y of real floats x and y.",
        type=_complex_type,
    ),
)
