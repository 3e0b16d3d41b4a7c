"""The incomplete gamma and beta functions, with derivatives of any order in every operand.

In the parameters no closed form exists. There the derivative differentiates the integral: a factor
of logarithms under it, and a double exponential quadrature (Takahasi & Mori 1974) of the side that
the mean leaves the smaller, which keeps the relative accuracy of both tails.

In derivatives `t` is a tangent or a cotangent, `z` the result, `a`, `b` and `x` the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import comb, pi
from typing import Any

import numpy as np

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault
from pullback_graph.kernels import Kernels
from pullback_graph.op import Domain, Example, Interval, Op, Partials
from pullback_graph.ops.rules import FLOATING, elementwise_of, elementwise_row
from pullback_graph.ops.special import run_polygamma
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

_MAX_ORDER = 20
_NODES_AT_ONCE = 1 << 18
"""Elements times nodes that NumPy takes in one go."""
_STEPS = np.arange(-64, 50) / 16.0
_PLACES = np.exp(pi / 2 * np.sinh(_STEPS))
_WEIGHTS = _PLACES * np.cosh(_STEPS) * (pi / 2 / 16.0)
"""Of the integral over (0, infinity): the sum of a function at the places times the weights."""

Orders = tuple[int, ...]


def _integral(k: Kernels, function: Callable[[Array], Array], like: Array) -> Array:
    """Over (0, infinity), element by element; `function` takes places on a leading axis."""
    places = _PLACES.astype(like.dtype).reshape((-1,) + (1,) * like.ndim)
    weights = _WEIGHTS.astype(like.dtype).reshape(places.shape)
    if k.name != "numpy":
        return (function(places) * weights).sum(0)
    step = max(1, _NODES_AT_ONCE // max(like.size, 1))
    total = np.zeros_like(like)
    for start in range(0, len(places), step):
        chosen = slice(start, start + step)
        total += (function(places[chosen]) * weights[chosen]).sum(0)
    return total


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
    for chosen in np.ndindex(*[order + 1 for order in rest]):
        weight = 1
        for order, own in zip(rest, chosen, strict=True):
            weight *= comb(order, own)
        own_orders = tuple([own + (i == axis) for i, own in enumerate(chosen)])
        left = tuple([order - own for order, own in zip(rest, chosen, strict=True)])
        term = slope(own_orders) * (weight * log_derivative_factor(slope, left))
        total = term if total is None else total + term
    return total


def _digamma(x: Ref, order: int) -> Ref:
    """The derivative of digamma of that order."""
    z: Ref = do.polygamma(x, n=order) if order else do.digamma(x)
    return z


# --- gamma ----------------------------------------------------------------------------------------


def _gamma_density(a: Ref, x: Ref) -> Ref:
    """The derivative in x: x^(a - 1) exp(-x) / gamma(a)."""
    density: Ref = do.exp(do.xlogy(a - 1.0, x) - x - do.lgamma(a))
    return density


def _gamma_density_derivative(t: Ref, a: Ref, x: Ref, n: int) -> Ref:
    """T times the n-th derivative of the density in a."""

    def slope(orders: Orders) -> Ref:
        own = -_digamma(a, orders[0] - 1)
        logarithm: Ref = do.log(x)
        return own + logarithm if orders == (1,) else own

    factor: Ref = log_derivative_factor(slope, (n,))
    return t * (_gamma_density(a, x) * factor)


def _order_in_range(name: str, order: int, least: int) -> None:
    if not least <= order <= _MAX_ORDER:
        raise AttributeFault(
            f"attribute {name!r} must be between {least} and {_MAX_ORDER}, got {order}"
        )


_floating = elementwise_of(FLOATING)


def _gamma_type(a: ArrayType, x: ArrayType, *, n: int) -> ArrayType:
    _order_in_range("n", n, 1)
    return _floating(a, x)


def _run_gamma_derivative(k: Kernels, *, n: int) -> Callable[[Array, Array], Array]:
    """The lower integral in y, t = x exp(-y); beyond the mean minus the upper one, t = x + y."""
    xp, special = k.xp, k.special
    digammas = [run_polygamma(k, n=order) for order in range(n)]

    def run(a: Array, x: Array) -> Array:
        a, x = xp.broadcast_arrays(xp.asarray(a), xp.asarray(x))
        one = x.dtype.type(1)
        inside = (x > 0) & (x < np.inf) & (a > 0)
        places, shape = xp.where(inside, x, one), xp.where(inside, a, one)
        upper = (places > 1) & (places > shape)
        slopes = [-digamma(shape) for digamma in digammas]
        logarithm = xp.log(places)
        root = xp.sqrt(shape)
        rate = xp.where(
            upper,
            xp.maximum(1 - shape / places, 1 / xp.sqrt(places)),
            xp.maximum(shape - places, xp.minimum(shape, root)),
        )

        def integrand(y: Array) -> Array:
            y = y / rate
            shift = xp.where(upper, xp.log1p(y / places), -y)
            exponent = xp.where(
                upper, (shape - 1) * shift - y, shape * shift - places * xp.expm1(shift)
            )
            first = logarithm + shift + slopes[0]
            factor = log_derivative_factor(
                lambda orders: first if orders == (1,) else slopes[orders[0] - 1], (n,)
            )
            return factor * xp.exp(exponent)

        power = xp.where(upper, shape - 1, shape)
        scale = xp.exp(power * logarithm - places - special.gammaln(shape)) / rate
        z = xp.where(upper, -scale, scale) * _integral(k, integrand, scale)
        bad = xp.isnan(x) | (x < 0) | ~(a > 0)
        return xp.where(inside, z, xp.where(bad, xp.nan, 0)).astype(x.dtype)

    return run


# --- beta -----------------------------------------------------------------------------------------


def _beta_density(a: Ref, b: Ref, x: Ref) -> Ref:
    """The derivative in x: x^(a - 1) (1 - x)^(b - 1) / B(a, b)."""
    beta = do.lgamma(a) + do.lgamma(b) - do.lgamma(a + b)
    density: Ref = do.exp(do.xlogy(a - 1.0, x) + do.xlog1py(b - 1.0, -x) - beta)
    return density


def _beta_density_derivative(t: Ref, a: Ref, b: Ref, x: Ref, p: int, q: int) -> Ref:
    """T times the density's derivative of orders p in a and q in b."""

    def slope(orders: Orders) -> Ref:
        in_a, in_b = orders
        own = _digamma(a + b, in_a + in_b - 1)
        if not in_b:
            own = own - _digamma(a, in_a - 1)
        if not in_a:
            own = own - _digamma(b, in_b - 1)
        if orders == (1, 0):
            own = own + do.log(x)
        return own + do.log1p(-x) if orders == (0, 1) else own

    factor: Ref = log_derivative_factor(slope, (p, q))
    return t * (_beta_density(a, b, x) * factor)


