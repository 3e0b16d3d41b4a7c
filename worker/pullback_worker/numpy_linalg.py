"""Linear algebra over NumPy and LAPACK: batches of matrices, NaN for those without an answer.

NumPy's own functions run a whole batch in C, and raise if one matrix has no answer; only then is
the batch run matrix by matrix. LU and triangular solutions, which NumPy lacks, call BLAS and LAPACK
once a matrix, or take a row of all matrices at a time where they are small and many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from numpy.linalg import LinAlgError
from scipy.linalg.blas import get_blas_funcs
from scipy.linalg.lapack import get_lapack_funcs

Array = Any


class NumpyLinearAlgebra:
    """The factorisations and solutions of `pullback_graph.kernels.LinearAlgebra`."""

    def cholesky(self, x: Array) -> Array:
        """The lower factor of (x + xᵀ) / 2; a lower triangle of NaN where there is none."""
        (z,) = _or_nan(lambda a: (np.linalg.cholesky(a),), _symmetric(x))
        if x.size:
            failed = np.isnan(z[..., -1, -1])  # what fails early leaves NaN in all later rows
            if failed.any():
                z[failed] = np.tril(np.full(x.shape[-2:], np.nan, x.dtype))
        return z

    def lu(self, x: Array) -> tuple[Array, Array]:
        """L and U of square `x` in one array, and the order of its rows (int64)."""
        if _are_many(x):
            return _lu_by_rows(x)
        z, order = np.empty(x.shape, x.dtype), np.empty(x.shape[:-1], np.int64)
        (factor,) = get_lapack_funcs(("getrf",), dtype=x.dtype)
        for place in np.ndindex(x.shape[:-2]) if x.size else ():
            z[place], pivots, _ = factor(x[place])
            order[place] = _permutation(pivots)
        return z, order

    def qr(self, x: Array) -> tuple[Array, Array]:
        """Q with as many columns as `x`, and square R."""
        q, r = np.linalg.qr(x)
        return q, r

    def eigh(self, x: Array) -> tuple[Array, Array]:
        """Eigenvalues of (x + xᵀ) / 2, ascending, and eigenvectors as columns."""
        values, vectors = _or_nan(np.linalg.eigh, _symmetric(x))
        return values, vectors

    def svd(self, x: Array) -> tuple[Array, Array, Array]:
        """The thin decomposition u, s, vh, with s descending."""
        u, s, vh = _or_nan(lambda a: np.linalg.svd(a, full_matrices=False), x)
        return u, s, vh

    def triangular_solve(
        self, a: Array, b: Array, *, lower: bool, transpose: bool, unit_diagonal: bool
    ) -> Array:
        """T⁻¹ b or T⁻ᵀ b, T a triangle of `a`, batches broadcasting; NaN where T is singular."""
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        z = np.array(np.broadcast_to(b, batch + b.shape[-2:]))
        if not z.size:
            return z
        if a.ndim == 2 and b.ndim > 2:  # one triangle for all: its right-hand sides side by side
            sides = np.moveaxis(z, -2, 0)
            flat = sides.reshape(a.shape[0], -1)
            _by_blas(a, flat, lower, transpose, unit_diagonal)
            z = np.moveaxis(flat.reshape(sides.shape), 0, -2)
        else:
            solve = _by_rows if _are_many(z) else _by_blas
            solve(np.broadcast_to(a, batch + a.shape[-2:]), z, lower, transpose, unit_diagonal)
        if not unit_diagonal:
            singular = (a.diagonal(0, -2, -1) == 0).any(-1)
            if singular.any():
                z = np.where(singular[..., None, None], np.asarray(np.nan, z.dtype), z)
        return z

    def solve(self, a: Array, b: Array) -> Array:
        """a⁻¹ b, batches broadcasting; NaN where a pivot of `a` is zero."""
        try:
            return np.linalg.solve(a, b)
        except LinAlgError:
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            z = np.full(batch + b.shape[-2:], np.nan, b.dtype)
            a, b = np.broadcast_to(a, batch + a.shape[-2:]), np.broadcast_to(b, z.shape)
            for place in np.ndindex(batch):
                _try(lambda: np.copyto(z[place], np.linalg.solve(a[place], b[place])))  # noqa: B023
            return z

    def inv(self, x: Array) -> Array:
        """The inverse; NaN where a pivot is zero."""
        (z,) = _or_nan(lambda a: (np.linalg.inv(a),), x)
        return z

    def expm(self, x: Array) -> Array:
        """The exponential; NaN where `x` is not finite."""
        if not x.size:
            return x.copy()
        finite = np.isfinite(x).all((-2, -1), keepdims=True)
        z = scipy.linalg.expm(np.where(finite, x, 0))
        return np.where(finite, z, np.nan).astype(x.dtype, copy=False)

    def expm_frechet(self, a: Array, e: Array) -> Array:
        """The derivative of the exponential at `a` in the direction `e`, of one shape."""
        z = np.full(a.shape, np.nan, a.dtype)
        for place in np.ndindex(a.shape[:-2]) if a.size else ():
            if np.isfinite(a[place]).all():
                z[place] = scipy.linalg.expm_frechet(
                    a[place], e[place], compute_expm=False, check_finite=False
                )
        return z


def _symmetric(x: Array) -> Array:
    return (x + x.swapaxes(-1, -2)) * x.dtype.type(0.5)


def _or_nan(function: Callable[[Array], tuple[Array, ...]], x: Array) -> tuple[Array, ...]:
    """The function of a batch, NaN for each matrix that it refuses."""
    try:
        return tuple(function(x))
    except LinAlgError:
        like = function(np.broadcast_to(np.eye(*x.shape[-2:], dtype=x.dtype), x.shape))
        results = tuple([np.full(z.shape, np.nan, z.dtype) for z in like])
        for place in np.ndindex(x.shape[:-2]):
            _try(lambda: _store(results, place, function(x[place])))  # noqa: B023  (called now)
        return results


def _store(results: tuple[Array, ...], place: tuple[int, ...], found: tuple[Array, ...]) -> None:
    for z, own in zip(results, found, strict=True):
        z[place] = own


def _try(action: Callable[[], None]) -> None:
    """Do what may fail for a matrix without an answer, whose NaN then stay."""
    try:
        action()
    except LinAlgError:
        return


def _permutation(pivots: Array) -> list[int]:
    """The order of rows that LAPACK's exchanges bring about."""
    order = list(range(len(pivots)))
    for row, other in enumerate(pivots.tolist()):
        order[row], order[other] = order[other], order[row]
    return order


