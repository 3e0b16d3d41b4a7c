"""Triangular factors kept for several right-hand sides, under SciPy's names."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pullback.numpy.elementwise import equal
from pullback.numpy.linalg.factorizations import cholesky
from pullback.numpy.linalg.matrices import matrix
from pullback.numpy.linalg.solutions import system, without_column
from pullback.numpy.manipulation import broadcast_to, expand_dims, tril, triu
from pullback.tracing.apply import Value, apply, as_value, cast
from pullback_graph.errors import AttributeFault
from pullback_graph.types import broadcast_shapes

_TRANSPOSED = {0: False, "N": False, 1: True, "T": True, 2: True, "C": True}


class CholeskyFactor(NamedTuple):
    """A triangular factor, and whether it is the lower one."""

    c: Any
    lower: bool


class LUFactor(NamedTuple):
    """L and U in one array, L's diagonal of ones left out; and the order of the matrix's rows.

    `permutation` (int64) is such that x[permutation] = L U. SciPy's `piv` are the exchanges.
    """

    lu: Any
    permutation: Any


class LUResult(NamedTuple):
    """The matrix is P L U."""

    P: Any
    L: Any
    U: Any


def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False
) -> Any:
    """x with T x = b, T the upper (or `lower`) triangle of a.

    Args:
        b: a vector (one axis), or right-hand sides as columns; batches broadcast.
        trans: 0 or "N"; 1 or "T" for Tᵀ x = b.
        unit_diagonal: take T's diagonal as ones.
    """
    if trans not in _TRANSPOSED:
        raise AttributeFault(f"trans {trans!r} is unknown; use 0, 1, 'N' or 'T'")
    left, right, vector = system(a, b)
    x = apply(
        "triangular_solve",
        left,
        right,
        lower=lower,
        transpose=_TRANSPOSED[trans],
        unit_diagonal=unit_diagonal,
    )
    return without_column(x, vector)


def cho_factor(a: Any, lower: bool = False) -> CholeskyFactor:
    """The Cholesky factor of (a + aᵀ) / 2, for `cho_solve`; its other triangle is zero."""
    return CholeskyFactor(cholesky(a, upper=not lower), lower)


def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Any:
    """x with a x = b, from the factor of a that `cho_factor` gave."""
    c, lower = c_and_lower
    half_way = solve_triangular(c, b, trans=0 if lower else 1, lower=lower)
    return solve_triangular(c, half_way, trans=1 if lower else 0, lower=lower)


def lu_factor(a: Any) -> LUFactor:
    """L and U of a square matrix, with partial pivoting, for `lu_solve`."""
    return LUFactor(*apply("lu", matrix(a)))


def lu_solve(lu_and_permutation: tuple[Any, Any], b: Any, trans: Any = 0) -> Any:
    """x with a x = b (or aᵀ x = b, as `trans` says), from what `lu_factor` gave."""
    if trans not in _TRANSPOSED:
        raise AttributeFault(f"trans {trans!r} is unknown; use 0, 1, 'N' or 'T'")
    factor, order = lu_and_permutation[0], as_value(lu_and_permutation[1])
    left, right, vector = system(factor, b)
    batch = broadcast_shapes([left.shape[:-2], right.shape[:-2]])
    right = broadcast_to(right, (*batch, *right.shape[-2:]))
    if _TRANSPOSED[trans]:
        half_way = solve_triangular(left, right, trans=1)
        x = solve_triangular(left, half_way, trans=1, lower=True, unit_diagonal=True)
        inverse = apply("argsort", order, axis=order.ndim - 1)
        return without_column(_rows(x, inverse), vector)
    half_way = solve_triangular(left, _rows(right, order), lower=True, unit_diagonal=True)
    return without_column(solve_triangular(left, half_way), vector)


def lu(a: Any, permute_l: bool = False, p_indices: bool = False) -> Any:
    """P L U = a, of a square matrix.

    Args:
        permute_l: give (P L, U).
        p_indices: give, for P, the row of L that each row of the matrix takes: a = L[p] U.
    """
    value = matrix(a)
    packed, order = apply("lu", value)
    size = value.shape[-1]
    inverse = apply("argsort", order, axis=order.ndim - 1)
    eye = apply("eye", rows=size, columns=size, k=0, dtype=value.dtype)
    lower, upper = tril(packed, -1) + eye, triu(packed)
    if permute_l:
        return _rows(lower, inverse), upper
    if p_indices:
        return LUResult(inverse, lower, upper)
    places = equal(expand_dims(inverse, -1), np.arange(size))
    return LUResult(cast(places, value.dtype), lower, upper)


def adjugate(a: Any, /) -> Any:
    """The transposed cofactors: det(a) inv(a), also where a is singular. No derivative there."""
    return apply("adjugate", matrix(a))


def _rows(x: Value, order: Value) -> Any:
    """The rows of matrices in the order given for each."""
    return apply(
        "take_along_axis", x, broadcast_to(expand_dims(order, -1), x.shape), axis=x.ndim - 2
    )
