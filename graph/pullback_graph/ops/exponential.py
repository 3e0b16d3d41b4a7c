"""The exponential of a matrix, and its derivative in a direction.

The second derivative is the first at block triangular matrices of twice the size.
Source: Higham 2008, Functions of Matrices, theorems 3.6 and 4.12, and section 10.6.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.op import Both, Domain, Interval, Op
from pullback_graph.ops.linear_algebra import (
    batch_axes,
    block,
    matrix_cost,
    square,
    square_examples,
    square_pair,
    total,
    transposed,
    upper_right,
    workspace,
)
from pullback_graph.ref import Ref, do

_PADE_PRODUCTS = 12
"""Products of matrices (and one division, worth 4/3 of one) of a typical exponential."""


def _expm_vjp(g: Ref, z: Ref, x: Ref) -> list[Ref | None]:
    return [do.expm_frechet(transposed(x), g)]


def _second(a: Ref, e: Ref, f: Ref) -> Ref:
    """The second derivative at `a` in the directions `e` and `f`."""
    return upper_right(do.expm_frechet(block(a, f), block(e)))


def _frechet_jvp(tangents: Sequence[Ref | None], z: Ref, a: Ref, e: Ref) -> Ref:
    of_a, of_e = tangents
    moved = None if of_a is None else _second(a, e, of_a)
    linear = None if of_e is None else do.expm_frechet(a, of_e)
    return total(moved, linear)


def _frechet_vjp(g: Ref, z: Ref, a: Ref, e: Ref) -> list[Ref | None]:
    flipped = transposed(a)
    return [_second(flipped, transposed(e), g), do.expm_frechet(flipped, g)]


ROWS: tuple[Op, ...] = (
    Op(
        "expm",
        operands=1,
        type=square,
        run=lambda k: k.linalg.expm,
        derivative=Both(lambda tangents, z, x: do.expm_frechet(x, tangents[0]), _expm_vjp),
        axes=batch_axes,
        cost=matrix_cost(lambda n, _: 2.0 * _PADE_PRODUCTS * n**3, passes=_PADE_PRODUCTS),
        domain=Domain((Interval(-1.0, 1.0),), square_examples((2, 2, 2), (0, 0))),
        scratch=workspace(12),
        doc="The exponential of a square matrix, by scaling and squaring of a Padé approximant. "
        "NaN where the matrix is not finite.",
    ),
    Op(
        "expm_frechet",
        operands=2,
        type=square_pair,
        run=lambda k: k.linalg.expm_frechet,
        derivative=Both(_frechet_jvp, _frechet_vjp),
        axes=batch_axes,
        cost=matrix_cost(lambda n, _: 6.0 * _PADE_PRODUCTS * n**3, passes=3 * _PADE_PRODUCTS),
        domain=Domain((Interval(-1.0, 1.0),) * 2, square_examples((2, 2), (0, 0), count=2)),
        scratch=workspace(30),
        doc="The derivative of expm at the first matrix in the direction of the second.",
    ),
)
