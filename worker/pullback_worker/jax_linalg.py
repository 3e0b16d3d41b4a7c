"""Linear algebra over `jax.lax.linalg`: what NumPy refuses is NaN, the whole matrix of it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import jax.scipy.linalg
from jax.lax import linalg

Array = Any


class JaxLinearAlgebra:
    """The factorisations and solutions of `pullback_graph.kernels.LinearAlgebra`."""

    def cholesky(self, x: Array) -> Array:
        """The lower factor of (x + xᵀ) / 2; a lower triangle of NaN where there is none."""
        z = jnp.tril(linalg.cholesky(_symmetric(x), symmetrize_input=False))
        if not x.size:
            return z
        failed = jnp.isnan(z[..., -1:, -1:])  # what fails early leaves NaN in all later rows
        return jnp.where(failed, jnp.tril(jnp.full(x.shape[-2:], jnp.nan, x.dtype)), z)

    def lu(self, x: Array) -> tuple[Array, Array]:
        """L and U of square `x` in one array, and the order of its rows (int64)."""
        z, _, order = linalg.lu(x)
        return z, order.astype(jnp.int64)

    def qr(self, x: Array) -> tuple[Array, Array]:
        """Q with as many columns as `x`, and square R."""
        q, r = linalg.qr(x, full_matrices=False)
        return q, jnp.triu(r)

    def eigh(self, x: Array) -> tuple[Array, Array]:
        """Eigenvalues of (x + xᵀ) / 2, ascending, and eigenvectors as columns."""
        values, vectors = jnp.linalg.eigh(x)
        return values, vectors

    def svd(self, x: Array) -> tuple[Array, Array, Array]:
        """The thin decomposition u, s, vh, with s descending."""
        u, s, vh = jnp.linalg.svd(x, full_matrices=False)
        return u, s, vh

    def triangular_solve(
        self, a: Array, b: Array, *, lower: bool, transpose: bool, unit_diagonal: bool
    ) -> Array:
        """T⁻¹ b or T⁻ᵀ b, T a triangle of `a`, batches broadcasting; NaN where T is singular."""
        a, b = _one_batch(a, b)
        z = linalg.triangular_solve(
            a,
            b,
            left_side=True,
            lower=lower,
            transpose_a=transpose,
            unit_diagonal=unit_diagonal,
        )
        return z if unit_diagonal else _unless_zero(jnp.diagonal(a, 0, -2, -1), z)

    def solve(self, a: Array, b: Array) -> Array:
        """a⁻¹ b, batches broadcasting; NaN where a pivot of `a` is zero."""
        a, b = _one_batch(a, b)
        lu, order = self.lu(a)
        permuted = jnp.take_along_axis(b, order[..., None], -2)
        below = linalg.triangular_solve(
            lu, permuted, left_side=True, lower=True, unit_diagonal=True
        )
        z = linalg.triangular_solve(lu, below, left_side=True, lower=False)
        return _unless_zero(jnp.diagonal(lu, 0, -2, -1), z)

    def inv(self, x: Array) -> Array:
        """The inverse; NaN where a pivot is zero."""
        return self.solve(x, jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape))

    def expm(self, x: Array) -> Array:
        """The exponential; NaN where `x` is not finite."""
        if not x.size:
            return x
        finite = jnp.isfinite(x).all((-2, -1), keepdims=True)
        return jnp.where(finite, jax.scipy.linalg.expm(jnp.where(finite, x, 0)), jnp.nan)

    def expm_frechet(self, a: Array, e: Array) -> Array:
        """The derivative of the exponential at `a` in the direction `e`, of one shape."""
        return jax.jvp(self.expm, (a,), (e,))[1]


def _symmetric(x: Array) -> Array:
    return (x + x.swapaxes(-1, -2)) * 0.5


def _one_batch(a: Array, b: Array) -> tuple[Array, Array]:
    """The matrices broadcast to one batch."""
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (
        jnp.broadcast_to(a, batch + a.shape[-2:]),
        jnp.broadcast_to(b, batch + b.shape[-2:]),
    )


def _unless_zero(diagonal: Array, z: Array) -> Array:
    """`z`, but NaN for a matrix with a zero on the diagonal."""
    singular = (diagonal == 0).any(-1)[..., None, None]
    return jnp.where(singular, jnp.nan, z)
