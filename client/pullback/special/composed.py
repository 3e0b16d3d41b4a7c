"""Special functions made of several rows, under SciPy's names.

A function with a removable singularity takes its series near there, so that its derivatives are
right at the point itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial as factorial_of
from math import log, pi, prod, sqrt
from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback.special.rows import (
    betainc,
    digamma,
    erfc,
    gamma,
    gammaln,
    ndtri,
    polygamma,
    xlogy,
)
from pullback.tracing.apply import Value
from pullback.tracing.promotion import floating, promoted
from pullback_graph.errors import AttributeFault

expm1, exp2, log1p = pnp.expm1, pnp.exp2, pnp.log1p
log_expit, logit, psi, sinc = pnp.log_sigmoid, pnp.logit, digamma, pnp.sinc
_EXPREL = [1 / factorial_of(k + 1) for k in range(14)]
"""The Taylor coefficients of (exp(x) - 1) / x: to rounding for |x| < 1/4, with two derivatives."""


_ERFCX = [float(prod(range(1, 2 * k, 2))) for k in range(14)]
"""Coefficients of sqrt(pi) x erfcx(x) in powers of -1 / (2 x²). DLMF 7.12.1."""


def ndtr(x: Any) -> Any:
    """The standard normal distribution function."""
    return pnp.multiply(erfc(pnp.multiply(_float(x), -sqrt(0.5))), 0.5)


def erfcinv(x: Any) -> Any:
    """The inverse of erfc, accurate for small x."""
    return pnp.multiply(ndtri(pnp.multiply(_float(x), 0.5)), -sqrt(0.5))


def erfcx(x: Any) -> Any:
    """exp(x²) erfc(x), which does not underflow for large x; there by its asymptotic series."""
    value = _float(x)
    turn = 12.0 if value.dtype == np.float64 else 6.0
    near = pnp.less(value, turn)
    small = pnp.where(near, value, 0.0)
    square = pnp.square(pnp.where(near, turn, value))
    series = _polynomial(_ERFCX, pnp.divide(-0.5, square))
    far = pnp.divide(series, pnp.sqrt(pnp.multiply(square, pi)))
    return pnp.where(near, pnp.multiply(pnp.exp(pnp.square(small)), erfc(small)), far)


# --- the gamma function ---------------------------------------------------------------------------


def betaln(a: Any, b: Any) -> Any:
    """The logarithm of beta(a, b), for positive a and b."""
    a, b = promoted(floating, (a, b))
    return pnp.subtract(pnp.add(gammaln(a), gammaln(b)), gammaln(pnp.add(a, b)))


def beta(a: Any, b: Any) -> Any:
    """gamma(a) gamma(b) / gamma(a + b), for positive a and b."""
    return pnp.exp(betaln(a, b))


def betaincc(a: Any, b: Any, x: Any) -> Any:
    """1 - betainc(a, b, x), accurate for x near 1."""
    a, b, x = promoted(floating, (a, b, x))
    return betainc(b, a, pnp.subtract(1.0, x))


def zeta(n: Any, q: Any = 1.0) -> Any:
    """The Hurwitz zeta function: the sum of (k + q)^-n over k from 0 on, for positive q.

    Args:
        n: a Python integer from 2 to 101; there is no derivative in it.
    """
    if not isinstance(n, int) or isinstance(n, bool) or not 2 <= n <= 101:
        raise AttributeFault(f"zeta takes a whole number from 2 to 101 first, got {n!r}", field="n")
    return pnp.divide(polygamma(n - 1, q), (-1.0) ** n * factorial_of(n - 1))


def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension d, a Python integer."""
    value: Any = _float(a)
    total: Any = d * (d - 1) / 4 * log(pi)
    for i in range(d):
        total = pnp.add(gammaln(pnp.subtract(value, i / 2)), total)
    return total


def factorial(n: Any) -> Any:
    """gamma(n + 1), for whole numbers or not."""
    return gamma(pnp.add(_float(n), 1.0))


def binom(n: Any, k: Any) -> Any:
    """The binomial coefficient for n >= k >= 0, whole numbers or not, to rounding."""
    n, k = promoted(floating, (n, k))
    below = pnp.add(gammaln(pnp.add(k, 1.0)), gammaln(pnp.add(pnp.subtract(n, k), 1.0)))
    return pnp.exp(pnp.subtract(gammaln(pnp.add(n, 1.0)), below))


def poch(x: Any, m: Any) -> Any:
    """gamma(x + m) / gamma(x), for positive x and x + m."""
    x, m = promoted(floating, (x, m))
    return pnp.exp(pnp.subtract(gammaln(pnp.add(x, m)), gammaln(x)))


# --- exponentials and powers ----------------------------------------------------------------------


def cosm1(x: Any) -> Any:
    """cos(x) - 1, accurate near 0."""
    return pnp.multiply(pnp.square(pnp.sin(pnp.multiply(_float(x), 0.5))), -2.0)