def _beta_type(a: ArrayType, b: ArrayType, x: ArrayType, *, p: int, q: int) -> ArrayType:
    _order_in_range("p", p, 0)
    _order_in_range("q", q, 0)
    if p + q < 1:
        raise AttributeFault("attributes 'p' and 'q' are both 0: that is betainc itself")
    return _floating(a, b, x)


def _run_beta_derivative(k: Kernels, *, p: int, q: int) -> Callable[[Array, Array, Array], Array]:
    """The lower integral in y, t = x exp(-y); beyond the mean the upper one, a and b swapped."""
    xp, special = k.xp, k.special
    digammas = [run_polygamma(k, n=order) for order in range(p + q)]

    def run(a: Array, b: Array, x: Array) -> Array:
        a, b, x = xp.broadcast_arrays(xp.asarray(a), xp.asarray(b), xp.asarray(x))
        inside = (x > 0) & (x < 1) & (a > 0) & (b > 0)
        half, one = x.dtype.type(0.5), x.dtype.type(1)
        places = xp.where(inside, x, half)
        of_a, of_b = xp.where(inside, a, one), xp.where(inside, b, one)
        upper = places * (of_a + of_b) > of_a
        near, far = xp.where(upper, of_b, of_a), xp.where(upper, of_a, of_b)
        end = xp.where(upper, 1 - places, places)
        slopes = _beta_slopes(digammas, of_a, of_b, p, q)
        logarithm, rest = xp.log(end), xp.log1p(-end)
        rate = xp.maximum(near - far * end / (1 - end), xp.minimum(near, xp.sqrt(near)))

        def integrand(y: Array) -> Array:
            y = y / rate
            of_t, of_rest = logarithm - y, xp.log1p(-end * xp.exp(-y))
            firsts: dict[Orders, Array] = {
                (1, 0): xp.where(upper, of_rest, of_t) + slopes.get((1, 0), 0.0),
                (0, 1): xp.where(upper, of_t, of_rest) + slopes.get((0, 1), 0.0),
            }
            factor = log_derivative_factor({**slopes, **firsts}, (p, q))
            return factor * xp.exp((far - 1) * (of_rest - rest) - near * y)

        beta = special.gammaln(near) + special.gammaln(far) - special.gammaln(near + far)
        scale = xp.exp(near * logarithm + (far - 1) * rest - beta) / rate
        z = xp.where(upper, -scale, scale) * _integral(k, integrand, scale)
        bad = ~((x >= 0) & (x <= 1) & (a > 0) & (b > 0))
        return xp.where(inside, z, xp.where(bad, xp.nan, 0)).astype(x.dtype)

    return run


