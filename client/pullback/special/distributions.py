"""Distribution functions by SciPy's short names, of the incomplete gamma and beta functions."""

from __future__ import annotations

from typing import Any

import pullback.numpy as pnp
from pullback.special.composed import betaincc
from pullback.special.rows import betainc, gammainc, gammaincc
from pullback.tracing.promotion import floating, promoted


def chdtr(v: Any, x: Any) -> Any:
    """The chi square distribution function with v degrees of freedom."""
    return gammainc(*[pnp.multiply(value, 0.5) for value in promoted(floating, (v, x))])


def chdtrc(v: Any, x: Any) -> Any:
    """1 - chdtr(v, x), accurate in the upper tail."""
    return gammaincc(*[pnp.multiply(value, 0.5) for value in promoted(floating, (v, x))])


def gdtr(a: Any, b: Any, x: Any) -> Any:
    """The gamma distribution function of rate a and shape b."""
    a, b, x = promoted(floating, (a, b, x))
    return gammainc(b, pnp.multiply(a, x))


def gdtrc(a: Any, b: Any, x: Any) -> Any:
    """1 - gdtr(a, b, x), accurate in the upper tail."""
    a, b, x = promoted(floating, (a, b, x))
    return gammaincc(b, pnp.multiply(a, x))


def pdtr(k: Any, m: Any) -> Any:
    """The Poisson distribution function: up to k events where m are expected."""
    k, m = promoted(floating, (k, m))
    return gammaincc(pnp.add(pnp.floor(k), 1.0), m)


def pdtrc(k: Any, m: Any) -> Any:
    """1 - pdtr(k, m), accurate in the upper tail."""
    k, m = promoted(floating, (k, m))
    return gammainc(pnp.add(pnp.floor(k), 1.0), m)


def fdtr(dfn: Any, dfd: Any, x: Any) -> Any:
    """The F distribution function."""
    return betainc(*_of_ratio(dfn, dfd, x))


def fdtrc(dfn: Any, dfd: Any, x: Any) -> Any:
    """1 - fdtr(dfn, dfd, x), accurate in the upper tail."""
    return betaincc(*_of_ratio(dfn, dfd, x))


def _of_ratio(dfn: Any, dfd: Any, x: Any) -> tuple[Any, Any, Any]:
    """The beta function's operands for a ratio of variances."""
    dfn, dfd, x = promoted(floating, (dfn, dfd, x))
    scaled = pnp.multiply(dfn, x)
    share = pnp.divide(scaled, pnp.add(dfd, scaled))
    return pnp.multiply(dfn, 0.5), pnp.multiply(dfd, 0.5), share