def _are_many(x: Array) -> bool:
    """Whether matrices are so many, for their rows, that they are taken together."""
    rows, columns = x.shape[-2:]
    return bool(x.size > 4 * rows * rows * columns)


def _lu_by_rows(x: Array) -> tuple[Array, Array]:
    """`lu` by elimination with the largest pivot, a row of all matrices at a time.

    The matrices lie along the last axis meanwhile, so that every step runs along memory. A column
    of zeros below its pivot is left as it is, as LAPACK does.
    """
    n = x.shape[-1]
    z = np.moveaxis(x.reshape(-1, n, n), 0, -1).copy()
    order = np.repeat(np.arange(n), z.shape[-1]).reshape(n, -1)
    for row in range(n):
        chosen = (np.abs(z[row:, row]).argmax(0) + row)[None, :]
        _exchange(z, row, chosen[None])
        _exchange(order, row, chosen)
        below = z[row + 1 :, row]
        np.divide(below, z[row, row], out=below, where=z[row, row] != 0)
        z[row + 1 :, row + 1 :] -= below[:, None] * z[row, row + 1 :]
    return (
        np.moveaxis(z, -1, 0).reshape(x.shape),
        np.moveaxis(order, -1, 0).reshape(x.shape[:-1]),
    )


def _exchange(z: Array, row: int, chosen: Array) -> None:
    """Exchange row `row` of each matrix with its own chosen one."""
    found = np.take_along_axis(z, chosen, 0)[0]
    np.put_along_axis(z, chosen, z[row : row + 1], 0)
    z[row] = found


def _by_blas(a: Array, z: Array, lower: bool, transpose: bool, unit_diagonal: bool) -> None:
    """Solve in place, a matrix at a time.

    BLAS counts by columns: to it a row-major matrix is its transpose. So it is given X T' = Z'.
    """
    (solve,) = get_blas_funcs(("trsm",), dtype=z.dtype)
    for place in np.ndindex(z.shape[:-2]):
        z[place] = solve(
            1.0,
            a[place].T,
            z[place].T,
            side=1,
            lower=not lower,
            trans_a=transpose,
            diag=unit_diagonal,
            overwrite_b=1,
        ).T


def _by_rows(a: Array, z: Array, lower: bool, transpose: bool, unit_diagonal: bool) -> None:
    """Solve in place by substitution, a row of all matrices at a time."""
    if transpose:
        a = a.swapaxes(-1, -2)
    n = a.shape[-1]
    forward = lower != transpose
    for row in range(n) if forward else range(n - 1, -1, -1):
        done = slice(0, row) if forward else slice(row + 1, n)
        known = np.matmul(a[..., row : row + 1, done], z[..., done, :])[..., 0, :]
        z[..., row, :] -= known
        if not unit_diagonal:
            z[..., row, :] /= a[..., row, row, None]
