"""Eigenvalues of symmetric matrices, and singular values.

Vectors are unique up to their signs, which are fixed: in each column, the first component of at
least 0.382 of the largest one's size is positive. So executors give the same vectors.

Where two values are equal, the vectors' derivatives have no limit; what is there divided by a
difference of zero is left out. That is right for functions that don't depend on the choice of the
vectors (a sum over equal values, a matrix function, the values' own sum).

Sources: Giles 2008, section 3.1; Townsend 2016, Differentiating the singular value decomposition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Domain, Example, Op
from pullback_graph.ops.factorization import STEEP
from pullback_graph.ops.linear_algebra import (
    batch_axes,
    check_matrix,
    check_square,
    column_scaled,
    differences,
    matmul,
    matrix_cost,
    plain_transposed,
    row_scaled,
    square_examples,
    symmetrized,
    total,
    transposed,
    workspace,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

Cotangents: TypeAlias = "tuple[Ref | None, ...]"
"""One per result; None where none reaches it."""
_LEADING_SHARE = 0.381966
"""Of the largest component. Not 1: ties would be broken by rounding."""


def _signs(k: Kernels, vectors: Array) -> Array:
    """1 or -1 for each column: the sign of its first large component, as rows of one."""
    xp = k.xp
    size = xp.abs(vectors)
    large = size >= _LEADING_SHARE * size.max(-2, keepdims=True)
    first = xp.take_along_axis(vectors, large.argmax(-2)[..., None, :], -2)
    return xp.where(first < 0, -1, 1).astype(vectors.dtype)


def _diagonal(x: Ref) -> Ref:
    z: Ref = do.diagonal(x, offset=0)
    return z


def _between(left: Ref, diagonal: Ref | None, right: Ref) -> Ref | None:
    """The product of two matrices with a diagonal one between."""
    return None if diagonal is None else matmul(column_scaled(left, diagonal), right)


def _plus_diagonal(x: Ref, diagonal: Ref | None) -> Ref:
    return x if diagonal is None else x + do.diag(diagonal, shape=x.shape, offset=0)


# --- eigh -----------------------------------------------------------------------------------------


def _eigh_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    check_square(x)
    return ArrayType(x.dtype, x.shape[:-1]), x


def _run_eigh(k: Kernels) -> Callable[[Array], tuple[Array, Array]]:
    eigh = k.linalg.eigh

    def run(x: Array) -> tuple[Array, Array]:
        values, vectors = eigh(x)
        return values, vectors * _signs(k, vectors) if vectors.size else vectors

    return run


def _eigh_jvp(tangents: Sequence[Ref], z: tuple[Ref, Ref], x: Ref) -> tuple[Ref, Ref]:
    """With C = Vᵀ ẋ V: its diagonal, and V (C / (w_j - w_i))."""
    values, vectors = z
    c = matmul(transposed(vectors), symmetrized(tangents[0]), vectors)
    return _diagonal(c), matmul(vectors, do.divide_no_nan(c, differences(values)))


def _eigh_vjp(g: Cotangents, active: tuple[bool], z: tuple[Ref, Ref], x: Ref) -> list[Ref | None]:
    """V (diag(g_w) + (Vᵀ g_V) / (w_j - w_i)) Vᵀ, symmetrised."""
    values, vectors = z
    if g[1] is None:
        return [_between(vectors, g[0], transposed(vectors))]
    c = do.divide_no_nan(matmul(transposed(vectors), g[1]), differences(values))
    return [symmetrized(matmul(vectors, _plus_diagonal(c, g[0]), transposed(vectors)))]


_EIGH = Op(
    "eigh",
    operands=1,
    type=_eigh_type,
    run=_run_eigh,
    derivative=Both(_eigh_jvp, _eigh_vjp, selective=True),
    axes=batch_axes,
    cost=matrix_cost(lambda n, _: 9 * n**3, passes=3),
    domain=Domain((STEEP,), square_examples()),
    scratch=workspace(4),
    doc="Eigenvalues of (x + xᵀ) / 2, ascending, and orthonormal eigenvectors as columns. In each "
    "column the first component of at least 0.382 of the largest one's size is positive. Where "
    "eigenvalues are equal to rounding, the vectors' derivative leaves out what they share.",
)


# --- svd ------------------------------------------------------------------------------------------


def _svd_type(x: ArrayType) -> tuple[ArrayType, ArrayType, ArrayType]:
    check_matrix(x)
    *batch, rows, columns = x.shape
    count = min(rows, columns)
    return (
        ArrayType(x.dtype, (*batch, rows, count)),
        ArrayType(x.dtype, (*batch, count)),
        ArrayType(x.dtype, (*batch, count, columns)),
    )


def _run_svd(k: Kernels) -> Callable[[Array], tuple[Array, Array, Array]]:
    svd = k.linalg.svd

    def run(x: Array) -> tuple[Array, Array, Array]:
        u, s, vh = svd(x)
        if not u.size:
            return u, s, vh
        signs = _signs(k, u)
        return u * signs, s, vh * plain_transposed(signs)

    return run


def _off(x: Ref, basis: Ref) -> Ref:
    """What of the columns of `x` is orthogonal to those of `basis`."""
    return x - matmul(basis, matmul(transposed(basis), x))


def _over(x: Ref, s: Ref) -> Ref:
    """The columns of `x` divided by the singular values, 0 where those are."""
    z: Ref = do.divide_no_nan(x, do.expand_dims(s, axes=(len(s.shape) - 1,)))
    return z


def _svd_jvp(tangents: Sequence[Ref], z: tuple[Ref, Ref, Ref], x: Ref) -> tuple[Ref, Ref, Ref]:
    u, s, vh = z
    v, gaps = transposed(vh), differences(do.square(s))
    along_v = matmul(tangents[0], v)
    c = matmul(transposed(u), along_v)
    flipped = transposed(c)
    turned_u = do.divide_no_nan(column_scaled(c, s) + row_scaled(s, flipped), gaps)
    turned_v = do.divide_no_nan(row_scaled(s, c) + column_scaled(flipped, s), gaps)
    du, dv = matmul(u, turned_u), matmul(v, turned_v)
    rows, columns = x.shape[-2:]
    if rows > columns:
        du = du + _over(_off(along_v, u), s)
    if columns > rows:
        dv = dv + _over(_off(matmul(transposed(tangents[0]), u), v), s)
    return du, _diagonal(c), transposed(dv)


def _svd_vjp(
    g: Cotangents, active: tuple[bool], z: tuple[Ref, Ref, Ref], x: Ref
) -> list[Ref | None]:
    u, s, vh = z
    of_u, of_v = g[0], None if g[2] is None else transposed(g[2])
    if of_u is None and of_v is None:
        return [_between(u, g[1], vh)]
    turned = [
        column_scaled(_turned(u, of_u, s), s) if of_u is not None else None,
        row_scaled(s, _turned(transposed(vh), of_v, s)) if of_v is not None else None,
    ]
    cotangent = matmul(u, _plus_diagonal(total(*turned), g[1]), vh)
    rows, columns = x.shape[-2:]
    if rows > columns and of_u is not None:
        cotangent = cotangent + matmul(_over(_off(of_u, u), s), vh)
    if columns > rows and of_v is not None:
        cotangent = cotangent + matmul(u, transposed(_over(_off(of_v, transposed(vh)), s)))
    return [cotangent]


def _turned(vectors: Ref, g: Ref, s: Ref) -> Ref:
    """The antisymmetric part of vectorsᵀ g, over the differences of the squared values."""
    c = matmul(transposed(vectors), g)
    z: Ref = do.divide_no_nan(c - transposed(c), differences(do.square(s)))
    return z


_SVD = Op(
    "svd",
    operands=1,
    type=_svd_type,
    run=_run_svd,
    derivative=Both(_svd_jvp, _svd_vjp, selective=True),
    axes=batch_axes,
    cost=matrix_cost(lambda m, n: 14 * max(m, n) * min(m, n) ** 2 + 8 * min(m, n) ** 3, passes=3),
    domain=Domain(
        (STEEP,),
        tuple(Example((shape,)) for shape in ((3, 3), (4, 2), (2, 2, 3), (3, 0))),
    ),
    scratch=workspace(5),
    doc="u, s, vh with u diag(s) vh = x: orthonormal columns, descending singular values, "
    "orthonormal rows, as many as the shorter side. In each column of u the first component of "
    "at least 0.382 of the largest one's size is positive. Where singular values are equal "
    "to rounding, or zero, the vectors' derivative leaves out what they share.",
)

ROWS: tuple[Op, ...] = (_EIGH, _SVD)
