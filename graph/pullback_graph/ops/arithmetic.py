"""Arithmetic rows: what holds for integers and floats alike, with its corners defined by the row.

In derivatives `t` is a tangent or a cotangent, `z` the result, `x` and `y` the operands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback_graph.kernels import Kernels
from pullback_graph.op import Moves, Op, Partials, Zero
from pullback_graph.ops.domains import between
from pullback_graph.ops.rules import (
    INEXACT,
    NUMERIC,
    REAL,
    check_kind,
    constant_like,
    elementwise_of,
    elementwise_row,
    reals,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType, real_dtype

_numeric, _real, _inexact = map(elementwise_of, (NUMERIC, REAL, INEXACT))
_INF = float("inf")


# --- division --------------------------------------------------------------------


def _run_divide_no_nan(k: Kernels) -> Callable[..., Array]:
    where = k.xp.where
    return lambda x, y: where(y == 0, 0, x / where(y == 0, 1, y))


def _run_floor_divide(k: Kernels) -> Callable[..., Array]:
    """NumPy's own, and elsewhere its corners: an integer over zero, and the sign of zero."""
    xp = k.xp
    if k.name == "numpy":
        floor_divide: Callable[..., Array] = xp.floor_divide
        return floor_divide

    def run(x: Array, y: Array) -> Array:
        if x.dtype.kind == "f":
            z = xp.floor_divide(x, y)
            return xp.where(z == 0, xp.copysign(z, x / y), z)
        return xp.where(y == 0, 0, xp.floor_divide(x, xp.where(y == 0, 1, y)))

    return run


def _run_remainder(k: Kernels) -> Callable[..., Array]:
    """NumPy's own, and elsewhere its corners: an integer over zero, and the sign of zero."""
    xp = k.xp
    if k.name == "numpy":
        remainder: Callable[..., Array] = xp.remainder
        return remainder

    def run(x: Array, y: Array) -> Array:
        if x.dtype.kind == "f":
            z = xp.remainder(x, y)
            return xp.where(z == 0, xp.copysign(z, y), z)
        return xp.where(y == 0, 0, xp.remainder(x, xp.where(y == 0, 1, y)))

    return run


# --- pow ------------------------------------------------------------------------------------------


def _run_pow(k: Kernels) -> Callable[..., Array]:
    """The namespace's own for floats; for integers NumPy's, which wraps around for any exponent."""
    xp = k.xp
    own = k.name == "numpy"

    def run(x: Array, y: Array) -> Array:
        if x.dtype.kind in "fc":
            return xp.power(x, y)
        signed = x.dtype.kind == "i"
        exponent = xp.maximum(y, 0) if signed else y
        whole = xp.power(x, exponent) if own else _by_squaring(xp, x, exponent)
        if not signed:
            return whole
        root = xp.where((y & 1) == 0, x * x, x)
        return xp.where(y < 0, xp.where((x == 1) | (x == -1), root, 0), whole)

    return run


def _by_squaring(xp: Any, x: Array, y: Array) -> Array:
    """Integer x to the power y ≥ 0, a bit of y at a time."""
    z = xp.ones_like(x * y)
    for _ in range(8 * y.dtype.itemsize):
        z = xp.where((y & 1) == 1, z * x, z)
        x, y = x * x, y >> 1
    return z


def _pow_dx(t: Ref, z: Ref, x: Ref, y: Ref) -> Ref:
    """Is y x^(y-1) times t, the base such that 0 does not meet infinity where x = y = 0."""
    base: Ref = do.where(do.equal(y, 0.0), _without_zero(x), x)
    return t * (y * base ** (y - 1.0))


def _pow_dy(t: Ref, z: Ref, x: Ref, y: Ref) -> Ref:
    """Is z log(x) times t, where x is not zero."""
    logarithm: Ref = do.log(_without_zero(x))
    return t * (z * logarithm)


def _without_zero(x: Ref) -> Ref:
    """The operand with 1 in place of 0."""
    replaced: Ref = do.where(do.equal(x, 0.0), constant_like(x, 1.0), x)
    return replaced


# --- abs ------------------------------------------------------------------------------------------


def _abs_type(x: ArrayType) -> ArrayType:
    check_kind(x, NUMERIC)
    return ArrayType(real_dtype(x.dtype), x.shape)


def _abs_dx(t: Ref, z: Ref, x: Ref) -> Ref:
    """Of a complex x, Re(t conj(x)) / |x|, and its transpose."""
    if not x.type.is_complex:
        kept: Ref = do.where(x >= 0.0, t, -t)
        return kept
    if t.type.is_complex:
        return do.divide_no_nan(do.real(t * do.conj(x)), z)
    return do.astype(do.divide_no_nan(t, z), dtype=x.dtype) * do.conj(x)


# --- the rows -------------------------------------------------------------------------------------

