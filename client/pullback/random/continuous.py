"""Continuous distributions, from uniform numbers by formulas that executors agree on to few ulps.

Draws are of location 0 and scale 1: `loc + scale * normal(key, shape)` has derivatives in both.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback.random.bits import floating_dtype, uniform
from pullback.random.keys import as_key, broadcast_shape, own_shape
from pullback.special.composed import ndtr
from pullback.special.rows import erfinv, ndtri
from pullback.tracing.apply import cast
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.errors import ShapeError
from pullback_graph.types import FLOAT64, DType


def normal(key: Any, shape: Any = (), dtype: Any = FLOAT64) -> Any:
    """The standard normal distribution."""
    of = floating_dtype(dtype)
    u = uniform(key, shape, of, _next(of, -1.0, 0.0), 1.0)
    return pnp.multiply(erfinv(u), of.type(sqrt(2)))


def truncated_normal(
    key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = FLOAT64
) -> Any:
    """The standard normal distribution between bounds, also where these are far out.

    Args:
        lower, upper: broadcast with each other, and with the result; derivatives flow through them.
    """
    keys, of = as_key(key), floating_dtype(dtype)
    low, high = (cast(promoted(real_floating, (end,))[0], of) for end in (lower, upper))
    whole = broadcast_shape(keys, shape, low, high)
    u = uniform(keys, own_shape(keys, whole), of)
    right = pnp.greater(pnp.add(low, high), 0.0)  # there the other tail is the accurate one
    sign = pnp.where(right, of.type(-1), of.type(1))
    first, last = ndtr(pnp.multiply(low, sign)), ndtr(pnp.multiply(high, sign))
    share = pnp.add(first, pnp.multiply(u, pnp.subtract(last, first)))
    drawn = pnp.multiply(ndtri(share), sign)
    return pnp.where(pnp.less(drawn, low), low, pnp.where(pnp.greater(drawn, high), high, drawn))


def exponential(key: Any, shape: Any = (), dtype: Any = FLOAT64) -> Any:
    """The exponential distribution of mean 1."""
    return pnp.negative(pnp.log1p(pnp.negative(uniform(key, shape, dtype))))


def gumbel(key: Any, shape: Any = (), dtype: Any = FLOAT64) -> Any:
    """The Gumbel distribution: of the largest of many."""
    u = uniform(key, shape, dtype, _tiny(floating_dtype(dtype)), 1.0)
    return pnp.negative(pnp.log(pnp.negative(pnp.log(u))))


def laplace(key: Any, shape: Any = (), dtype: Any = FLOAT64) -> Any:
    """The Laplace distribution: exponential to both sides."""
    of = floating_dtype(dtype)
    u = uniform(key, shape, of, _next(of, -1.0, 0.0), 1.0)
    return pnp.multiply(pnp.sign(u), pnp.log1p(pnp.negative(pnp.abs(u))))


def logistic(key: Any, shape: Any = (), dtype: Any = FLOAT64) -> Any:
    """The logistic distribution, whose distribution function is sigmoid."""
    u = uniform(key, shape, dtype, _tiny(floating_dtype(dtype)), 1.0)
    return pnp.subtract(pnp.log(u), pnp.log1p(pnp.negative(u)))


def cauchy(key: Any, shape: Any = (), dtype: Any = FLOAT64) -> Any:
    """The Cauchy distribution."""
    of = floating_dtype(dtype)
    u = uniform(key, shape, of, np.finfo(of).eps, 1.0)
    return pnp.tan(pnp.multiply(pnp.subtract(u, of.type(0.5)), of.type(pi)))


def multivariate_normal(
    key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = FLOAT64
) -> Any:
    """The normal distribution of a mean (..., n) and a covariance (..., n, n), by Cholesky.

    Derivatives flow through both. A covariance that is not positive definite gives NaN.

    Args:
        shape: of the draws, without their own axis; what mean and covariance broadcast to if None.

    Raises:
        ShapeError: mean and covariance do not fit each other or the shape.
    """
    keys, of = as_key(key), floating_dtype(dtype)
    centre, spread = (cast(promoted(real_floating, (item,))[0], of) for item in (mean, cov))
    if centre.ndim < 1 or spread.shape[-2:] != centre.shape[-1:] * 2:
        raise ShapeError(
            f"a mean of shape {centre.shape} and a covariance of shape {spread.shape}; give (..., "
            "n) and (..., n, n)"
        )
    whole = broadcast_shape(keys, shape, pnp.sum(centre, -1), pnp.sum(spread, (-2, -1)))
    own = own_shape(keys, whole)
    z = normal(keys, (*own, centre.shape[-1]), of)
    turned = pnp.matmul(pnp.linalg.cholesky(spread), pnp.expand_dims(z, -1))
    return pnp.add(centre, pnp.squeeze(turned, -1))


def _next(dtype: DType, x: float, towards: float) -> Any:
    return np.nextafter(dtype.type(x), dtype.type(towards))


def _tiny(dtype: DType) -> Any:
    return np.finfo(dtype).tiny
