"""Special functions: sigmoid, the error function, the normal distribution, the gamma function."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial, log, pi, sqrt

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault
from pullback_graph.kernels import Kernels
from pullback_graph.op import Example, Op, Partials, RunRule
from pullback_graph.ops.domains import between
from pullback_graph.ops.rules import FLOATING, check_kind, constant_like, elementwise_row, reals
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

_INF = float("inf")
_MAX_ORDER = 100
_SLOPE_OF_ERF = 2.0 / sqrt(pi)
_LOG_ROOT = 0.5 * log(2.0 * pi)


def _run_softplus(k: Kernels) -> Callable[..., Array]:
    logaddexp = k.xp.logaddexp
    return lambda x: logaddexp(x, 0.0)


def _bell(t: Ref, x: Ref) -> Ref:
    """T times exp(-x²) 2/sqrt(pi), the constant taken into the exponent."""
    bell: Ref = do.exp(log(_SLOPE_OF_ERF) - do.square(x))
    return t * bell


def _logarithm_or_zero(name: str) -> RunRule:
    """SciPy's own; JAX's is 0 beside NaN too."""

    def run(k: Kernels) -> Callable[..., Array]:
        function: Callable[..., Array] = getattr(k.special, name)
        if k.name == "numpy":
            return function
        xp = k.xp
        return lambda x, y: xp.where(xp.isnan(y), y, function(x, y))

    return run


def _unless_zero(x: Ref, quotient: Ref) -> Ref:
    """The quotient, but 0 where `x` is."""
    z: Ref = do.where(do.equal(x, 0.0), constant_like(x, 0.0), quotient)
    return z


def _polygamma_type(x: ArrayType, *, n: int) -> ArrayType:
    check_kind(x, FLOATING)
    if not 0 <= n <= _MAX_ORDER:
        raise AttributeFault(f"attribute 'n' must be between 0 and {_MAX_ORDER}, got {n}")
    return x


def run_polygamma(k: Kernels, *, n: int) -> Callable[..., Array]:
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
        "erfinv",
        lambda k: k.special.erfinv,
        Partials(lambda t, z, x: t * do.exp(do.square(z) - log(_SLOPE_OF_ERF))),
        30,
        reals(1, -0.9, 0.9, special=(0.0, 1.0, -1.0)),
        "The inverse of erf; NaN outside [-1, 1]. Derivative infinite at -1 and 1.",
    ),
    elementwise_row(
        "ndtri",
        lambda k: k.special.ndtri,
        Partials(lambda t, z, x: t * do.exp(0.5 * do.square(z) + _LOG_ROOT)),
        40,
        reals(1, 0.05, 0.95, special=(0.5, 1e-10)),
        "The quantile of the standard normal distribution; NaN outside [0, 1].",
    ),
    elementwise_row(
        "log_ndtr",
        lambda k: k.special.log_ndtr,
        Partials(lambda t, z, x: t * do.exp(-0.5 * do.square(x) - z - _LOG_ROOT)),
        60,
        reals(1, special=(0.0, -10.0, 10.0)),
        "The logarithm of the standard normal distribution function, accurate in both tails.",
    ),
    elementwise_row(
        "xlogy",
        _logarithm_or_zero("xlogy"),
        Partials(
            lambda t, z, x, y: do.xlogy(t, y),
            lambda t, z, x, y: _unless_zero(x, t * x / y),
        ),
        15,
        between((-2.0, 2.0), (0.3, 3.0), special=(0.0, 1.0, _INF)),
        "x log(y), and 0 where x is 0 (unless y is NaN). There the derivative in x is log(y).",
    ),
    elementwise_row(
        "xlog1py",
        _logarithm_or_zero("xlog1py"),
        Partials(
            lambda t, z, x, y: do.xlog1py(t, y),
            lambda t, z, x, y: _unless_zero(x, t * x / (y + 1.0)),
        ),
        17,
        between((-2.0, 2.0), (-0.7, 2.0), special=(0.0, 1.0, _INF)),
        "x log(1 + y), and 0 where x is 0 (unless y is NaN). There the derivative in x is "
        "log(1 + y).",
    ),
    elementwise_row(
        "gamma",
        lambda k: k.special.gamma,
        Partials(lambda t, z, x: t * (z * do.digamma(x))),
        40,
        reals(1, 0.5, 4.0, special=(-0.5, -2.5, 1.0, 2.0, 10.0)),
        "The gamma function.",
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
        run_polygamma,
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