def exp10(x: Any) -> Any:
    """10 to the power x."""
    return pnp.pow(10.0, _float(x))


def exprel(x: Any) -> Any:
    """(exp(x) - 1) / x, 1 at 0."""
    value = _float(x)
    near = pnp.less(pnp.abs(value), 0.25)
    away = pnp.where(near, 1.0, value)
    series = _polynomial(_EXPREL, pnp.where(near, value, 0.0))
    return pnp.where(near, series, pnp.divide(pnp.expm1(away), away))


def boxcox(x: Any, lmbda: Any) -> Any:
    """(x^lmbda - 1) / lmbda, and log(x) where lmbda is 0."""
    x, power = promoted(floating, (x, lmbda))
    logarithm = pnp.log(x)
    return pnp.multiply(logarithm, exprel(pnp.multiply(power, logarithm)))


def boxcox1p(x: Any, lmbda: Any) -> Any:
    """boxcox(1 + x, lmbda), accurate near 0."""
    x, power = promoted(floating, (x, lmbda))
    logarithm = pnp.log1p(x)
    return pnp.multiply(logarithm, exprel(pnp.multiply(power, logarithm)))


# --- entropies and losses -------------------------------------------------------------------------


def entr(x: Any) -> Any:
    """-x log(x): 0 at 0, -inf below."""
    value = _float(x)
    return pnp.where(pnp.less(value, 0.0), -np.inf, pnp.negative(xlogy(value, value)))


def rel_entr(x: Any, y: Any) -> Any:
    """x log(x / y): 0 (and no derivative) where x is 0 and y not negative, else inf."""
    x, y = promoted(floating, (x, y))
    inside = pnp.logical_and(pnp.greater(x, 0.0), pnp.greater(y, 0.0))
    zero = pnp.logical_and(pnp.equal(x, 0.0), pnp.greater_equal(y, 0.0))
    missing = pnp.logical_or(pnp.isnan(x), pnp.isnan(y))
    p, q = pnp.where(inside, x, 1.0), pnp.where(inside, y, 1.0)
    outside = pnp.where(zero, 0.0, pnp.where(missing, np.nan, np.inf))
    return pnp.where(inside, pnp.multiply(p, pnp.log(pnp.divide(p, q))), outside)


def kl_div(x: Any, y: Any) -> Any:
    """x log(x / y) - x + y: y where x is 0 and y not negative, else inf."""
    x, y = promoted(floating, (x, y))
    return pnp.add(rel_entr(x, y), pnp.subtract(y, x))


def huber(delta: Any, r: Any) -> Any:
    """r² / 2 up to |r| = delta, and straight on from there; inf for a negative delta."""
    delta, r = promoted(floating, (delta, r))
    size = pnp.abs(r)
    straight = pnp.multiply(delta, pnp.subtract(size, pnp.multiply(delta, 0.5)))
    loss = pnp.where(pnp.less_equal(size, delta), pnp.multiply(pnp.square(r), 0.5), straight)
    return pnp.where(pnp.less(delta, 0.0), np.inf, loss)


def pseudo_huber(delta: Any, r: Any) -> Any:
    """delta² (sqrt(1 + (r / delta)²) - 1): a smooth loss like huber's, for a positive delta."""
    delta, r = promoted(floating, (delta, r))
    root = pnp.sqrt(pnp.add(pnp.square(pnp.divide(r, delta)), 1.0))
    return pnp.divide(pnp.square(r), pnp.add(root, 1.0))


# --- over axes ------------------------------------------------------------------------------------


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False) -> Any:
    """log(sum(b exp(a))) over axes, without overflow; b is 1 where None."""
    if b is None:
        return pnp.logsumexp(a, axis, keepdims=keepdims)
    a, b = pnp.broadcast_arrays(*promoted(floating, (a, b)))
    top = pnp.max(pnp.where(pnp.equal(b, 0.0), -np.inf, a), axis, keepdims=True)
    top = pnp.where(pnp.isfinite(top), top, 0.0)
    scaled = pnp.multiply(b, pnp.exp(pnp.subtract(a, top)))
    z = pnp.add(pnp.log(pnp.sum(scaled, axis, keepdims=True)), top)
    return z if keepdims else pnp.squeeze(z, tuple(range(z.ndim)) if axis is None else axis)


def softmax(x: Any, axis: Any = None) -> Any:
    """exp(x) over its sum along axes (all, where None)."""
    return pnp.softmax(x, axis)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """The logarithm of softmax(x)."""
    return pnp.log_softmax(x, axis)


def _float(x: Any) -> Value:
    """`x` as a floating array."""
    return promoted(floating, (x,))[0]


def _polynomial(coefficients: Sequence[float], x: Value) -> Any:
    """The sum of coefficients times powers of x, by Horner's rule."""
    z: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        z = pnp.add(pnp.multiply(z, x), coefficient)
    return z
