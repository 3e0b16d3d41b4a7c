"""Functions that are one row of the table applied element by element, a line each.

Operands broadcast, and are promoted by NumPy 2's rules: Python's numbers take the dtype of the
array beside them, integers become floats where the function's values are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pullback.tracing.apply import apply
from pullback.tracing.promotion import (
    Promotion,
    boolean,
    common,
    floating,
    loop_of,
    promoted,
)
from pullback_graph.errors import DTypeError
from pullback_graph.types import BOOL, DType

Unary: TypeAlias = Callable[[Any], Any]
Binary: TypeAlias = Callable[[Any, Any], Any]


def _unary(row: str, promotion: Promotion, doc: str, *, steps: bool = False) -> Unary:
    """A function of one array; whole numbers are their own result where it `steps`."""

    def function(x: Any, /) -> Any:
        (operand,) = promoted(promotion, (x,))
        if steps and operand.dtype.kind in "biu":
            return operand
        return apply(row, operand)

    function.__name__, function.__doc__ = row, doc
    return function


def _binary(row: str, promotion: Promotion, doc: str, *, of_bools: str = "") -> Binary:
    """A function of two arrays; `of_bools` is the row that bools go to instead."""

    def function(x: Any, y: Any, /) -> Any:
        operands = promoted(promotion, (x, y))
        return apply(of_bools if of_bools and operands[0].dtype == BOOL else row, *operands)

    function.__name__, function.__doc__ = row, doc
    return function


def _comparison(row: str, ufunc: np.ufunc, doc: str) -> Binary:
    promotion = loop_of(ufunc)

    def function(x: Any, y: Any, /) -> Any:
        return apply(row, *promoted(promotion, (_fitting(x, y), _fitting(y, x))))

    function.__name__, function.__doc__ = row, doc
    return function


def _fitting(x: Any, beside: Any) -> Any:
    """A Python integer too large for the integers beside it, as an array that holds it."""
    if type(x) is int and getattr(getattr(beside, "dtype", None), "kind", "?") in "iu":
        bounds = np.iinfo(beside.dtype)
        if not bounds.min <= x <= bounds.max:
            return np.asarray(x, np.int64 if -(2**63) <= x < 2**63 else np.float64)
    return x


def _bitwise(name: str, row: str, doc: str) -> Binary:
    """A logical row on bools; the language has no bits of integers."""

    def function(x: Any, y: Any, /) -> Any:
        operands = promoted(common, (x, y))
        check_bool(name, operands[0].dtype)
        return apply(row, *operands)

    function.__name__, function.__doc__ = name, doc
    return function


def check_bool(name: str, dtype: DType) -> None:
    """Refuse what is not bool.

    Raises:
        DTypeError: as said.
    """
    if dtype != BOOL:
        raise DTypeError(f"{name} works on bool here, got {dtype.name}; compare first (x != 0)")


_POWER, _RECIPROCAL = loop_of(np.power), loop_of(np.reciprocal)
_POWERS = {-1: "reciprocal", 0.5: "sqrt", 2: "square"}
"""Exponents that have rows of their own, as they have in NumPy's `**`."""

# --- arithmetic -----------------------------------------------------------------------------------

add = _binary("add", loop_of(np.add), "x + y.", of_bools="logical_or")
subtract = _binary("subtract", loop_of(np.subtract), "x - y.")
multiply = _binary("multiply", loop_of(np.multiply), "x * y.", of_bools="logical_and")
divide = _binary("divide", loop_of(np.divide), "x / y, floating.")
floor_divide = _binary("floor_divide", loop_of(np.floor_divide), "The floor of x / y.")
remainder = _binary("remainder", loop_of(np.remainder), "x - y * floor(x / y), with y's sign.")
_power = _binary("pow", _POWER, "x to the power y.")
negative = _unary("negative", loop_of(np.negative), "-x.")
positive = _unary("positive", loop_of(np.positive), "x itself.")
maximum = _binary("maximum", loop_of(np.maximum), "The larger of x and y; NaN where one is NaN.")
minimum = _binary("minimum", loop_of(np.minimum), "The smaller of x and y; NaN where one is NaN.")
sign = _unary("sign", loop_of(np.sign), "-1, 0 or 1, as x is below, at or above zero.")
square = _unary("square", loop_of(np.square), "x * x.")
floor = _unary("floor", common, "The largest whole number not above x.", steps=True)
ceil = _unary("ceil", common, "The smallest whole number not below x.", steps=True)
trunc = _unary("trunc", common, "x without its fraction.", steps=True)
rint = _unary("round", floating, "The nearest whole number; halves go to the even one.")

# --- exponentials, logarithms, powers -------------------------------------------------------------

