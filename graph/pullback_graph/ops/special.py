"""Special functions: sigmoid, softplus, the error functions, and the gamma function's family."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial, log, pi, sqrt

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault
from pullback_graph.kernels import Kernels
from pullback_graph.op import Example, Op, Partials
from pullback_graph.ops.rules import FLOATING, check_kind, elementwise_row, reals
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

_INF = float("inf")
_MAX_ORDER = 100
_SLOPE_OF_ERF = 2.0 / sqrt(pi)


def _run_softplus(k: Kernels) -> Callable[..., Array]:
    logaddexp = k.xp.logaddexp
    return lambda x: logaddexp(x, 0.0)


def _bell(t: Ref, x: Ref) -> Ref:
    """T times exp(-x²) 2/sqrt(pi), the constant taken into the exponent."""
    bell: Ref = do.exp(log(_SLOPE_OF_ERF) - do.square(x))
    return t * bell


def _polygamma_type(x: ArrayType, *, n: int) -> ArrayType:
    check_kind(x, FLOATING)
    if not 0 <= n <= _MAX_ORDER:
        raise AttributeFault(f"attribute 'n' must be between 0 and {_MAX_ORDER}, got {n}")
    return x


def _run_polygamma(k: Kernels, *, n: int) -> Callable[..., Array]:
    """Source: Abramowitz & Stegun 1964, equation 6.4.10 (the Hurwitz zeta function)."""
    if n == 0:
        digamma: Callable[..., Array] = k.special.digamma
        return digamma
    zeta = k.special.zeta
    scale = float((-1) ** (n + 1) * factorial(n))
    return lambda x: scale * zeta(n + 1.0, x)


ROWS: tuple[Op, ...] = (
    elementwise_row(
        "sigmoid",
        lambda k: k.special.expit,
        Partials(lambda t, z, x: t * (z * (1.0 - z))),
        12,
        reals(1, special=(0.0, _INF, -_INF)),
        "1 / (1 + exp(-x)) without overflow.",
    ),
    elementwise_row(
        "softplus",
        _run_softplus,
        Partials(lambda t, z, x: t * do.sigmoid(x)),
        25,
        reals(1, special=(0.0, _INF, -_INF)),
        "log(1 + exp(x)) without overflow.",
    ),
    elementwise_row(
        "erf",
        lambda k: k.special.erf,
        Partials(lambda t, z, x: _bell(t, x)),
        20,
        reals(1, special=(0.0, _INF, -_INF)),
        "The error function.",
    ),
    elementwise_row(
        "erfc",
        lambda k: k.special.erfc,
        Partials(lambda t, z, x: -_bell(t, x)),
        20,
        reals(1, special=(0.0, _INF, -_INF)),
        "1 - erf(x), accurate for large x.",
    ),
    elementwise_row(
        "lgamma",
        lambda k: k.special.gammaln,
        Partials(lambda t, z, x: t * do.digamma(x)),
        30,
        reals(1, 0.5, 4.0, special=(-0.5, -2.5, 1.0, 2.0, 30.0)),
        "The logarithm of the absolute value of the gamma function; infinite at its poles.",
    ),
    elementwise_row(
        "digamma",
        lambda k: k.special.digamma,
        Partials(lambda t, z, x: t * do.polygamma(x, n=1)),
        30,
        reals(1, 0.5, 4.0, special=(-0.5, -2.5, 1.0, 2.0, 30.0)),
        "The derivative of lgamma. At its poles the value is infinite or NaN.",
    ),
    elementwise_row(
        "polygamma",
        _run_polygamma,
        Partials(lambda t, z, x, n: t * do.polygamma(x, n=n + 1)),
        60,
        reals(
            1,
            0.5,
            4.0,
            special=(1.0, 30.0),
            examples=[
                Example((shape,), {"n": n}) for shape in ((2, 3), (), (0,)) for n in (0, 1, 2)
            ],
        ),
        "The n-th derivative of digamma, n from 0 to 100.",
        type=_polygamma_type,
        attributes=(Attribute("n", Kind.INT),),
    ),
)
