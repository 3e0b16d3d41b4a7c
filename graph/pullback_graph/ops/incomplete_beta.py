"""The incomplete beta function, with derivatives of any order in every operand; as `incomplete`.

In derivatives `t` is a tangent or a cotangent, `z` the result, `a`, `b` and `x` the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault
from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Domain, Example, Interval, Op, Partials
from pullback_graph.ops.incomplete import Orders, log_derivative_factor, order_in_range, psi
from pullback_graph.ops.quadrature import Side, by_blocks, by_sides, chosen, integral
from pullback_graph.ops.rules import (
    FLOATING,
    broadcast_axes,
    elementwise_cost,
    elementwise_of,
    elementwise_row,
)
from pullback_graph.ops.special import run_polygamma
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

_A, _B = (1, 0), (0, 1)
"""The orders of the first derivatives in a and in b."""
_floating = elementwise_of(FLOATING)

# --- the density ----------------------------------------------------------------------------------


def _run_density(k: Kernels) -> Callable[..., Array]:
    xp, special = k.xp, k.special
    gammaln = special.gammaln

    def run(a: Array, b: Array, x: Array) -> Array:
        beta = gammaln(a) + gammaln(b) - gammaln(a + b)
        return xp.exp(special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - beta)

    return by_blocks(k, run)


def _density_derivative(t: Ref, a: Ref, b: Ref, x: Ref, p: int, q: int) -> Ref:
    """T times the density's derivative of orders p in a and q in b."""

    def slope(orders: Orders) -> Ref:
        in_a, in_b = orders
        own = psi(a + b, in_a + in_b - 1)
        if not in_b:
            own = own - psi(a, in_a - 1)
        if not in_a:
            own = own - psi(b, in_b - 1)
        if orders == _A:
            own = own + do.log(x)
        return own + do.log1p(-x) if orders == _B else own

    factor: Ref = log_derivative_factor(slope, (p, q))
    return t * (do.beta_density(a, b, x) * factor)


# --- derivatives in the parameters ----------------------------------------------------------------


def _run_derivative(k: Kernels, *, p: int, q: int) -> Callable[..., Array]:
    return _run_orders(k, [(p, q)], alone=True)


def _run_slopes(k: Kernels) -> Callable[..., tuple[Array, Array]]:
    return _run_orders(k, [_A, _B], alone=False)


def _run_orders(k: Kernels, wanted: Sequence[Orders], *, alone: bool) -> Callable[..., Any]:
    """The derivatives of some orders, with the axis of them in front unless there is one alone.

    The lower integral in y, t = x exp(-y); beyond the mean the upper one, a and b swapped.
    """
    xp, side = k.xp, _side(k, wanted)

    def run(a: Array, b: Array, x: Array) -> Array:
        inside = (x > 0) & (x < 1) & (a > 0) & (b > 0)
        half, one = x.dtype.type(0.5), x.dtype.type(1)
        places = xp.where(inside, x, half)
        of_a, of_b = xp.where(inside, a, one), xp.where(inside, b, one)
        upper = places * (of_a + of_b) > of_a
        z = by_sides(k, side, upper, of_a, of_b, places, results=len(wanted))
        bad = ~((x >= 0) & (x <= 1) & (a > 0) & (b > 0))
        return xp.where(inside, z, xp.where(bad, xp.nan, 0)).astype(x.dtype)

    runs = by_blocks(k, run, results=len(wanted))
    return (lambda a, b, x: runs(a, b, x)[0]) if alone else runs


def _side(k: Kernels, wanted: Sequence[Orders]) -> Side:
    xp, gammaln = k.xp, k.special.gammaln
    highest = max([p + q for p, q in wanted])
    digammas = [run_polygamma(k, n=order) for order in range(highest)]

    def side(upper: Any, a: Array, b: Array, x: Array) -> Array:
        near, far = _swapped(k, upper, a, b)
        end = chosen(k, upper, lambda: 1 - x, lambda: x)
        logarithm, rest = xp.log(end), xp.log1p(-end)
        rate = xp.maximum(near - far * end / (1 - end), xp.minimum(near, xp.sqrt(near)))
        slope = _slopes(digammas, a, b)
        of_near, of_far = _swapped(k, upper, logarithm, xp.zeros_like(logarithm))
        offset = {
            orders: slope(orders) + own
            for orders, own in ((_A, of_near), (_B, of_far))
            if any([p >= orders[0] and q >= orders[1] for p, q in wanted])
        }

        def integrand(shift: Array) -> list[Array]:
            of_rest = xp.exp(shift)
            of_rest *= -end
            of_rest = xp.log1p(of_rest)
            exponent = of_rest - rest
            exponent *= far - 1
            exponent += near * shift
            value = xp.exp(exponent)
            in_a, in_b = _swapped(k, upper, shift, of_rest)
            first = {_A: in_a, _B: in_b}

            def whole(orders: Orders) -> Array:
                return first[orders] + offset[orders] if orders in first else slope(orders)

            return [value * log_derivative_factor(whole, orders) for orders in wanted]

        beta = gammaln(near) + gammaln(far) - gammaln(near + far)
        scale = xp.exp(near * logarithm + (far - 1) * rest - beta)
        found = integral(k, integrand, -rate, order=highest, step=1 / 8)
        signed = chosen(k, upper, lambda: -scale, lambda: scale)
        return xp.stack([signed * z for z in found])

    return side