exp = _unary("exp", floating, "e to the power x.")
expm1 = _unary("expm1", floating, "exp(x) - 1, accurate near 0.")
log = _unary("log", floating, "The natural logarithm.")
log1p = _unary("log1p", floating, "log(1 + x), accurate near 0.")
log2 = _unary("log2", floating, "The logarithm to base 2.")
log10 = _unary("log10", floating, "The logarithm to base 10.")
sqrt = _unary("sqrt", floating, "The square root.")
logaddexp = _binary("logaddexp", loop_of(np.logaddexp), "log(exp(x) + exp(y)), without overflow.")
hypot = _binary("hypot", loop_of(np.hypot), "sqrt(x² + y²), without overflow.")

# --- trigonometric and hyperbolic -----------------------------------------------------------------

sin = _unary("sin", floating, "The sine of x radians.")
cos = _unary("cos", floating, "The cosine of x radians.")
tan = _unary("tan", floating, "The tangent of x radians.")
asin = _unary("asin", floating, "The inverse sine, in radians.")
acos = _unary("acos", floating, "The inverse cosine, in radians.")
atan = _unary("atan", floating, "The inverse tangent, in radians.")
atan2 = _binary(
    "atan2", loop_of(np.arctan2), "The angle, in radians, of the point at height x and abscissa y."
)
sinh = _unary("sinh", floating, "The hyperbolic sine.")
cosh = _unary("cosh", floating, "The hyperbolic cosine.")
tanh = _unary("tanh", floating, "The hyperbolic tangent.")
asinh = _unary("asinh", floating, "The inverse hyperbolic sine.")
acosh = _unary("acosh", floating, "The inverse hyperbolic cosine.")
atanh = _unary("atanh", floating, "The inverse hyperbolic tangent.")

# --- special functions ----------------------------------------------------------------------------

sigmoid = _unary("sigmoid", floating, "1 / (1 + exp(-x)), without overflow.")
softplus = _unary("softplus", floating, "log(1 + exp(x)), without overflow.")
erf = _unary("erf", floating, "The error function.")
erfc = _unary("erfc", floating, "1 - erf(x), accurate for large x.")
lgamma = _unary("lgamma", floating, "The logarithm of the absolute value of the gamma function.")
digamma = _unary("digamma", floating, "The derivative of lgamma.")

# --- comparison and logic -------------------------------------------------------------------------

equal = _comparison("equal", np.equal, "x == y.")
not_equal = _comparison("not_equal", np.not_equal, "x != y.")
less = _comparison("less", np.less, "x < y.")
less_equal = _comparison("less_equal", np.less_equal, "x <= y.")
greater = _comparison("greater", np.greater, "x > y.")
greater_equal = _comparison("greater_equal", np.greater_equal, "x >= y.")
logical_and = _binary("logical_and", boolean, "Whether both are true (not zero).")
logical_or = _binary("logical_or", boolean, "Whether one is true (not zero).")
logical_xor = _binary("logical_xor", boolean, "Whether exactly one is true (not zero).")
logical_not = _unary("logical_not", boolean, "Whether x is false (zero).")
bitwise_and = _bitwise("bitwise_and", "logical_and", "x & y, of bools.")
bitwise_or = _bitwise("bitwise_or", "logical_or", "x | y, of bools.")
bitwise_xor = _bitwise("bitwise_xor", "logical_xor", "x ^ y, of bools.")
isnan = _unary("isnan", common, "Whether x is NaN.")
isinf = _unary("isinf", common, "Whether x is an infinity.")
isfinite = _unary("isfinite", common, "Whether x is neither NaN nor an infinity.")


# --- with a corner of their own -------------------------------------------------------------------


def pow(x: Any, y: Any, /) -> Any:
    """x to the power y; the exponents -1, 0.5 and 2 as Python numbers take their own rows."""
    row = _POWERS.get(y) if type(y) is int or type(y) is float else None
    if row is None or (getattr(x, "dtype", BOOL).kind not in "fc" and row != "square"):
        return _power(x, y)
    return apply(row, *promoted(_POWER, (x, y))[:1])


def abs(x: Any, /) -> Any:
    """The absolute value, real; of bools, themselves."""
    (operand,) = promoted(common, (x,))
    return operand if operand.dtype == BOOL else apply("abs", operand)


def reciprocal(x: Any, /) -> Any:
    """1 / x; of integers rounded towards zero, and 0 for 0."""
    (operand,) = promoted(_RECIPROCAL, (x,))
    if operand.dtype.kind in "fc":
        return apply("reciprocal", operand)
    return multiply(operand, equal(square(operand), 1))


def bitwise_invert(x: Any, /) -> Any:
    """~x, of bools."""
    (operand,) = promoted(common, (x,))
    check_bool("bitwise_invert", operand.dtype)
    return apply("logical_not", operand)