ROWS: tuple[Op, ...] = (
    elementwise_row(
        "add",
        lambda k: k.xp.add,
        Partials(lambda t, z, x, y: t, lambda t, z, x, y: t),
        1,
        reals(2, special=(0.0,)),
        "x + y. Integers wrap around.",
        type=_numeric,
    ),
    elementwise_row(
        "subtract",
        lambda k: k.xp.subtract,
        Partials(lambda t, z, x, y: t, lambda t, z, x, y: -t),
        1,
        reals(2, special=(0.0,)),
        "x - y. Integers wrap around.",
        type=_numeric,
    ),
    elementwise_row(
        "multiply",
        lambda k: k.xp.multiply,
        Partials(lambda t, z, x, y: t * y, lambda t, z, x, y: t * x),
        1,
        reals(2, special=(0.0,)),
        "x y. Integers wrap around.",
        type=_numeric,
        moves=Moves.MULTIPLIES,
    ),
    elementwise_row(
        "divide",
        lambda k: k.xp.divide,
        Partials(lambda t, z, x, y: t / y, lambda t, z, x, y: -(t / y * z)),
        4,
        between((-2.0, 2.0), (0.5, 2.0), special=(1.0, -1.0)),
        "x / y of floats.",
        type=_inexact,
    ),
    elementwise_row(
        "divide_no_nan",
        _run_divide_no_nan,
        Partials(
            lambda t, z, x, y: do.divide_no_nan(t, y),
            lambda t, z, x, y: -(do.divide_no_nan(t, y) * z),
        ),
        5,
        between((-2.0, 2.0), (0.5, 2.0), special=(0.0, 1.0)),
        "x / y of floats, and 0 where y is 0, its derivative too.",
        type=_inexact,
    ),
    elementwise_row(
        "floor_divide",
        _run_floor_divide,
        Zero(),
        8,
        between((-5.0, 5.0), (0.5, 2.0), special=(0.0, 1.0, -3.0)),
        "The quotient rounded down. An integer divided by zero gives 0, the least integer divided "
        "by -1 gives itself. The derivative is zero.",
        type=_real,
    ),
    elementwise_row(
        "remainder",
        _run_remainder,
        Partials(
            lambda t, z, x, y: t,
            lambda t, z, x, y: -(t * do.floor_divide(x, y)),
        ),
        8,
        between((-5.0, 5.0), (0.5, 2.0), special=(1.0, -3.0)),
        "What floor_divide leaves: it has the sign of y. An integer divided by zero leaves 0. "
        "Derivative where y divides x: 1 for x and minus the quotient for y.",
        type=_real,
    ),
    elementwise_row(
        "pow",
        _run_pow,
        Partials(_pow_dx, _pow_dy),
        20,
        between((0.3, 2.0), (-2.0, 2.0), special=(0.0, 1.0, 2.0, 3.0)),
        "x to the power y. Integers: a negative exponent gives the reciprocal rounded towards "
        "zero (0 for x = 0), and the result wraps around. Derivative by x is y x^(y-1), 0 where "
        "x = y = 0; by y it is z log(x), 0 where x = 0 and y ≥ 0.",
        type=_numeric,
    ),
    elementwise_row(
        "negative",
        lambda k: k.xp.negative,
        Partials(lambda t, z, x: -t),
        1,
        reals(1, special=(0.0,)),
        "-x. Integers wrap around.",
        type=_numeric,
    ),
    elementwise_row(
        "positive",
        lambda k: k.xp.positive,
        Partials(lambda t, z, x: t),
        0,
        reals(1, special=(0.0,)),
        "x itself.",
        type=_numeric,
    ),
    elementwise_row(
        "abs",
        lambda k: k.xp.abs,
        Partials(_abs_dx),
        1,
        reals(1, special=(0.0, -0.0, 1.0, _INF, -_INF)),
        "The absolute value; of the least integer, itself; of a complex x, the real distance from "
        "0. Derivative 1 at 0, of a complex x 0 there.",
        type=_abs_type,
    ),
    elementwise_row(
        "sign",
        lambda k: k.xp.sign,
        Zero(),
        1,
        reals(1, special=(0.0, 1.0, _INF, -_INF)),
        "-1, 0 or 1; NaN for NaN. The derivative is zero.",
        type=_real,
    ),
    elementwise_row(
        "square",
        lambda k: k.xp.square,
        Partials(lambda t, z, x: 2.0 * t * x),
        1,
        reals(1, special=(0.0,)),
        "x x. Integers wrap around.",
        type=_numeric,
    ),
    elementwise_row(
        "sqrt",
        lambda k: k.xp.sqrt,
        Partials(lambda t, z, x: 0.5 * t / z),
        4,
        reals(1, 0.3, 2.0, special=(0.0, 1.0, _INF)),
        "The square root; NaN below zero, of a complex x the one to the right of the imaginary "
        "axis. Derivative infinite at 0.",
        type=_inexact,
    ),
    elementwise_row(
        "reciprocal",
        lambda k: k.xp.reciprocal,
        Partials(lambda t, z, x: -(t * do.square(z))),
        4,
        reals(1, 0.5, 2.0, special=(0.0, -1.0, _INF)),
        "1 / x.",
        type=_inexact,
    ),
)
