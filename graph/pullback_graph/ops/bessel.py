"""Modified Bessel functions, exponential integrals and the dilogarithm.

In derivatives `t` is a tangent or a cotangent, `z` the result, `x` the operand. A quotient that has
a limit at a point has that value there, and no derivative of its own: there alone the third
derivative and beyond of a Bessel function, and the second of spence, are not what they should be.
"""

from __future__ import annotations

from pullback_graph.op import Op, Partials
from pullback_graph.ops.rules import constant_like, elementwise_row, reals
from pullback_graph.ref import Ref, do


def _quotient(x: Ref, y: Ref, limit: float) -> Ref:
    """x / y, and the limit where y is 0."""
    z: Ref = do.where(do.equal(y, 0.0), constant_like(x, limit), do.divide_no_nan(x, y))
    return z


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
