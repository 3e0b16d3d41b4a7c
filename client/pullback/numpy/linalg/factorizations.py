"""Factorisations. Signs are fixed, so that every executor gives the same factors.

R's diagonal in `qr` is not negative; in each column of `eigh`'s vectors and of `svd`'s U the first
component of at least 0.382 of the largest one's size is positive. What has no answer is NaN in its
own matrix of the batch (NumPy raises).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pullback.numpy.linalg.matrices import columns, matrix, transposed
from pullback.tracing.apply import Value, apply
from pullback_graph.errors import AttributeFault


class QRResult(NamedTuple):
    """Q with orthonormal columns and upper triangular R."""

    Q: Any
    R: Any


class EighResult(NamedTuple):
    """Ascending eigenvalues, and orthonormal eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """U, descending singular values S, and Vh."""

    U: Any
    S: Any
    Vh: Any


def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with L Lᵀ = (x + xᵀ) / 2, or Lᵀ where `upper`.

    NaN where that is not positive definite.
    """
    factor = apply("cholesky", matrix(x))
    return transposed(factor) if upper else factor


def qr(x: Any, /, mode: str = "reduced") -> Any:
    """Q R = x, with as many columns in Q as the shorter side.

    Args:
        mode: "reduced"; "complete" for a square Q, whose further columns x determines but for their
            choice among each other: right derivatives have functions that do not depend on it, and
            executors may choose differently; "r" for R alone.
    """
    if mode not in ("reduced", "complete", "r"):
        raise AttributeFault(f"qr mode {mode!r} is unknown; use 'reduced', 'complete' or 'r'")
    value = matrix(x)
    rows, width = value.shape[-2:]
    if rows >= width:
        q, r = apply("qr", value)
    else:
        q, first = apply("qr", columns(value, 0, rows))
        rest = apply("matmul", transposed(q), columns(value, rows, width))
        r = apply("concat", first, rest, axis=value.ndim - 1)
    if mode == "complete" and rows > width:
        below = [0] * (value.ndim - 2) + [rows - width, 0]
        zero = value.dtype.type(0)
        q, r = _completed(q), apply("pad", r, zero, low=(0,) * value.ndim, high=tuple(below))
    return r if mode == "r" else QRResult(q, r)


def eigh(x: Any, /, UPLO: str | None = None) -> EighResult:
    """Eigenvalues and eigenvectors of (x + xᵀ) / 2.

    Where eigenvalues are equal, the derivative of the vectors leaves out what they share: right for
    functions that don't depend on the choice among them.

    Args:
        UPLO: "L" or "U" to take that triangle alone for the symmetric matrix.
    """
    value = matrix(x)
    if UPLO is not None:
        value = _symmetric(value, UPLO)
    return EighResult(*apply("eigh", value))


def eigvalsh(x: Any, /, UPLO: str | None = None) -> Any:
    """The eigenvalues of (x + xᵀ) / 2, ascending; `UPLO` as for `eigh`."""
    return eigh(x, UPLO).eigenvalues


def svd(x: Any, /, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """U diag(S) Vh = x.

    The derivative where singular values are equal or zero is as that of `eigh`.

    Args:
        full_matrices: square U and Vh, whose further vectors are as the columns of `qr` in its mode
            "complete"; else as many columns in U and rows in Vh as the shorter side.
    """
    value = matrix(x)
    if not compute_uv:
        return svdvals(value)
    u, s, vh = apply("svd", value)
    if full_matrices:
        u, vh = _completed(u), transposed(_completed(transposed(vh)))
    return SVDResult(u, s, vh)


def svdvals(x: Any, /) -> Any:
    """The singular values, descending."""
    return apply("svd", matrix(x))[1]


def _completed(q: Value) -> Any:
    """Orthonormal columns, and columns that complete them to a basis.

    Those are eigenvectors of the projector on the others, of eigenvalue 0, which come first.
    """
    rows, width = q.shape[-2:]
    if rows <= width:
        return q
    projector = apply("matmul", q, transposed(q))
    rest = columns(apply("eigh", projector)[1], 0, rows - width)
    return apply("concat", q, rest, axis=q.ndim - 1)


def _symmetric(x: Value, triangle: str) -> Value:
    """The symmetric matrices of which a triangle is given."""
    if triangle.upper() not in ("L", "U"):
        raise AttributeFault(f"UPLO is {triangle!r}; use 'L' or 'U', or leave it out")
    cut, inner = ("tril", -1) if triangle.upper() == "L" else ("triu", 1)
    strict = apply(cut, x, k=inner)
    value: Value = apply("add", apply(cut, x, k=0), transposed(strict))
    return value
