"""The incomplete gamma function, with derivatives of any order in both operands.

In the parameter no closed form exists. There the derivative differentiates the integral: a factor
of logarithms under it, and a double exponential quadrature (Takahasi & Mori 1974) of the side that
the mean leaves the smaller, which keeps the relative accuracy of both tails.

In derivatives `t` is a tangent or a cotangent, `z` the result, `a` and `x` the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import comb
from typing import Any

import numpy as np

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault
from pullback_graph.kernels import Kernels
from pullback_graph.op import Domain, Example, Interval, Op, Partials
from pullback_graph.ops.quadrature import Side, by_blocks, by_sides, chosen, integral
from pullback_graph.ops.rules import FLOATING, elementwise_of, elementwise_row
from pullback_graph.ops.special import run_polygamma
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

MAX_ORDER = 20
"""Of a derivative in a parameter."""
Orders = tuple[int, ...]


def log_derivative_factor(
    slopes: Mapping[Orders, Any] | Callable[[Orders], Any], orders: Orders
) -> Any:
    """The derivative of exp(f), over exp(f), from those of f (given by their orders).

    By Faà di Bruno's recursion: differentiating f' exp(f) with Leibniz's rule.
    """
    slope = slopes if callable(slopes) else slopes.__getitem__
    if not any(orders):
        return 1.0
    axis = next(i for i, order in enumerate(orders) if order)
    rest = tuple([order - (i == axis) for i, order in enumerate(orders)])
    total: Any = None
    for taken in np.ndindex(*[order + 1 for order in rest]):
        weight = 1
        for order, own in zip(rest, taken, strict=True):
            weight *= comb(order, own)
        own_orders = tuple([own + (i == axis) for i, own in enumerate(taken)])
        left = tuple([order - own for order, own in zip(rest, taken, strict=True)])
        term = slope(own_orders) * (weight * log_derivative_factor(slope, left))
        total = term if total is None else total + term
    return total


def psi(x: Ref, order: int) -> Ref:
    """The derivative of digamma of that order."""
    z: Ref = do.polygamma(x, n=order) if order else do.digamma(x)
    return z


# --- gamma ----------------------------------------------------------------------------------------


def _run_gamma_density(k: Kernels) -> Callable[..., Array]:
    xp, xlogy, gammaln = k.xp, k.special.xlogy, k.special.gammaln
    return by_blocks(k, lambda a, x: xp.exp(xlogy(a - 1, x) - x - gammaln(a)))


def _gamma_density_derivative(t: Ref, a: Ref, x: Ref, n: int) -> Ref:
    """T times the n-th derivative of the density in a."""

    def slope(orders: Orders) -> Ref:
        own = -psi(a, orders[0] - 1)
        logarithm: Ref = do.log(x)
        return own + logarithm if orders == (1,) else own

    factor: Ref = log_derivative_factor(slope, (n,))
    return t * (do.gamma_density(a, x) * factor)


def order_in_range(name: str, order: int, least: int) -> None:
    """Check the order of a derivative.

    Raises:
        AttributeFault: it is not between `least` and MAX_ORDER.
    """
    if not least <= order <= MAX_ORDER:
        raise AttributeFault(
            f"attribute {name!r} must be between {least} and {MAX_ORDER}, got {order}"
        )


_floating = elementwise_of(FLOATING)


def _gamma_type(a: ArrayType, x: ArrayType, *, n: int) -> ArrayType:
    order_in_range("n", n, 1)
    return _floating(a, x)


def _run_gamma_derivative(k: Kernels, *, n: int) -> Callable[[Array, Array], Array]:
    """The lower integral in y, t = x exp(-y); beyond the mean minus the upper one, t = x + y.

    For a < 1 the lower one is that for a + 1, and a term: DLMF 8.8.5.
    """
    xp, side = k.xp, _gamma_side(k, n)

    def run(a: Array, x: Array) -> Array:
        one = x.dtype.type(1)
        inside = (x > 0) & (x < np.inf) & (a > 0)
        places, shape = xp.where(inside, x, one), xp.where(inside, a, one)
        upper = (places > 1) & (places > shape)
        z = by_sides(k, side, upper, shape, places)
        bad = xp.isnan(x) | (x < 0) | ~(a > 0)
        return xp.where(inside, z, xp.where(bad, xp.nan, 0)).astype(x.dtype)

    return by_blocks(k, run)


def _gamma_integrand(
    k: Kernels, upper: Any, raised: Array, x: Array, factor: Callable[[Array], Array]
) -> Callable[[Array], list[Array]]:
    """What is integrated on either side of `x`, over that at `x`.

    Args:
        factor: what a derivative multiplies it by, of the logarithm of a variable over `x`.
    """
    xp = k.xp

    def of_upper(y: Array) -> Array:
        shift = xp.log1p(y / x)
        exponent = (raised - 1) * shift
        exponent -= y
        return weighed(shift, exponent)

    def of_lower(shift: Array) -> Array:
        rest = xp.expm1(shift)
        rest *= x
        exponent = raised * shift
        exponent -= rest
        return weighed(shift, exponent)

    def weighed(shift: Array, exponent: Array) -> Array:
        value = xp.exp(exponent)
        value *= factor(shift)
        return value

    return lambda y: [chosen(k, upper, lambda: of_upper(y), lambda: of_lower(y))]


def _gamma_side(k: Kernels, n: int) -> Side:
    xp, gammaln = k.xp, k.special.gammaln
    digammas = [run_polygamma(k, n=order) for order in range(n)]

    def side(upper: Any, shape: Array, x: Array) -> Array:
        raised = chosen(k, upper, lambda: shape, lambda: xp.where(shape < 1, shape + 1, shape))
        slopes = [-digamma(raised) for digamma in digammas]
        logarithm = xp.log(x)
        first = logarithm + slopes[0]
        rate = chosen(
            k,
            upper,
            lambda: xp.maximum(1 - raised / x, 1 / xp.sqrt(x)),
            lambda: -xp.maximum(raised - x, xp.sqrt(raised)),
        )

        def factor(first: Array) -> Array:
            made: Array = log_derivative_factor(
                lambda orders: first if orders == (1,) else slopes[orders[0] - 1], (n,)
            )
            return made

        integrand = _gamma_integrand(k, upper, raised, x, lambda shift: factor(shift + first))
        power = chosen(k, upper, lambda: raised - 1, lambda: raised)
        scale = xp.exp(power * logarithm - x - gammaln(raised))
        inner = scale * integral(k, integrand, rate, order=n, step=1 / 7 if n == 1 else 1 / 8)[0]
        term = chosen(
            k,
            upper,
            lambda: 0.0,
            lambda: xp.where(shape < 1, scale / x * factor(first), 0),
        )
        return chosen(k, upper, lambda: -inner, lambda: inner + term)

    return side


# --- rows -----------------------------------------------------------------------------------------


_A = Interval(0.5, 4.0)
_GAMMA = Domain((_A, Interval(0.2, 6.0)))

ROWS: tuple[Op, ...] = (
    elementwise_row(
        "gammainc",
        lambda k: k.special.gammainc,
        Partials(
            lambda t, z, a, x: t * do.gammainc_derivative(a, x, n=1),
            lambda t, z, a, x: t * do.gamma_density(a, x),
        ),
        250,
        _GAMMA,
        "The integral from 0 to x of t^(a - 1) exp(-t), over gamma(a).",
    ),
    elementwise_row(
        "gammaincc",
        lambda k: k.special.gammaincc,
        Partials(
            lambda t, z, a, x: -(t * do.gammainc_derivative(a, x, n=1)),
            lambda t, z, a, x: -(t * do.gamma_density(a, x)),
        ),
        250,
        _GAMMA,
        "1 - gammainc(a, x), accurate for large x.",
    ),
    elementwise_row(
        "gammainc_derivative",
        _run_gamma_derivative,
        Partials(
            lambda t, z, a, x, n: t * do.gammainc_derivative(a, x, n=n + 1),
            lambda t, z, a, x, n: _gamma_density_derivative(t, a, x, n),
        ),
        900,
        Domain(
            _GAMMA.operands,
            (
                Example(((2, 3), (3,)), {"n": 1}),
                Example(((), (2,)), {"n": 2}),
                Example(((0,), (1,)), {"n": 1}),
            ),
        ),
        "The n-th derivative of gammainc in a, n from 1 to 20, by quadrature: to about 1e-12 of "
        "its size, and to the rounding of a log(x).",
        type=_gamma_type,
        attributes=(Attribute("n", Kind.INT),),
    ),
    elementwise_row(
        "gamma_density",
        _run_gamma_density,
        Partials(
            lambda t, z, a, x: do.xlogy(t * z, x) - t * (z * do.digamma(a)),
            lambda t, z, a, x: t * (z * (do.divide_no_nan(a - 1.0, x) - 1.0)),
        ),
        60,
        _GAMMA,
        "x^(a - 1) exp(-x) / gamma(a), the derivative of gammainc in x.",
    ),
)
