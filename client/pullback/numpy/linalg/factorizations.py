"""Factorisations. Signs are fixed, so that every executor gives the same factors.

R's diagonal in `qr` is not negative; in each column of `eigh`'s vectors and of `svd`'s U the first
component of at least 0.382 of the largest one's size is positive. What has no answer is NaN in its
own matrix of the batch (NumPy raises).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pullback.numpy.linalg.matrices import columns, matrix, transposed
from pullback.tracing.apply import apply
from pullback_graph.errors import AttributeFault, UnsupportedError


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
    """Q R = x, with as many columns in Q as the shorter side; `mode` "r" gives R alone.

    Raises:
        UnsupportedError: `mode` is "complete", whose further columns of Q x does not determine.
    """
    if mode == "complete":
        raise UnsupportedError("qr mode 'complete' is not offered; use 'reduced'")
    if mode not in ("reduced", "r"):
        raise AttributeFault(f"qr mode {mode!r} is unknown; use 'reduced' or 'r'")
    value = matrix(x)
    rows, width = value.shape[-2:]
    if rows >= width:
        q, r = apply("qr", value)
    else:
        q, first = apply("qr", columns(value, 0, rows))
        rest = apply("matmul", transposed(q), columns(value, rows, width))
        r = apply("concat", first, rest, axis=value.ndim - 1)
    return r if mode == "r" else QRResult(q, r)


def eigh(x: Any, /) -> EighResult:
    """Eigenvalues and eigenvectors of (x + xᵀ) / 2.

    Where eigenvalues are equal, the derivative of the vectors leaves out what they share: right for
    functions that don't depend on the choice among them.
    """
    return EighResult(*apply("eigh", matrix(x)))


def eigvalsh(x: Any, /) -> Any:
    """The eigenvalues of (x + xᵀ) / 2, ascending."""
    return eigh(x).eigenvalues


def svd(x: Any, /, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """U diag(S) Vh = x, with as many columns in U and rows in Vh as the shorter side.

    The derivative where singular values are equal or zero is as that of `eigh`.

    Raises:
        UnsupportedError: `full_matrices` of a matrix that is not square: x does not determine the
            further vectors. Pass full_matrices=False.
    """
    value = matrix(x)
    if not compute_uv:
        return svdvals(value)
    rows, width = value.shape[-2:]
    if full_matrices and rows != width:
        raise UnsupportedError(
            f"svd of shape {value.shape}: the further vectors of a full decomposition are not "
            "determined by the matrix; pass full_matrices=False"
        )
    return SVDResult(*apply("svd", value))


def svdvals(x: Any, /) -> Any:
    """The singular values, descending."""
    return apply("svd", matrix(x))[1]
