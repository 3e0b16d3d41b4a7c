"""The gamma distribution and what is made of it: drawn by rejection, differentiated implicitly.

A draw z of shape a is where the distribution function P(a, z) reaches some share, which stays as a
moves. Newton's steps towards it from z itself change nothing but carry the derivatives: two steps
those up to the third order (Figurnov, Mohamed & Mnih 2018 have the first).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback import lax
from pullback.random.bits import floating_dtype, uniform
from pullback.random.continuous import normal
from pullback.random.keys import as_key, broadcast_shape, fold_in, own_shape, split
from pullback.special.rows import gammainc, gammaln
from pullback.tracing.apply import Value, apply, cast, is_traced
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.errors import ShapeError
from pullback_graph.types import FLOAT64, Shape

_ROUNDS = 100
"""Proposals at the most: each is refused with a chance of one in twenty, or less."""
_TINY = -60.0
"""The logarithm below which P(a, z) is z^a / gamma(a + 1) to the last bit, for a below one."""


def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = FLOAT64) -> Any:
    """The gamma distribution of shape a > 0 and scale 1 (NaN for another a).

    Args:
        a: derivatives flow through it, up to the third order. They are those of the quantile that a
            draw is, so that those of means are right; a draw at another a may be another quantile.
        shape: of the result, to which a broadcasts; a's own where None.
    """
    return pnp.exp(loggamma(key, a, shape, dtype))


def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = FLOAT64) -> Any:
    """The logarithm of `gamma`'s draw, which for small a does not fall out of range."""
    keys, of = as_key(key), floating_dtype(dtype)
    alpha = cast(promoted(real_floating, (a,))[0], of)
    whole = broadcast_shape(keys, shape, alpha)
    alpha = apply("broadcast_to", alpha, shape=whole)
    drawn = _drawn(keys, lax.stop_gradient(alpha), whole)
    return _moving(alpha, drawn) if is_traced(alpha) else drawn


def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = FLOAT64) -> Any:
    """The beta distribution of a, b > 0; derivatives flow through both."""
    keys = as_key(key)
    first, second = promoted(real_floating, (a, b))
    own = own_shape(keys, broadcast_shape(keys, shape, first, second))
    one, other = _halves(keys)
    return pnp.sigmoid(
        pnp.subtract(loggamma(one, first, own, dtype), loggamma(other, second, own, dtype))
    )


def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = FLOAT64) -> Any:
    """Shares (..., n) of the Dirichlet distribution of alpha (..., n).

    Args:
        shape: of the draws, without their own axis.

    Raises:
        ShapeError: alpha has no axis, or does not broadcast.
    """
    keys = as_key(key)
    (weights,) = promoted(real_floating, (alpha,))
    if weights.ndim < 1:
        raise ShapeError("dirichlet needs alpha (..., n), got a number; give one for each share")
    whole = broadcast_shape(keys, shape, pnp.sum(weights, -1))
    own = (*own_shape(keys, whole), weights.shape[-1])
    return pnp.softmax(loggamma(keys, weights, own, dtype), -1)


def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = FLOAT64) -> Any:
    """The chi-squared distribution of df > 0 degrees of freedom."""
    return pnp.multiply(gamma(key, pnp.multiply(df, 0.5), shape, dtype), 2)


def t(key: Any, df: Any, shape: Any = None, dtype: Any = FLOAT64) -> Any:
    """Student's distribution of df > 0 degrees of freedom."""
    keys = as_key(key)
    (degrees,) = promoted(real_floating, (df,))
    whole = broadcast_shape(keys, shape, degrees)
    own, half = own_shape(keys, whole), pnp.multiply(degrees, 0.5)
    one, other = _halves(keys)
    spread = pnp.subtract(pnp.log(half), loggamma(other, half, own, dtype))
    return pnp.multiply(normal(one, own, dtype), pnp.exp(pnp.multiply(spread, 0.5)))


def _halves(keys: Value) -> tuple[Any, Any]:
    halves = split(keys)
    return pnp.take(halves, 0, axis=keys.ndim - 1), pnp.take(halves, 1, axis=keys.ndim - 1)


# --- drawing --------------------------------------------------------------------------------------


def _drawn(keys: Value, alpha: Any, whole: Shape) -> Any:
    """The logarithm of a draw by rejection (Marsaglia & Tsang 2000), from a + 1 where a < 1."""
    own, of = own_shape(keys, whole), alpha.dtype
    small = pnp.less(alpha, 1.0)
    d = pnp.subtract(pnp.where(small, pnp.add(alpha, 1.0), alpha), 1 / 3)
    c = pnp.divide(1 / 3, pnp.sqrt(d))

    def proposed(carry: Any) -> Any:
        step, waiting, found = carry
        one, other = _halves(fold_in(keys, step))
        x, u = normal(one, own, of), uniform(other, own, of)
        base = pnp.add(pnp.multiply(c, x), 1.0)
        v = pnp.where(pnp.greater(base, 0.0), base, 1.0) ** 3
        bound = pnp.square(x) * 0.5 + d * (1.0 - v + pnp.log(v))
        taken = pnp.logical_and(pnp.greater(base, 0.0), pnp.less(pnp.log1p(-u), bound))
        found = pnp.where(pnp.logical_and(waiting, taken), pnp.log(d * v), found)
        return step + 1, pnp.logical_and(waiting, pnp.logical_not(taken)), found

    def unfinished(carry: Any) -> Any:
        step, waiting, _ = carry
        return pnp.logical_and(pnp.any(waiting), pnp.less(step, _ROUNDS))

    waiting = pnp.greater(alpha, 0.0)
    start = (np.asarray(1), waiting, pnp.full(whole, np.nan, of))
    *_, found = lax.while_loop(unfinished, proposed, start)
    share = pnp.log1p(pnp.negative(uniform(fold_in(keys, 0), own, of)))
    return pnp.where(small, pnp.add(found, pnp.divide(share, alpha)), found)


# --- derivatives ----------------------------------------------------------------------------------


def _moving(alpha: Any, drawn: Any) -> Any:
    """The draw (its logarithm) as a function of a: where P(a, z) stays."""
    tiny = pnp.logical_and(pnp.less(drawn, _TINY), pnp.less(alpha, 1.0))
    level = gammaln(pnp.add(alpha, 1.0))
    share = lax.stop_gradient(pnp.subtract(pnp.multiply(alpha, drawn), level))
    explicit = pnp.divide(pnp.add(share, level), alpha)
    w = pnp.where(tiny, 0.0, drawn)
    reached = lax.stop_gradient(gammainc(alpha, pnp.exp(w)))
    for _ in range(2):
        z = pnp.exp(w)
        density = pnp.exp(alpha * w - z - gammaln(alpha))
        w = w - (gammainc(alpha, z) - reached) / density
    return pnp.where(tiny, explicit, w)