def _beta_slopes(
    digammas: Sequence[Callable[[Array], Array]], a: Array, b: Array, p: int, q: int
) -> dict[Orders, Array]:
    """The derivatives of -log B(a, b), by their orders up to p and q."""
    slopes: dict[Orders, Array] = {}
    for in_a, in_b in np.ndindex(p + 1, q + 1):
        if in_a + in_b:
            digamma = digammas[in_a + in_b - 1]
            own = digamma(a + b)
            own = own if in_b else own - digamma(a)
            slopes[in_a, in_b] = own if in_a else own - digamma(b)
    return slopes


# --- rows -----------------------------------------------------------------------------------------

_A = Interval(0.5, 4.0)
_GAMMA = Domain((_A, Interval(0.2, 6.0)))
_BETA = Domain((_A, _A, Interval(0.1, 0.9)))

ROWS: tuple[Op, ...] = (
    elementwise_row(
        "gammainc",
        lambda k: k.special.gammainc,
        Partials(
            lambda t, z, a, x: t * do.gammainc_derivative(a, x, n=1),
            lambda t, z, a, x: t * _gamma_density(a, x),
        ),
        100,
        _GAMMA,
        "The integral from 0 to x of t^(a - 1) exp(-t), over gamma(a).",
    ),
    elementwise_row(
        "gammaincc",
        lambda k: k.special.gammaincc,
        Partials(
            lambda t, z, a, x: -(t * do.gammainc_derivative(a, x, n=1)),
            lambda t, z, a, x: -(t * _gamma_density(a, x)),
        ),
        100,
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
        30.0 * len(_PLACES),
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
        temporaries=20,
    ),
    elementwise_row(
        "betainc",
        lambda k: k.special.betainc,
        Partials(
            lambda t, z, a, b, x: t * do.betainc_derivative(a, b, x, p=1, q=0),
            lambda t, z, a, b, x: t * do.betainc_derivative(a, b, x, p=0, q=1),
            lambda t, z, a, b, x: t * _beta_density(a, b, x),
        ),
        200,
        _BETA,
        "The integral from 0 to x of t^(a - 1) (1 - t)^(b - 1), over that to 1.",
    ),
    elementwise_row(
        "betainc_derivative",
        _run_beta_derivative,
        Partials(
            lambda t, z, a, b, x, p, q: t * do.betainc_derivative(a, b, x, p=p + 1, q=q),
            lambda t, z, a, b, x, p, q: t * do.betainc_derivative(a, b, x, p=p, q=q + 1),
            lambda t, z, a, b, x, p, q: _beta_density_derivative(t, a, b, x, p, q),
        ),
        40.0 * len(_PLACES),
        Domain(
            _BETA.operands,
            (
                Example(((2, 1), (3,), ()), {"p": 1, "q": 0}),
                Example(((), (2,), (2,)), {"p": 1, "q": 1}),
                Example(((0,), (1,), ()), {"p": 0, "q": 1}),
            ),
        ),
        "The derivative of betainc of orders p in a and q in b, each up to 20, by quadrature: to "
        "about 1e-12 of its size, and to the rounding of a log(x).",
        type=_beta_type,
        attributes=(Attribute("p", Kind.INT), Attribute("q", Kind.INT)),
        temporaries=20,
    ),
)
