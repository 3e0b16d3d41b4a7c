"""Factorisations of a matrix: Cholesky, LU, QR.

Sources: Giles 2008, Collected matrix derivative results; Seeger et al. 2017, Auto-differentiating
linear algebra; Walter & Lehmann 2018 for QR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pullback_graph.errors import ShapeError
from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Domain, Example, Interval, Op
from pullback_graph.ops.linear_algebra import (
    batch_axes,
    check_matrix,
    check_square,
    lower_half,
    matmul,
    matrix_cost,
    square,
    square_examples,
    symmetrized,
    total,
    transposed,
    workspace,
)
from pullback_graph.ops.rules import INEXACT
from pullback_graph.ref import Ref, do
from pullback_graph.types import INT64, Array, ArrayType

STEEP = Interval(-1.0, 1.0, diagonal=4.0)
"""Matrices that are well conditioned, with separate eigenvalues; positive definite in their
symmetric part."""


def triangular_solve(
    a: Ref, b: Ref, *, lower: bool, transpose: bool = False, unit_diagonal: bool = False
) -> Ref:
    """The row of that name."""
    z: Ref = do.triangular_solve(
        a, b, lower=lower, transpose=transpose, unit_diagonal=unit_diagonal
    )
    return z


# --- cholesky -------------------------------------------------------------------------------------


def _cholesky_jvp(tangents: Sequence[Ref], z: Ref, x: Ref) -> Ref:
    """L half(L⁻¹ ẋ L⁻ᵀ)."""
    half_way = triangular_solve(z, symmetrized(tangents[0]), lower=True)
    return matmul(z, lower_half(triangular_solve(z, transposed(half_way), lower=True)))


def _cholesky_vjp(g: Ref, z: Ref, x: Ref) -> list[Ref | None]:
    """L⁻ᵀ half(Lᵀ g) L⁻¹, symmetrised."""
    inside = lower_half(matmul(transposed(z), g))
    half_way = triangular_solve(z, inside, lower=True, transpose=True)
    return [symmetrized(triangular_solve(z, transposed(half_way), lower=True, transpose=True))]


_CHOLESKY = Op(
    "cholesky",
    operands=1,
    type=square,
    run=lambda k: k.linalg.cholesky,
    derivative=Both(_cholesky_jvp, _cholesky_vjp),
    axes=batch_axes,
    cost=matrix_cost(lambda n, _: n**3 / 3, passes=1),
    domain=Domain((STEEP,), square_examples()),
    scratch=workspace(2),
    doc="The lower triangular L with L Lᵀ = (x + xᵀ) / 2. Where that is not positive definite, or "
    "not finite, the lower triangle is NaN throughout.",
)


# --- lu -------------------------------------------------------------------------------------------


def _lu_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    check_square(x, INEXACT)
    return x, ArrayType(INT64, x.shape[:-1])


def rows_of(permutation: Ref, x: Ref) -> Ref:
    """The rows of matrices `x` in the order of `permutation` (..., n)."""
    column = do.expand_dims(permutation, axes=(len(permutation.shape),))
    z: Ref = do.take_along_axis(x, do.broadcast_to(column, shape=x.shape), axis=len(x.shape) - 2)
    return z


def _from_left(lu: Ref, x: Ref, *, transpose: bool = False) -> Ref:
    """L⁻¹ x, or L⁻ᵀ x."""
    return triangular_solve(lu, x, lower=True, transpose=transpose, unit_diagonal=True)


def _from_right(lu: Ref, x: Ref, *, transpose: bool = False) -> Ref:
    """X U⁻¹, or x U⁻ᵀ."""
    return transposed(triangular_solve(lu, transposed(x), lower=False, transpose=not transpose))


def _lu_jvp(tangents: Sequence[Ref], z: tuple[Ref, Ref], x: Ref) -> tuple[Ref | None, Ref | None]:
    """L strict_lower(F) + upper(F) U, where F = L⁻¹ P ẋ U⁻¹."""
    lu, permutation = z
    f = _from_right(lu, _from_left(lu, rows_of(permutation, tangents[0])))
    below = do.tril(f, k=-1)
    lower = below + matmul(do.tril(lu, k=-1), below)
    return lower + matmul(do.triu(f, k=0), do.triu(lu, k=0)), None


def _lu_vjp(g: tuple[Ref, Ref], z: tuple[Ref, Ref], x: Ref) -> list[Ref | None]:
    """Pᵀ L⁻ᵀ F̄ U⁻ᵀ, where F̄ = strict_lower(Lᵀ g_L) + upper(g_U Uᵀ)."""
    lu, permutation = z
    below = do.tril(g[0], k=-1)
    lower = below + matmul(transposed(do.tril(lu, k=-1)), below)
    upper = matmul(do.triu(g[0], k=0), transposed(do.triu(lu, k=0)))
    f = do.tril(lower, k=-1) + do.triu(upper, k=0)
    permuted = _from_right(lu, _from_left(lu, f, transpose=True), transpose=True)
    inverse = do.argsort(permutation, axis=len(permutation.shape) - 1)
    return [rows_of(inverse, permuted)]


_LU = Op(
    "lu",
    operands=1,
    type=_lu_type,
    run=lambda k: k.linalg.lu,
    derivative=Both(_lu_jvp, _lu_vjp),
    axes=batch_axes,
    cost=matrix_cost(lambda n, _: 2 * n**3 / 3),
    domain=Domain((STEEP,), square_examples()),
    scratch=workspace(1),
    doc="L and U of a square matrix packed in one (L's diagonal of ones left out), and the order "
    "(int64) in which its rows equal L U. Partial pivoting. A singular matrix has a zero on U's "
    "diagonal, and no derivative.",
)


# --- qr -------------------------------------------------------------------------------------------


def _qr_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    check_matrix(x)
    *batch, rows, columns = x.shape
    if rows < columns:
        raise ShapeError(
            f"shape {x.shape}: the matrix has {rows} rows and {columns} columns, and must have no "
            "fewer rows; factor its first columns and multiply the rest by Qᵀ (linalg.qr does)"
        )
    return x, ArrayType(x.dtype, (*batch, columns, columns))


def _run_qr(k: Kernels) -> Callable[[Array], tuple[Array, Array]]:
    """The factors, with R's diagonal made non-negative: then they are unique at full rank."""
    xp, factors = k.xp, k.linalg.qr

    def run(x: Array) -> tuple[Array, Array]:
        q, r = factors(x)
        sign = xp.where(r.diagonal(0, -2, -1) < 0, -1, 1).astype(x.dtype)
        return q * sign[..., None, :], r * sign[..., None]

    return run


