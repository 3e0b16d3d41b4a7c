"""Scalar functions of the tape's rows that libm lacks, or that the rows define their own way.

Corners are those of the rows (`pullback_graph.ops`): NaN, infinities, poles and the sign of zero.
"""

from __future__ import annotations

from math import copysign, cos, exp, lgamma, log, log1p, pi, sin, tan

import numpy as np

from pullback_worker.tape_numba import jit

_INF, _NAN = float("inf"), float("nan")
_LOG_2 = log(2.0)
_FAR = 10.0
"""From here on the gamma functions' asymptotic series hold to the last bit but one."""


# --- arithmetic -----------------------------------------------------------------------------------


@jit
def quotient(x: float, y: float) -> float:
    """The ratio x / y, and 0 where y is 0."""
    return 0.0 if y == 0.0 else x / y


@jit
def remainder(x: float, y: float) -> float:
    """What floor_divide leaves: it has the sign of y."""
    rest: float = np.fmod(x, y)
    if y == 0.0:
        return rest
    if rest == 0.0:
        return copysign(0.0, y)
    return rest + y if (y < 0.0) != (rest < 0.0) else rest


@jit
def floor_divide(x: float, y: float) -> float:
    """The quotient rounded down, from the remainder, as NumPy finds it."""
    if y == 0.0:
        return x / y
    rest: float = np.fmod(x, y)
    whole = (x - rest) / y
    if rest != 0.0 and (y < 0.0) != (rest < 0.0):
        whole -= 1.0
    if whole == 0.0:
        return copysign(0.0, x / y)
    lower: float = np.floor(whole)
    return lower + 1.0 if whole - lower > 0.5 else lower


@jit
def power(x: float, y: float) -> float:
    """The base x to the power y; a square is rounded once."""
    return x * x if y == 2.0 else x**y


@jit
def power_slope(x: float, y: float) -> float:
    """The derivative of x^y by x: y x^(y-1), the base such that 0 does not meet infinity."""
    if y == 0.0 and x == 0.0:
        return 0.0
    slope: float = y * power(x, y - 1.0)
    return slope


@jit
def power_bend(x: float, y: float) -> float:
    """The second derivative of x^y by x."""
    if y == 0.0 and x == 0.0:
        return 0.0
    bend: float = y * power_slope(x, y - 1.0)
    return bend


@jit
def log_of_base(x: float) -> float:
    """The logarithm that the derivative of x^y by y takes: 0 at 0."""
    return 0.0 if x == 0.0 else log(x)


@jit
def share(x: float, y: float) -> float:
    """What of a derivative goes to x when it is held against y: 1, 1/2 or 0."""
    return 1.0 if x > y else 0.5 if x == y else 0.0


@jit
def larger(x: float, y: float) -> float:
    """The larger of two, NaN where either is NaN."""
    return x if x >= y or x != x else y


@jit
def smaller(x: float, y: float) -> float:
    """The smaller of two, NaN where either is NaN."""
    return x if x <= y or x != x else y


@jit
def sign(x: float) -> float:
    """One of -1, 0 and 1; NaN for NaN."""
    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0 if x == 0.0 else x


# --- the circle -----------------------------------------------------------------------------------

_PER_QUARTER = 6.36619772367581382433e-01
_QUARTER_1, _QUARTER_2 = 1.57079632673412561417e00, 6.07710050630396597660e-11
_QUARTER_REST = 2.02226624879595063154e-21
"""Pi/2 as a sum: two parts of 33 bits, exact times small integers, and the rest."""
_REDUCED_BELOW = 1e5
"""Beyond, libm's own reduction by pi/2 is needed."""


@jit
def sine_and_cosine(x: float) -> tuple[float, float]:
    """Both at once, each within an ulp: reduced to a quarter turn, then by polynomials.

    Source: Cody & Waite 1980, chapter 8 (the reduction); the coefficients are the minimax ones of
    Sun's fdlibm (k_sin, k_cos).
    """
    if not abs(x) < _REDUCED_BELOW:
        return sin(x), cos(x)
    turns: float = np.rint(x * _PER_QUARTER)
    high = x - turns * _QUARTER_1
    middle = high - turns * _QUARTER_2
    low = turns * _QUARTER_REST - ((high - middle) - turns * _QUARTER_2)
    y = middle - low
    tail = (middle - y) - low
    sine, cosine = _quarter(y, tail)
    quadrant = np.int64(turns)
    if quadrant & 1:
        sine, cosine = cosine, -sine
    if quadrant & 2:
        sine, cosine = -sine, -cosine
    return sine, cosine


