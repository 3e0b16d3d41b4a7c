"""Elementwise functions made of several rows: choosing, rounding, and what NumPy has besides."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, log, pi
from typing import Any

import numpy as np

from pullback.numpy.elementwise import (
    abs,
    add,
    bitwise_or,
    divide,
    equal,
    floor_divide,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    pow,
    reciprocal,
    remainder,
    rint,
    softplus,
    subtract,
)
from pullback.tracing.apply import Value, apply, as_value, cast
from pullback.tracing.promotion import boolean, common, floating, promoted
from pullback_graph.errors import TraceError

_SINC = [(-1) ** k / factorial(2 * k + 1) for k in range(9)]
"""The Taylor coefficients of sin(x) / x in x²."""

# --- choosing -------------------------------------------------------------------------------------


def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """x where the condition is true, else y. What is not chosen does not reach the derivative.

    Raises:
        TraceError: only a condition is given: how many places it has depends on the data.
    """
    if x is None or y is None:
        raise TraceError(
            "where(condition) alone has a shape that depends on the data; "
            "use where(condition, x, y), or multiply by the condition and sum"
        )
    (chosen,) = promoted(boolean, (condition,))
    return apply("where", chosen, *promoted(common, (x, y)))


def clip(
    x: Any, /, min: Any = None, max: Any = None, *, a_min: Any = None, a_max: Any = None
) -> Any:
    """x moved into [min, max]; None leaves an end open. `a_min` and `a_max` are NumPy's names."""
    low = a_min if min is None else min
    high = a_max if max is None else max
    if low is None:
        return as_value(x) if high is None else minimum(x, high)
    if high is None:
        return maximum(x, low)
    return apply("clip", *promoted(common, (x, low, high)))


def select(conditions: Sequence[Any], choices: Sequence[Any], default: Any = 0) -> Any:
    """For each place the choice whose condition is the first to be true, else `default`."""
    result = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = where(condition, choice, result)
    return result


def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """x with NaN and the infinities replaced (by 0 and the dtype's largest numbers)."""
    (value,) = promoted(common, (x,))
    if value.dtype.kind == "c":
        parts = apply("real", value), apply("imag", value)
        return apply("complex", *[nan_to_num(x, copy, nan, posinf, neginf) for x in parts])
    if value.dtype.kind != "f":
        return value
    bounds = np.finfo(value.dtype)
    high = np.asarray(bounds.max if posinf is None else posinf, value.dtype)
    low = np.asarray(bounds.min if neginf is None else neginf, value.dtype)
    infinite = where(less(value, 0.0), low, high)
    return where(isnan(value), nan, where(isinf(value), infinite, value))


def fmax(x: Any, y: Any, /) -> Any:
    """The larger of x and y; where one is NaN, the other."""
    return where(isnan(x), y, where(isnan(y), x, maximum(x, y)))


def fmin(x: Any, y: Any, /) -> Any:
    """The smaller of x and y; where one is NaN, the other."""
    return where(isnan(x), y, where(isnan(y), x, minimum(x, y)))


def relu(x: Any, /) -> Any:
    """max(x, 0), with derivative 0 at 0."""
    return where(less_equal(x, 0), 0, x)


def heaviside(x: Any, y: Any, /) -> Any:
    """0 below zero, 1 above, and y at zero."""
    x, y = promoted(floating, (x, y))
    step = cast(greater_equal(x, 0.0), x.dtype)
    return where(isnan(x), x, where(equal(x, 0.0), y, step))


# --- comparison -----------------------------------------------------------------------------------