def _qr_jvp(tangents: Sequence[Ref], z: tuple[Ref, Ref], x: Ref) -> tuple[Ref, Ref]:
    """With C = Qᵀ ẋ R⁻¹ and W its lower part made antisymmetric: Q (W - C) + ẋ R⁻¹, (C - W) R."""
    q, r = z
    scaled = transposed(triangular_solve(r, transposed(tangents[0]), lower=False, transpose=True))
    c = matmul(transposed(q), scaled)
    below = do.tril(c, k=-1)
    rest = c - (below - transposed(below))
    return scaled - matmul(q, rest), matmul(rest, r)


def _qr_vjp(
    g: tuple[Ref | None, Ref | None], active: tuple[bool], z: tuple[Ref, Ref], x: Ref
) -> list[Ref | None]:
    """(g_Q + Q sym) R⁻ᵀ, where sym mirrors the lower triangle of R g_Rᵀ - g_Qᵀ Q."""
    q, r = z
    of_r = None if g[1] is None else matmul(r, transposed(do.triu(g[1], k=0)))
    of_q = None if g[0] is None else -matmul(transposed(g[0]), q)
    m = total(of_r, of_q)
    mirrored = do.tril(m, k=0) + transposed(do.tril(m, k=-1))
    inside = total(g[0], matmul(q, mirrored))
    return [transposed(triangular_solve(r, transposed(inside), lower=False))]


_QR = Op(
    "qr",
    operands=1,
    type=_qr_type,
    run=_run_qr,
    derivative=Both(_qr_jvp, _qr_vjp, selective=True),
    axes=batch_axes,
    cost=matrix_cost(lambda m, n: 4 * n * n * (m - n / 3), passes=1),
    domain=Domain(
        (STEEP,),
        (
            Example(((3, 3),)),
            Example(((4, 2),)),
            Example(((2, 3, 2),)),
            Example(((3, 0),)),
        ),
    ),
    scratch=workspace(2),
    doc="Q with orthonormal columns and upper triangular R, Q R = x, for no fewer rows than "
    "columns. R's diagonal is not negative. No derivative where the columns are dependent.",
)

ROWS: tuple[Op, ...] = (_CHOLESKY, _LU, _QR)
