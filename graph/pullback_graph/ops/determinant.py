"""Determinants: det, and sign and logarithm apart.

The derivative of det is its cofactors, which a singular matrix has too: det(x) inv(x) has not.
Matrices of up to three rows are expanded by minors, a whole batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Domain, Op
from pullback_graph.ops.adjugate import EXPANDED_ROWS, cofactor
from pullback_graph.ops.factorization import STEEP
from pullback_graph.ops.linear_algebra import (
    batch_axes,
    check_square,
    inner,
    matrix_cost,
    spread,
    square_examples,
    transposed,
    workspace,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType


def _scalar(x: ArrayType) -> ArrayType:
    check_square(x)
    return ArrayType(x.dtype, x.shape[:-2])


# --- det ------------------------------------------------------------------------------------------


def _run_det(k: Kernels) -> Callable[[Array], Array]:
    factored = k.xp.linalg.det

    def run(x: Array) -> Array:
        if not 0 < x.shape[-1] <= EXPANDED_ROWS:
            return factored(x)
        first, *others = [x[..., 0, j] * cofactor(k, x, 0, j) for j in range(x.shape[-1])]
        return sum(others, start=first)

    return run


def _det_vjp(g: Ref, z: Ref, x: Ref) -> list[Ref | None]:
    return [spread(g) * transposed(do.adjugate(x))]


_DET = Op(
    "det",
    operands=1,
    type=_scalar,
    run=_run_det,
    derivative=Both(
        lambda tangents, z, x: inner(transposed(do.adjugate(x)), tangents[0]), _det_vjp
    ),
    axes=batch_axes,
    cost=matrix_cost(lambda n, _: 2 * n**3 / 3, passes=1),
    domain=Domain((STEEP,), square_examples()),
    scratch=workspace(2),
    doc="The determinant: by minors up to three rows, by LU with partial pivoting beyond.",
)


# --- slogdet --------------------------------------------------------------------------------------


def _slogdet_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    scalar = _scalar(x)
    return scalar, scalar


def _run_slogdet(k: Kernels) -> Callable[[Array], tuple[Array, Array]]:
    slogdet = k.xp.linalg.slogdet

    def run(x: Array) -> tuple[Array, Array]:
        sign, logarithm = slogdet(x)
        return sign, logarithm

    return run


def _slogdet_jvp(
    tangents: Sequence[Ref], z: tuple[Ref, Ref], x: Ref
) -> tuple[Ref | None, Ref | None]:
    return None, inner(transposed(do.inv(x)), tangents[0])


def _slogdet_vjp(g: tuple[Ref, Ref], z: tuple[Ref, Ref], x: Ref) -> list[Ref | None]:
    return [spread(g[1]) * transposed(do.inv(x))]


_SLOGDET = Op(
    "slogdet",
    operands=1,
    type=_slogdet_type,
    run=_run_slogdet,
    derivative=Both(_slogdet_jvp, _slogdet_vjp),
    axes=batch_axes,
    cost=matrix_cost(lambda n, _: 2 * n**3 / 3, passes=1),
    domain=Domain((STEEP,), square_examples()),
    scratch=workspace(2),
    doc="The determinant's sign, and the logarithm of its absolute value: 0 and -infinity where "
    "the matrix is singular, with no derivative there.",
)

ROWS: tuple[Op, ...] = (_DET, _SLOGDET)