@jit
def _quarter(y: float, tail: float) -> tuple[float, float]:
    """Sine and cosine of y + tail, y between -pi/4 and pi/4."""
    w = y * y
    odd = 2.75573137070700676789e-06 + w * (
        -2.50507602534068634195e-08 + w * 1.58969099521155010221e-10
    )
    odd = 8.33333333332248946124e-03 + w * (-1.98412698298579493134e-04 + w * odd)
    cube = w * y
    sine = y - ((w * (0.5 * tail - cube * odd) - tail) + cube * 1.66666666666666324348e-01)
    even = -2.75573143513906633035e-07 + w * (
        2.08757232129817482790e-09 + w * -1.13596475577881948265e-11
    )
    even = 4.16666666666666019037e-02 + w * (
        -1.38888888888741095749e-03 + w * (2.48015872894767294178e-05 + w * even)
    )
    half = 0.5 * w
    near = 1.0 - half
    return sine, near + (((1.0 - near) - half) + (w * (w * even) - y * tail))


# --- exponentials ---------------------------------------------------------------------------------


@jit
def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + exp(-x))
    tail = exp(x)
    return tail / (1.0 + tail)


@jit
def logaddexp(x: float, y: float) -> float:
    """The logarithm of exp(x) + exp(y), without overflow."""
    if x == y:
        return x + _LOG_2
    if x > y:
        return x + log1p(exp(y - x))
    if x < y:
        return y + log1p(exp(x - y))
    return x + y


@jit
def log_gap(z: float, x: float, y: float) -> float:
    """The difference x - y, or 0 where both are -infinity."""
    return 0.0 if z == -_INF else x - y


# --- the gamma function's family ------------------------------------------------------------------


@jit
def log_gamma(x: float) -> float:
    """The logarithm of the absolute value of the gamma function."""
    return x if x == -_INF else lgamma(x)


@jit
def off_whole(x: float) -> float:
    """How far x is from the nearest whole number, signed: cot and sin of pi x are those of this."""
    rest: float = x - np.floor(x)
    return rest - 1.0 if rest > 0.5 else rest


@jit
def digamma(x: float) -> float:
    """The derivative of lgamma.

    Source: Abramowitz & Stegun 1964, equations 6.3.5, 6.3.7 and 6.3.18.
    """
    if x <= 0.0 and x == np.floor(x):
        return copysign(_INF, -x) if x == 0.0 else _NAN
    total = 0.0
    if x <= 0.0:
        rest = off_whole(x)
        total = 0.0 if rest == 0.5 else -pi / tan(pi * rest)
        x = 1.0 - x
    while x < _FAR:
        total -= 1.0 / x
        x += 1.0
    w = 1.0 / (x * x)
    series = 1.0 / 12 - w * (1.0 / 120 - w * (1.0 / 252 - w * (1.0 / 240 - w * (1.0 / 132))))
    if x < 1e9:
        series -= w**5 * (691.0 / 32760 - w * (1.0 / 12))
    return total + (log(x) - 0.5 / x - w * series)


@jit
def trigamma(x: float) -> float:
    """The derivative of digamma; infinite at its poles.

    Source: Abramowitz & Stegun 1964, equations 6.4.6, 6.4.7 and 6.4.12.
    """
    if x <= 0.0 and x == np.floor(x):
        return _INF
    total, direction = 0.0, 1.0
    if x <= 0.0:
        sine = sin(pi * off_whole(x))
        total, direction = (pi / sine) ** 2, -1.0
        x = 1.0 - x
    while x < _FAR:
        total += direction / (x * x)
        x += 1.0
    w = 1.0 / (x * x)
    tail = w * (1.0 / 30 - w * (5.0 / 66 - w * (691.0 / 2730 - w * (7.0 / 6))))
    series = 1.0 / 6 - w * (1.0 / 30 - w * (1.0 / 42 - tail))
    return total + direction * (1.0 / x + 0.5 * w + series * w / x)


@jit
def tetragamma(x: float) -> float:
    """The second derivative of digamma; -infinite at its poles.

    Source: as trigamma, differentiated.
    """
    if x <= 0.0 and x == np.floor(x):
        return -_INF
    total = 0.0
    if x <= 0.0:
        rest = pi * off_whole(x)
        total = -2.0 * cos(rest) * (pi / sin(rest)) ** 3
        x = 1.0 - x
    while x < _FAR:
        total -= 2.0 / (x * x * x)
        x += 1.0
    w = 1.0 / (x * x)
    tail = w * (3.0 / 10 - w * (5.0 / 6 - w * (691.0 / 210 - w * (35.0 / 2))))
    series = 0.5 - w * (1.0 / 6 - w * (1.0 / 6 - tail))
    return total - w * (1.0 + 1.0 / x + w * series)