def isclose(
    x: Any, y: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether |x - y| <= atol + rtol |y|, infinities close to themselves alone."""
    x, y = promoted(floating, (x, y))
    near = less_equal(abs(subtract(x, y)), add(multiply(abs(y), rtol), atol))
    close = bitwise_or(logical_and(near, isfinite(y)), equal(x, y))
    if equal_nan:
        close = bitwise_or(close, logical_and(isnan(x), isnan(y)))
    return close


def allclose(
    x: Any, y: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether all elements are close, as a 0-d bool."""
    return _all_of(isclose(x, y, rtol, atol, equal_nan))


def array_equal(x: Any, y: Any) -> Any:
    """Whether shapes and all elements are equal, as a 0-d bool."""
    x, y = as_value(x), as_value(y)
    return _all_of(equal(x, y)) if x.shape == y.shape else np.False_


def signbit(x: Any, /) -> Any:
    """Whether the sign is negative, that of zero too (of NaN: false)."""
    (value,) = promoted(common, (x,))
    if value.dtype.kind != "f":
        return less(value, 0)
    return where(equal(value, 0.0), less(reciprocal(value), 0.0), less(value, 0.0))


def copysign(x: Any, y: Any, /) -> Any:
    """|x| with the sign of y."""
    x, y = promoted(floating, (x, y))
    return where(logical_xor(signbit(x), signbit(y)), negative(x), x)


# --- rounding -------------------------------------------------------------------------------------


def round(x: Any, /, decimals: int = 0) -> Any:
    """x rounded to so many decimals, halves to even; whole numbers are their own result."""
    (value,) = promoted(common, (x,))
    if value.dtype.kind in "iu" and decimals >= 0:
        return value
    if decimals == 0:
        return rint(value)
    scale = 10.0**decimals if decimals > 0 else 10.0**-decimals
    if decimals > 0:
        return divide(rint(multiply(value, scale)), scale)
    return apply("astype", multiply(rint(divide(value, scale)), scale), dtype=value.dtype)


def divmod(x: Any, y: Any, /) -> tuple[Any, Any]:
    """The floor of x / y, and what it leaves."""
    return floor_divide(x, y), remainder(x, y)


# --- NumPy's and SciPy's others -------------------------------------------------------------------


def fabs(x: Any, /) -> Any:
    """The absolute value, floating."""
    return abs(_float(x))


def exp2(x: Any, /) -> Any:
    """2 to the power x."""
    return pow(2.0, _float(x))


def logaddexp2(x: Any, y: Any, /) -> Any:
    """log2(2**x + 2**y), without overflow."""
    x, y = promoted(floating, (x, y))
    scaled = apply("logaddexp", multiply(x, log(2.0)), multiply(y, log(2.0)))
    return divide(scaled, log(2.0))


def deg2rad(x: Any, /) -> Any:
    """Degrees as radians."""
    return multiply(_float(x), pi / 180.0)


def rad2deg(x: Any, /) -> Any:
    """Radians as degrees."""
    return multiply(_float(x), 180.0 / pi)


def sinc(x: Any, /) -> Any:
    """sin(pi x) / (pi x), 1 at 0; near there by its series, so that derivatives are right."""
    angle = multiply(_float(x), pi)
    near = less(abs(angle), 0.5)
    square = multiply(*[where(near, angle, 0.0)] * 2)
    series: Any = _SINC[-1]
    for coefficient in _SINC[-2::-1]:
        series = add(multiply(series, square), coefficient)
    away = where(near, 1.0, angle)
    return where(near, series, divide(apply("sin", away), away))


def xlogy(x: Any, y: Any, /) -> Any:
    """x log(y), and 0 where x is 0 (unless y is NaN); there the derivative in x is log(y)."""
    return apply("xlogy", *promoted(floating, (x, y)))


def logit(x: Any, /) -> Any:
    """log(x / (1 - x)): the inverse of the sigmoid."""
    value = _float(x)
    return subtract(apply("log", value), apply("log1p", negative(value)))


def log_sigmoid(x: Any, /) -> Any:
    """log(sigmoid(x)), without overflow."""
    return negative(softplus(negative(_float(x))))


def _all_of(x: Any) -> Any:
    return apply("all", x, axes=tuple(range(x.ndim)), keepdims=False)


def _float(x: Any) -> Value:
    """x as a floating array."""
    return promoted(floating, (x,))[0]
