"""Exponentials, logarithms, trigonometric and hyperbolic functions, and what stands beside them.

In derivatives `t` is a tangent or a cotangent, `z` the result, `x` and `y` the operands; a form
that reuses `z` is taken where it stays right at the ends of the domain.
"""

from __future__ import annotations

from math import log

from pullback_graph.op import Op, Partials
from pullback_graph.ops.rules import (
    INEXACT,
    constant_like,
    elementwise_of,
    elementwise_row,
    reals,
)
from pullback_graph.ref import Ref, do

_INF = float("inf")
_inexact = elementwise_of(INEXACT)


def _circle(x: Ref) -> Ref:
    """The square root of 1 - x²."""
    root: Ref = do.sqrt(1.0 - do.square(x))
    return root


def _difference_in_log(z: Ref, x: Ref, y: Ref) -> Ref:
    """The difference x - y, or 0 where both are -infinity."""
    difference: Ref = do.where(do.equal(z, -_INF), constant_like(x, 0.0), x - y)
    return difference


ROWS: tuple[Op, ...] = (
    # --- exponentials and logarithms --------------------------------------------------------------
    elementwise_row(
        "exp",
        lambda k: k.xp.exp,
        Partials(lambda t, z, x: t * z),
        10,
        reals(1, special=(0.0, _INF, -_INF)),
        "e to the power x.",
        type=_inexact,
    ),
    elementwise_row(
        "expm1",
        lambda k: k.xp.expm1,
        Partials(lambda t, z, x: t * (z + 1.0)),
        12,
        reals(1, special=(0.0, 1e-9, _INF, -_INF)),
        "exp(x) - 1, accurate near 0.",
    ),
    elementwise_row(
        "log",
        lambda k: k.xp.log,
        Partials(lambda t, z, x: t / x),
        10,
        reals(1, 0.3, 3.0, special=(0.0, 1.0, _INF)),
        "The natural logarithm; -infinity at 0, NaN below; of a complex x, its imaginary part in "
        "(-pi, pi].",
        type=_inexact,
    ),
    elementwise_row(
        "log1p",
        lambda k: k.xp.log1p,
        Partials(lambda t, z, x: t / (x + 1.0)),
        12,
        reals(1, -0.7, 2.0, special=(0.0, 1e-9, -1.0, _INF)),
        "log(1 + x), accurate near 0.",
    ),
    elementwise_row(
        "log2",
        lambda k: k.xp.log2,
        Partials(lambda t, z, x: (1.0 / log(2.0)) * t / x),
        10,
        reals(1, 0.3, 3.0, special=(0.0, 1.0, _INF)),
        "The logarithm to base 2.",
        type=_inexact,
    ),
    elementwise_row(
        "log10",
        lambda k: k.xp.log10,
        Partials(lambda t, z, x: (1.0 / log(10.0)) * t / x),
        10,
        reals(1, 0.3, 3.0, special=(0.0, 1.0, _INF)),
        "The logarithm to base 10.",
        type=_inexact,
    ),
    elementwise_row(
        "logaddexp",
        lambda k: k.xp.logaddexp,
        Partials(
            lambda t, z, x, y: t * do.sigmoid(_difference_in_log(z, x, y)),
            lambda t, z, x, y: t * do.sigmoid(-_difference_in_log(z, x, y)),
        ),
        25,
        reals(2, special=(0.0, 1.0, -_INF)),
        "log(exp(x) + exp(y)) without overflow. Derivative 1/2 each where both are -infinity.",
    ),
    # --- trigonometric ----------------------------------------------------------------------------
    elementwise_row(
        "sin",
        lambda k: k.xp.sin,
        Partials(lambda t, z, x: t * do.cos(x)),
        15,
        reals(1, special=(0.0,)),
        "The sine of x radians.",
        type=_inexact,
    ),
    elementwise_row(
        "cos",
        lambda k: k.xp.cos,
        Partials(lambda t, z, x: -(t * do.sin(x))),
        15,
        reals(1, special=(0.0,)),
        "The cosine of x radians.",
        type=_inexact,
    ),
    elementwise_row(
        "tan",
        lambda k: k.xp.tan,
        Partials(lambda t, z, x: t * (do.square(z) + 1.0)),
        20,
        reals(1, -1.2, 1.2, special=(0.0,)),
        "The tangent of x radians.",
        type=_inexact,
    ),
    elementwise_row(
        "asin",
        lambda k: k.xp.arcsin,
        Partials(lambda t, z, x: t / _circle(x)),
        20,
        reals(1, -0.9, 0.9, special=(0.0, 1.0, -1.0)),
        "The inverse sine, in radians; NaN outside [-1, 1]. Derivative infinite at -1 and 1.",
    ),
    elementwise_row(
        "acos",
        lambda k: k.xp.arccos,
        Partials(lambda t, z, x: -(t / _circle(x))),
        20,
        reals(1, -0.9, 0.9, special=(0.0, 1.0, -1.0)),
        "The inverse cosine, in radians; NaN outside [-1, 1]. Derivative -infinite at -1 and 1.",
    ),
    elementwise_row(
        "atan",
        lambda k: k.xp.arctan,
        Partials(lambda t, z, x: t / (do.square(x) + 1.0)),
        20,
        reals(1, special=(0.0, _INF, -_INF)),
        "The inverse tangent, in radians.",
    ),
    elementwise_row(
        "atan2",
        lambda k: k.xp.arctan2,
        Partials(
            lambda t, z, x, y: t / do.square(do.hypot(x, y)) * y,
            lambda t, z, x, y: -(t / do.square(do.hypot(x, y)) * x),
        ),
        25,
        reals(2, special=(0.0, 1.0, -1.0)),
        "The angle of the point whose abscissa is y and whose ordinate is x, in radians. "
        "Derivative NaN at the origin.",
    ),
    elementwise_row(
        "hypot",
        lambda k: k.xp.hypot,
        Partials(
            lambda t, z, x, y: do.divide_no_nan(t, z) * x,
            lambda t, z, x, y: do.divide_no_nan(t, z) * y,
        ),
        8,
        reals(2, special=(0.0, 1.0, -1.0)),
        "The square root of x² + y² without overflow. Derivative 0 at the origin.",
    ),
    # --- hyperbolic -------------------------------------------------------------------------------
    elementwise_row(
        "sinh",
        lambda k: k.xp.sinh,
        Partials(lambda t, z, x: t * do.cosh(x)),
        15,
        reals(1, special=(0.0,)),
        "The hyperbolic sine.",
        type=_inexact,
    ),
    elementwise_row(
        "cosh",
        lambda k: k.xp.cosh,
        Partials(lambda t, z, x: t * do.sinh(x)),
        15,
        reals(1, special=(0.0,)),
        "The hyperbolic cosine.",
        type=_inexact,
    ),
    elementwise_row(
        "tanh",
        lambda k: k.xp.tanh,
        Partials(lambda t, z, x: t * (1.0 - do.square(z))),
        15,
        reals(1, special=(0.0, _INF, -_INF)),
        "The hyperbolic tangent.",
        type=_inexact,
    ),
    elementwise_row(
        "asinh",
        lambda k: k.xp.arcsinh,
        Partials(lambda t, z, x: t / do.hypot(x, 1.0)),
        20,
        reals(1, special=(0.0, _INF, -_INF)),
        "The inverse hyperbolic sine.",
    ),
    elementwise_row(
        "acosh",
        lambda k: k.xp.arccosh,
        Partials(lambda t, z, x: t / do.sinh(z)),
        20,
        reals(1, 1.2, 3.0, special=(1.0, _INF)),
        "The inverse hyperbolic cosine; NaN below 1. Derivative infinite at 1.",
    ),
    elementwise_row(
        "atanh",
        lambda k: k.xp.arctanh,
        Partials(lambda t, z, x: t / (1.0 - do.square(x))),
        20,
        reals(1, -0.9, 0.9, special=(0.0, 1.0, -1.0)),
        "The inverse hyperbolic tangent; NaN outside [-1, 1]. Derivative infinite at -1 and 1.",
    ),
)