def _swapped(k: Kernels, upper: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """The two, exchanged on the upper side."""
    return chosen(k, upper, lambda: y, lambda: x), chosen(k, upper, lambda: x, lambda: y)


def _slopes(
    digammas: Sequence[Callable[[Array], Array]], a: Array, b: Array
) -> Callable[[Orders], Array]:
    """The derivatives of -log B(a, b) by their orders, each computed once."""
    found: dict[Orders, Array] = {}
    totals: dict[int, Array] = {}

    def slope(orders: Orders) -> Array:
        if orders not in found:
            in_a, in_b = orders
            order = in_a + in_b - 1
            if order not in totals:
                totals[order] = digammas[order](a + b)
            own = totals[order] if in_b else totals[order] - digammas[order](a)
            found[orders] = own if in_a else own - digammas[order](b)
        return found[orders]

    return slope


# --- rows -----------------------------------------------------------------------------------------


def _derivative_type(a: ArrayType, b: ArrayType, x: ArrayType, *, p: int, q: int) -> ArrayType:
    order_in_range("p", p, 0)
    order_in_range("q", q, 0)
    if p + q < 1:
        raise AttributeFault("attributes 'p' and 'q' are both 0: that is betainc itself")
    return _floating(a, b, x)


def _slopes_type(a: ArrayType, b: ArrayType, x: ArrayType) -> tuple[ArrayType, ArrayType]:
    type = _floating(a, b, x)
    return type, type


def _slope(number: int, a: Ref, b: Ref, x: Ref) -> Ref:
    """The derivative in a (0) or in b (1); both are one node, wherever nodes are shared."""
    slopes: Any = do.betainc_slopes(a, b, x)
    slope: Ref = slopes[number]
    return slope


def _second(t: tuple[Ref, Ref], a: Ref, b: Ref, x: Ref) -> Sequence[tuple[Ref, Ref]]:
    """Per operand, `t` times the derivatives in it of the slopes in a and in b."""
    mixed = do.betainc_derivative(a, b, x, p=1, q=1)
    return [
        (t[0] * do.betainc_derivative(a, b, x, p=2, q=0), t[1] * mixed),
        (t[0] * mixed, t[1] * do.betainc_derivative(a, b, x, p=0, q=2)),
        (_density_derivative(t[0], a, b, x, *_A), _density_derivative(t[1], a, b, x, *_B)),
    ]


def _slopes_jvp(
    tangents: Sequence[Ref | None], z: tuple[Ref, Ref], a: Ref, b: Ref, x: Ref
) -> tuple[Ref | None, Ref | None]:
    pairs = [_second((t, t), a, b, x)[i] for i, t in enumerate(tangents) if t is not None]
    return _sum([of_a for of_a, _ in pairs]), _sum([of_b for _, of_b in pairs])


def _slopes_vjp(
    g: tuple[Ref, Ref], z: tuple[Ref, Ref], a: Ref, b: Ref, x: Ref
) -> Sequence[Ref | None]:
    return [of_a + of_b for of_a, of_b in _second(g, a, b, x)]


def _sum(terms: Sequence[Ref]) -> Ref:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


_PARAMETER = Interval(0.5, 4.0)
_DOMAIN = Domain((_PARAMETER, _PARAMETER, Interval(0.1, 0.9)))

ROWS: tuple[Op, ...] = (
    elementwise_row(
        "betainc",
        lambda k: k.special.betainc,
        Partials(
            lambda t, z, a, b, x: t * _slope(0, a, b, x),
            lambda t, z, a, b, x: t * _slope(1, a, b, x),
            lambda t, z, a, b, x: t * do.beta_density(a, b, x),
        ),
        600,
        _DOMAIN,
        "The integral from 0 to x of t^(a - 1) (1 - t)^(b - 1), over that to 1.",
    ),
    Op(
        "betainc_slopes",
        operands=3,
        type=_slopes_type,
        run=_run_slopes,
        derivative=Both(_slopes_jvp, _slopes_vjp),
        axes=broadcast_axes,
        cost=elementwise_cost(2000),
        domain=_DOMAIN,
        doc="The derivatives of betainc in a and in b, by one quadrature: to about 1e-12 of their "
        "size, and to the rounding of a log(x).",
    ),
    elementwise_row(
        "betainc_derivative",
        _run_derivative,
        Partials(
            lambda t, z, a, b, x, p, q: t * do.betainc_derivative(a, b, x, p=p + 1, q=q),
            lambda t, z, a, b, x, p, q: t * do.betainc_derivative(a, b, x, p=p, q=q + 1),
            lambda t, z, a, b, x, p, q: _density_derivative(t, a, b, x, p, q),
        ),
        1800,
        Domain(
            _DOMAIN.operands,
            (
                Example(((2, 1), (3,), ()), {"p": 1, "q": 0}),
                Example(((), (2,), (2,)), {"p": 1, "q": 1}),
                Example(((0,), (1,), ()), {"p": 0, "q": 1}),
            ),
        ),
        "The derivative of betainc of orders p in a and q in b, each up to 20, as betainc_slopes.",
        type=_derivative_type,
        attributes=(Attribute("p", Kind.INT), Attribute("q", Kind.INT)),
    ),
    elementwise_row(
        "beta_density",
        _run_density,
        Partials(
            lambda t, z, a, b, x: do.xlogy(t * z, x) + t * (z * (psi(a + b, 0) - psi(a, 0))),
            lambda t, z, a, b, x: do.xlog1py(t * z, -x) + t * (z * (psi(a + b, 0) - psi(b, 0))),
            lambda t, z, a, b, x: (
                t * (z * (do.divide_no_nan(a - 1.0, x) - do.divide_no_nan(b - 1.0, 1.0 - x)))
            ),
        ),
        120,
        _DOMAIN,
        "x^(a - 1) (1 - x)^(b - 1) over its integral from 0 to 1, the derivative of betainc in x.",
    ),
)
