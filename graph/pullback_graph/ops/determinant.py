"""Determinants: det, its cofactors, and sign and logarithm apart.

The derivative of det is its cofactors, which a singular matrix has too: det(x) inv(x) has not.
Matrices of up to three rows are expanded by minors, a whole batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Domain, Op
from pullback_graph.ops.factorization import STEEP
from pullback_graph.ops.linear_algebra import (
    batch_axes,
    check_square,
    inner,
    matmul,
    matrix_cost,
    spread,
    square,
    square_examples,
    transposed,
    workspace,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType


def _scalar(x: ArrayType) -> ArrayType:
    check_square(x)
    return ArrayType(x.dtype, x.shape[:-2])


EXPANDED_ROWS = 3
"""Larger matrices are factored."""


# --- det, adjugate --------------------------------------------------------------------------------


def _run_det(k: Kernels) -> Callable[[Array], Array]:
    factored = k.xp.linalg.det

    def run(x: Array) -> Array:
        if not 0 < x.shape[-1] <= EXPANDED_ROWS:
            return factored(x)
        first, *others = [x[..., 0, j] * _cofactor(k, x, 0, j) for j in range(x.shape[-1])]
        return sum(others, start=first)

    return run


def _cofactor(k: Kernels, x: Array, row: int, column: int) -> Array:
    """The signed minor of an entry; of three rows, their cyclic order brings the sign about."""
    n = x.shape[-1]
    rows, columns = [[(first + step) % n for step in (1, 2)] for first in (row, column)]
    if n == 1:
        return k.xp.ones_like(x[..., 0, 0])
    if n == 2:
        other = x[..., rows[0], columns[0]]
        return other if row == column else -other
    diagonal = x[..., rows[0], columns[0]] * x[..., rows[1], columns[1]]
    return diagonal - x[..., rows[0], columns[1]] * x[..., rows[1], columns[0]]


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


def _run_adjugate(k: Kernels) -> Callable[[Array], Array]:
    """det(y) inv(y), where y is x with pivots no smaller than rounding: an error of that size."""
    xp, factors, solve = k.xp, k.linalg.lu, k.linalg.triangular_solve

    def run(x: Array) -> Array:
        if not x.size:
            return x + 0
        n = x.shape[-1]
        if n <= EXPANDED_ROWS:
            places = [(row, column) for column in range(n) for row in range(n)]
            return xp.stack([_cofactor(k, x, *place) for place in places], -1).reshape(x.shape)
        info = xp.finfo(x.dtype)
        lu, order = factors(x)
        pivots = lu.diagonal(0, -2, -1)
        least = float(info.eps) * xp.abs(x).max((-2, -1))[..., None] + float(info.tiny) ** 0.5
        safe = xp.where(xp.abs(pivots) < least, xp.where(pivots < 0, -least, least), pivots)
        diagonal = xp.eye(x.shape[-1], dtype=x.dtype)
        lu = xp.where(diagonal == 1, safe[..., None, :], lu)
        permuted = (order[..., None] == xp.arange(x.shape[-1])).astype(x.dtype)
        half_way = solve(lu, permuted, lower=True, transpose=False, unit_diagonal=True)
        inverse = solve(lu, half_way, lower=False, transpose=False, unit_diagonal=False)
        determinant = _parity(k, order).astype(x.dtype) * safe.prod(-1)
        return determinant[..., None, None] * inverse

    return run


def _parity(k: Kernels, order: Array) -> Array:
    """1 for an even permutation, -1 for an odd one: by how many pairs are out of order."""
    xp = k.xp
    swapped = order[..., :, None] > order[..., None, :]
    return 1 - 2 * (xp.triu(swapped, 1).sum((-2, -1)) % 2)


def _over_det(x: Ref, matrix: Ref) -> Ref:
    return matrix / spread(do.det(x))


def _expanded_change(x: Ref, change: Ref) -> Ref:
    """How the cofactors of up to three rows follow a change of x, be x singular or not.

    They are x² - tr(x) x + (tr(x)² - tr(x²)) / 2 of three rows, tr(x) - x of two, 1 of one. The
    transpose of this map is that of xᵀ.
    """
    rows = x.shape[-1]
    one = x.builder.constant(np.eye(rows, dtype=x.dtype))
    grown = spread(inner(change, one))
    if rows < EXPANDED_ROWS:
        return grown * one - change  # of one row, zero
    own = spread(inner(x, one))
    crossed = spread(inner(transposed(x), change))
    products = matmul(x, change) + matmul(change, x)
    return products - grown * x - own * change + (own * grown - crossed) * one


def _adjugate_jvp(tangents: Sequence[Ref], z: Ref, x: Ref) -> Ref:
    """(tr(z ẋ) z - z ẋ z) / det x."""
    if 0 < x.shape[-1] <= EXPANDED_ROWS:
        return _expanded_change(x, tangents[0])
    trace = spread(inner(transposed(z), tangents[0]))
    return _over_det(x, trace * z - matmul(z, tangents[0], z))


def _adjugate_vjp(g: Ref, z: Ref, x: Ref) -> list[Ref | None]:
    if 0 < x.shape[-1] <= EXPANDED_ROWS:
        return [_expanded_change(transposed(x), g)]
    flipped = transposed(z)
    return [_over_det(x, spread(inner(g, z)) * flipped - matmul(flipped, g, flipped))]


_ADJUGATE = Op(
    "adjugate",
    operands=1,
    type=square,
    run=_run_adjugate,
    derivative=Both(_adjugate_jvp, _adjugate_vjp),
    axes=batch_axes,
    cost=matrix_cost(lambda n, _: 8 * n**3 / 3, passes=4),
    domain=Domain((STEEP,), square_examples()),
    scratch=workspace(6),
    doc="The transposed cofactors: det(x) inv(x), also where x is singular; a derivative there "
    "has it of up to three rows.",
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

ROWS: tuple[Op, ...] = (_DET, _ADJUGATE, _SLOGDET)
