"""Rows that solve linear systems: triangular_solve, solve, inv, pinv.

Sources: Giles 2008, sections 2.2.3 and 2.3.1; Golub & Pereyra 1973, section 4, for pinv.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault
from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Domain, Example, Op
from pullback_graph.ops.factorization import STEEP
from pullback_graph.ops.linear_algebra import (
    batch_axes,
    check_matrix,
    matmul,
    matrix_cost,
    plain_transposed,
    solution,
    solution_axes,
    solution_cost,
    square_examples,
    square_inexact,
    total,
    transposed,
    workspace,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

LOWER = Attribute("lower", Kind.BOOL)
TRANSPOSE = Attribute("transpose", Kind.BOOL, False)
UNIT_DIAGONAL = Attribute("unit_diagonal", Kind.BOOL, False)

_PAIRS = (
    ((3, 3), (3, 2)),
    ((2, 2), (3, 2, 2)),
    ((2, 1, 2, 2), (3, 2, 1)),
    ((1, 1), (1, 1)),
    ((0, 0), (0, 2)),
)


# --- triangular_solve -----------------------------------------------------------------------------


def _run_triangular(
    k: Kernels, *, lower: bool, transpose: bool, unit_diagonal: bool
) -> Callable[[Array, Array], Array]:
    solve = k.linalg.triangular_solve
    return lambda a, b: solve(a, b, lower=lower, transpose=transpose, unit_diagonal=unit_diagonal)


def _triangle(x: Ref, lower: bool, unit_diagonal: bool) -> Ref:
    """The triangle that is read."""
    if lower:
        below: Ref = do.tril(x, k=-1 if unit_diagonal else 0)
        return below
    above: Ref = do.triu(x, k=1 if unit_diagonal else 0)
    return above


def _triangular_jvp(
    tangents: Sequence[Ref | None],
    z: Ref,
    a: Ref,
    b: Ref,
    *,
    lower: bool,
    transpose: bool,
    unit_diagonal: bool,
) -> Ref:
    """The solution for ḃ - ȧ z."""
    moved = None
    if tangents[0] is not None:
        change = _triangle(tangents[0], lower, unit_diagonal)
        moved = -matmul(transposed(change) if transpose else change, z)
    right = total(moved, tangents[1])
    tangent: Ref = do.triangular_solve(
        a, right, lower=lower, transpose=transpose, unit_diagonal=unit_diagonal
    )
    return tangent


def _triangular_vjp(
    g: Ref, z: Ref, a: Ref, b: Ref, *, lower: bool, transpose: bool, unit_diagonal: bool
) -> list[Ref | None]:
    adjoint = do.triangular_solve(
        a, g, lower=lower, transpose=not transpose, unit_diagonal=unit_diagonal
    )
    left, right = (z, adjoint) if transpose else (adjoint, z)
    return [-_triangle(matmul(left, transposed(right)), lower, unit_diagonal), adjoint]


_TRIANGULAR = Op(
    "triangular_solve",
    operands=2,
    attributes=(LOWER, TRANSPOSE, UNIT_DIAGONAL),
    type=solution,
    run=_run_triangular,
    derivative=Both(_triangular_jvp, _triangular_vjp),
    axes=solution_axes,
    cost=solution_cost(0.0, 1.0),
    domain=Domain(
        (STEEP, STEEP),
        tuple(
            Example(
                pair,
                {
                    "lower": i % 2 == 0,
                    "transpose": i % 4 in (1, 2),
                    "unit_diagonal": i % 3 == 2,
                },
            )
            for i, pair in enumerate(_PAIRS)
        ),
    ),
    scratch=workspace(1),
    doc="x with T x = b (or Tᵀ x = b), T the lower or upper triangle of a, its diagonal taken as "
    "ones where `unit_diagonal`. A matrix with a zero on the diagonal gives NaN.",
)


# --- solve ----------------------------------------------------------------------------------------


def _run_solve(k: Kernels, *, transpose: bool) -> Callable[[Array, Array], Array]:
    solve: Callable[[Array, Array], Array] = k.linalg.solve
    if transpose:
        return lambda a, b: solve(plain_transposed(a), b)
    return solve


def _solve_jvp(tangents: Sequence[Ref | None], z: Ref, a: Ref, b: Ref, *, transpose: bool) -> Ref:
    """The solution for ḃ - ȧ z."""
    moved = None
    if tangents[0] is not None:
        moved = -matmul(transposed(tangents[0]) if transpose else tangents[0], z)
    tangent: Ref = do.solve(a, total(moved, tangents[1]), transpose=transpose)
    return tangent


def _solve_vjp(g: Ref, z: Ref, a: Ref, b: Ref, *, transpose: bool) -> list[Ref | None]:
    adjoint = do.solve(a, g, transpose=not transpose)
    left, right = (z, adjoint) if transpose else (adjoint, z)
    return [-matmul(left, transposed(right)), adjoint]


_SOLVE = Op(
    "solve",
    operands=2,
    attributes=(TRANSPOSE,),
    type=solution,
    run=_run_solve,
    derivative=Both(_solve_jvp, _solve_vjp),
    axes=solution_axes,
    cost=solution_cost(2 / 3, 2.0),
    domain=Domain(
        (STEEP, STEEP),
        tuple(Example(pair, {"transpose": i % 2 == 1}) for i, pair in enumerate(_PAIRS)),
    ),
    scratch=workspace(2),
    doc="x with a x = b (or aᵀ x = b), by LU with partial pivoting. A singular matrix (a pivot of "
    "exactly zero) gives NaN.",
)


# --- inv, pinv ------------------------------------------------------------------------------------


def _inv_vjp(g: Ref, z: Ref, x: Ref) -> list[Ref | None]:
    adjoint = transposed(z)
    return [-matmul(adjoint, g, adjoint)]


_INV = Op(
    "inv",
    operands=1,
    type=square_inexact,
    run=lambda k: k.linalg.inv,
    derivative=Both(lambda tangents, z, x: -matmul(z, tangents[0], z), _inv_vjp),
    axes=batch_axes,
    cost=matrix_cost(lambda n, _: 2 * n**3),
    domain=Domain((STEEP,), square_examples()),
    scratch=workspace(2),
    doc="The inverse, by LU with partial pivoting. A singular matrix (a pivot of exactly zero) "
    "gives NaN.",
)


def _pinv_type(x: ArrayType, *, rtol: float) -> ArrayType:
    check_matrix(x)
    if not rtol >= 0:
        raise AttributeFault(f"attribute 'rtol' must not be negative, got {rtol}")
    *batch, rows, columns = x.shape
    return ArrayType(x.dtype, (*batch, columns, rows))


def _run_pinv(k: Kernels, *, rtol: float) -> Callable[[Array], Array]:
    """V S⁻¹ Uᵀ over the singular values above rtol times the largest."""
    xp, svd = k.xp, k.linalg.svd

    def run(x: Array) -> Array:
        u, s, vh = svd(x)
        kept = s > rtol * s[..., :1]
        inverse = xp.where(kept | xp.isnan(s), 1 / xp.where(s == 0, 1, s), 0).astype(x.dtype)
        return xp.matmul(plain_transposed(vh) * inverse[..., None, :], plain_transposed(u))

    return run


def _pinv_jvp(tangents: Sequence[Ref], z: Ref, x: Ref, *, rtol: float) -> Ref:
    """-z ẋ z + z zᵀ ẋᵀ (1 - x z) + (1 - z x) ẋᵀ zᵀ z."""
    tangent, flipped = tangents[0], transposed(tangents[0])
    left = matmul(z, transposed(z), flipped)
    right = matmul(flipped, transposed(z), z)
    return left - matmul(left, x, z) + (right - matmul(z, matmul(x, right))) - matmul(z, tangent, z)


def _pinv_vjp(g: Ref, z: Ref, x: Ref, *, rtol: float) -> list[Ref | None]:
    adjoint, flipped = transposed(z), transposed(g)
    left = matmul(flipped, z, adjoint)
    right = matmul(adjoint, z, flipped)
    return [
        left
        - matmul(x, matmul(z, left))
        + (right - matmul(right, z, x))
        - matmul(adjoint, g, adjoint)
    ]


_PINV = Op(
    "pinv",
    operands=1,
    attributes=(Attribute("rtol", Kind.FLOAT),),
    type=_pinv_type,
    run=_run_pinv,
    derivative=Both(_pinv_jvp, _pinv_vjp),
    axes=batch_axes,
    cost=matrix_cost(lambda m, n: 14 * max(m, n) * min(m, n) ** 2 + 8 * min(m, n) ** 3, passes=2),
    domain=Domain(
        (STEEP,),
        tuple(Example((shape,), {"rtol": 1e-12}) for shape in ((3, 2), (2, 3), (2, 2, 2), (0, 2))),
    ),
    scratch=workspace(4),
    doc="The Moore-Penrose inverse, singular values up to `rtol` times the largest taken as zero. "
    "The derivative is that at constant rank.",
)

ROWS: tuple[Op, ...] = (_TRIANGULAR, _SOLVE, _INV, _PINV)
