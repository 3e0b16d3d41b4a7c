"""Modified Bessel functions, exponential integrals and the dilogarithm.

In derivatives `t` is a tangent or a cotangent, `z` the result, `x` the operand. A quotient that has
a limit at a point has that value there, and no derivative of its own: there alone the third
derivative and beyond of a Bessel function, and the second of spence, are not what they should be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pullback_graph.kernels import Kernels
from pullback_graph.op import Op, Partials, RunRule
from pullback_graph.ops.rules import constant_like, elementwise_row, reals
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array

_PLACES = 96
"""Of the trapezoidal rule for the second kind: to rounding from _TINY on."""
_TINY = 1e-8


def _quotient(x: Ref, y: Ref, limit: float) -> Ref:
    """x / y, and the limit where y is 0."""
    z: Ref = do.where(do.equal(y, 0.0), constant_like(x, limit), do.divide_no_nan(x, y))
    return z


def _second_kind(order: int, *, scaled: bool) -> RunRule:
    """SciPy's; else the integral over t of exp(-x cosh t) cosh(order t), DLMF 10.32.9.

    The trapezoidal rule converges exponentially: the integrand is even, and falls off as exp(-exp).
    Where x is tiny, the first term of the series is exact.
    """
    name = f"k{order}{'e' if scaled else ''}"

    def run(k: Kernels) -> Callable[[Array], Array]:
        if k.name == "numpy":
            function: Callable[[Array], Array] = getattr(k.special, name)
            return function
        xp = k.xp

        def integrated(x: Array) -> Array:
            inside = (x >= _TINY) & (x < np.inf)
            safe = xp.where(inside, x, 1)
            step = xp.arccosh(1 + 45 / safe) / _PLACES
            t = step[..., None] * np.arange(_PLACES + 1, dtype=x.dtype)
            values = xp.exp(-2 * safe[..., None] * xp.square(xp.sinh(t / 2))) * xp.cosh(order * t)
            z = step * (values.sum(-1) - values[..., 0] / 2)
            small = 1 / x if order else -xp.log(x / 2) - np.euler_gamma
            small = small * (1 + x) if scaled else small
            z = xp.where(inside, z if scaled else z * xp.exp(-safe), xp.where(x > 1, 0, small))
            return xp.where(x < 0, xp.nan, z).astype(x.dtype)

        return integrated

    return run


ROWS: tuple[Op, ...] = (
    elementwise_row(
        "i0",
        lambda k: k.special.i0,
        Partials(lambda t, z, x: t * do.i1(x)),
        60,
        reals(1, special=(0.0, 20.0, -20.0)),
        "The modified Bessel function of the first kind of order 0.",
    ),
    elementwise_row(
        "i0e",
        lambda k: k.special.i0e,
        Partials(lambda t, z, x: t * (do.i1e(x) - do.sign(x) * z)),
        50,
        reals(1, special=(0.0, 20.0, -20.0)),
        "i0(x) exp(-|x|), which does not overflow.",
    ),
    elementwise_row(
        "i1",
        lambda k: k.special.i1,
        Partials(lambda t, z, x: t * (do.i0(x) - _quotient(z, x, 0.5))),
        60,
        reals(1, special=(0.0, 20.0, -20.0)),
        "The modified Bessel function of the first kind of order 1.",
    ),
    elementwise_row(
        "i1e",
        lambda k: k.special.i1e,
        Partials(lambda t, z, x: t * (do.i0e(x) - do.sign(x) * z - _quotient(z, x, 0.5))),
        50,
        reals(1, special=(0.0, 20.0, -20.0)),
        "i1(x) exp(-|x|), which does not overflow.",
    ),
    elementwise_row(
        "k0",
        _second_kind(0, scaled=False),
        Partials(lambda t, z, x: -(t * do.k1(x))),
        100,
        reals(1, 0.3, 3.0, special=(1e-3, 20.0)),
        "The modified Bessel function of the second kind of order 0; infinite at 0, NaN below.",
    ),
    elementwise_row(
        "k0e",
        _second_kind(0, scaled=True),
        Partials(lambda t, z, x: t * (z - do.k1e(x))),
        100,
        reals(1, 0.3, 3.0, special=(1e-3, 20.0)),
        "k0(x) exp(x), which does not underflow.",
    ),
    elementwise_row(
        "k1",
        _second_kind(1, scaled=False),
        Partials(lambda t, z, x: -(t * (do.k0(x) + z / x))),
        100,
        reals(1, 0.3, 3.0, special=(1e-3, 20.0)),
        "The modified Bessel function of the second kind of order 1; infinite at 0, NaN below.",
    ),
    elementwise_row(
        "k1e",
        _second_kind(1, scaled=True),
        Partials(lambda t, z, x: t * (z - do.k0e(x) - z / x)),
        100,
        reals(1, 0.3, 3.0, special=(1e-3, 20.0)),
        "k1(x) exp(x), which does not underflow.",
    ),
    elementwise_row(
        "expi",
        lambda k: k.special.expi,
        Partials(lambda t, z, x: t * do.exp(x) / x),
        60,
        reals(1, 0.3, 3.0, special=(-1.0, 20.0)),
        "The exponential integral Ei: the principal value of the integral of exp(t) / t up to x.",
    ),
    elementwise_row(
        "exp1",
        lambda k: k.special.exp1,
        Partials(lambda t, z, x: -(t * do.exp(-x) / x)),
        60,
        reals(1, 0.3, 3.0, special=(1.0, 20.0)),
        "The exponential integral E1: the integral of exp(-t) / t from x to infinity.",
    ),
    elementwise_row(
        "spence",
        lambda k: k.special.spence,
        Partials(lambda t, z, x: t * _quotient(do.log(x), 1.0 - x, -1.0)),
        60,
        reals(1, 0.3, 3.0),
        "The integral of log(t) / (1 - t) from 1 to x: the dilogarithm of 1 - x.",
    ),
)
