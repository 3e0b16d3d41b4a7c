"""Adjugates, which are transposed cofactors, and their derivative in a direction.

A singular matrix has them too, where det(x) inv(x) has no meaning: by minors up to three rows, by
LU with pivots kept from zero beyond, and in a direction by singular values, as of diagonal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pullback_graph.kernels import Kernels
from pullback_graph.op import Axes, Both, Domain, Example, Op
from pullback_graph.ops.factorization import STEEP
from pullback_graph.ops.linear_algebra import (
    batch_axes,
    check_square,
    inner,
    matmul,
    matrix_cost,
    plain_transposed,
    solution,
    solution_axes,
    solution_cost,
    spread,
    square,
    square_examples,
    total,
    transposed,
    workspace,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

EXPANDED_ROWS = 3
"""Larger matrices are factored."""


def cofactor(k: Kernels, x: Array, row: int, column: int) -> Array:
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


# --- adjugate ----------------------------------------------------------------------------------


def _run_adjugate(k: Kernels) -> Callable[[Array], Array]:
    """det(y) inv(y), where y is x with pivots no smaller than rounding: an error of that size."""
    xp, factors, solve = k.xp, k.linalg.lu, k.linalg.triangular_solve

    def run(x: Array) -> Array:
        if not x.size:
            return x + 0
        n = x.shape[-1]
        if n <= EXPANDED_ROWS:
            places = [(row, column) for column in range(n) for row in range(n)]
            return xp.stack([cofactor(k, x, *place) for place in places], -1).reshape(x.shape)
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
    if 0 < x.shape[-1] <= EXPANDED_ROWS:
        return _expanded_change(x, tangents[0])
    change: Ref = do.adjugate_frechet(x, tangents[0])
    return change


def _adjugate_vjp(g: Ref, z: Ref, x: Ref) -> list[Ref | None]:
    if 0 < x.shape[-1] <= EXPANDED_ROWS:
        return [_expanded_change(transposed(x), g)]
    return [transposed(do.adjugate_frechet(x, transposed(g)))]


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
    doc="The transposed cofactors: det(x) inv(x), also where x is singular.",
)


# --- its derivative in a direction ----------------------------------------------------------------


def _frechet_type(x: ArrayType, e: ArrayType) -> ArrayType:
    check_square(x)
    check_square(e)
    return solution(x, e)


def _frechet_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> Axes:
    """Of solutions, but that columns stay whole too."""
    (x, e), (z,) = (own := solution_axes(operands, results)).operands, own.results
    return Axes((x, (*e[:-1], None)), ((*z[:-1], None),))


def _run_frechet(k: Kernels) -> Callable[[Array, Array], Array]:
    """With x = u diag(s) vh, that of diag(s) in the direction uᵀ e v, turned back."""
    xp, svd = k.xp, k.linalg.svd

    def run(x: Array, e: Array) -> Array:
        if not x.size or not e.size:
            return x + e
        u, s, vh = svd(x)
        turned = plain_transposed(u) @ e @ plain_transposed(vh)
        others = _products_of_others(k, s)
        grown = (others @ turned.diagonal(0, -2, -1)[..., None])[..., 0]
        diagonal = xp.eye(x.shape[-1], dtype=x.dtype)
        change = diagonal * grown[..., None] - others * turned
        parity = xp.where(xp.linalg.det(u) * xp.linalg.det(vh) < 0, -1, 1).astype(x.dtype)
        return parity[..., None, None] * (plain_transposed(vh) @ change @ plain_transposed(u))

    return run


def _products_of_others(k: Kernels, s: Array) -> Array:
    """At (i, j) the product of all of `s` (..., n) but the i-th and the j-th; 0 where i is j."""
    xp, n = k.xp, s.shape[-1]
    same = xp.eye(n, dtype=bool)
    factors = xp.where(same, xp.ones_like(s)[..., None, :], s[..., None, :])
    one = xp.ones_like(factors[..., :1])
    before = xp.concatenate([one, factors[..., :-1]], -1).cumprod(-1)
    after = xp.concatenate([one, factors[..., :0:-1]], -1).cumprod(-1)[..., ::-1]
    return xp.where(same, xp.zeros_like(factors), before * after)


def _second(x: Ref, e: Ref, f: Ref) -> Ref:
    """The second derivative of adjugate at a regular `x` in the directions `e` and `f`.

    The first is (tr(z e) z - z e z) / det(x), z = adjugate(x); that is differentiated along f.
    """
    z, own = do.adjugate(x), do.adjugate_frechet(x, e)
    moved = do.adjugate_frechet(x, f)
    of_traces = spread(_trace(moved, e)) * z + spread(_trace(z, e)) * moved
    of_products = matmul(moved, e, z) + matmul(z, e, moved)
    change = of_traces - of_products - own * spread(_trace(z, f))
    return change / spread(do.det(x))


def _trace(x: Ref, y: Ref) -> Ref:
    """The trace of the product of two matrices, their batches broadcast."""
    products = transposed(x) * y
    rank = len(products.shape)
    z: Ref = do.sum(products, axes=(rank - 2, rank - 1), keepdims=False)
    return z


def _frechet_jvp(tangents: Sequence[Ref | None], z: Ref, x: Ref, e: Ref) -> Ref:
    of_x, of_e = tangents
    moved = None if of_x is None else _second(x, e, of_x)
    linear = None if of_e is None else do.adjugate_frechet(x, of_e)
    return total(moved, linear)


def _frechet_vjp(g: Ref, z: Ref, x: Ref, e: Ref) -> list[Ref | None]:
    """The derivatives of det are symmetric in their directions, of which gᵀ is one here."""
    flipped = transposed(g)
    return [transposed(_second(x, e, flipped)), transposed(do.adjugate_frechet(x, flipped))]


_FRECHET = Op(
    "adjugate_frechet",
    operands=2,
    type=_frechet_type,
    run=_run_frechet,
    derivative=Both(_frechet_jvp, _frechet_vjp),
    axes=_frechet_axes,
    cost=solution_cost(24.0, 8.0),
    domain=Domain(
        (STEEP, STEEP),
        tuple(
            Example(pair)
            for pair in (((4, 4), (4, 4)), ((3, 3), (2, 3, 3)), ((2, 1, 2, 2), (3, 2, 2)))
        )
        + square_examples((1, 1), (0, 0), count=2),
    ),
    scratch=workspace(10),
    doc="The derivative of adjugate at the first matrix, be it singular, in the direction of the "
    "second. Its own derivative by the first is NaN where that is singular.",
)

ROWS: tuple[Op, ...] = (_ADJUGATE, _FRECHET)
