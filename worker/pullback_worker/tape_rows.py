"""What each row of a tape computes: value, partials and second partials, as expressions.

`x`, `y` are the operands, `z` the value, `a`, `b` the partials by x and y, `aa`, `ab`, `bb` the
second ones. They mirror `pullback_graph.ops`; the machine's code is made of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """The expressions of one row; an empty one is zero.

    A row without partials passes no derivative on (its derivative is Zero). `given` is a statement
    that comes first.
    """

    z: str
    a: str = ""
    b: str = ""
    aa: str = ""
    ab: str = ""
    bb: str = ""
    given: str = ""


def _truth(condition: str) -> Row:
    return Row(f"1.0 if {condition} else 0.0")


ROWS: dict[str, Row] = {
    # --- arithmetic -------------------------------------------------------------------------------
    "divide": Row("x / y", "1.0 / y", "-(a * z)", ab="-(a * a)", bb="-2.0 * b * a"),
    "divide_no_nan": Row(
        "quotient(x, y)", "quotient(1.0, y)", "-(a * z)", ab="-(a * a)", bb="-2.0 * b * a"
    ),
    "floor_divide": Row("floor_divide(x, y)"),
    "remainder": Row("remainder(x, y)", "1.0", "-floor_divide(x, y)"),
    "pow": Row(
        "power(x, y)",
        "power_slope(x, y)",
        "z * log_of_base(x)",
        "power_bend(x, y)",
        "1.0 if x == 0.0 and y == 0.0 else power(x, y - 1.0) + a * log_of_base(x)",
        "b * log_of_base(x)",
    ),
    "negative": Row("-x", "-1.0"),
    "positive": Row("x", "1.0"),
    "abs": Row("fabs(x)", "1.0 if x >= 0.0 else -1.0"),
    "sign": Row("sign(x)"),
    "square": Row("x * x", "2.0 * x", aa="2.0"),
    "sqrt": Row("sqrt(x)", "0.5 / z", aa="-(a / z * a)"),
    "reciprocal": Row("1.0 / x", "-(z * z)", aa="-2.0 * z * a"),
    # --- exponentials and logarithms --------------------------------------------------------------
    "exp": Row("exp(x)", "z", aa="z"),
    "expm1": Row("expm1(x)", "z + 1.0", aa="a"),
    "log": Row("log(x)", "1.0 / x", aa="-(a * a)"),
    "log1p": Row("log1p(x)", "1.0 / (x + 1.0)", aa="-(a * a)"),
    "log2": Row("log2(x)", "PER_LOG_2 / x", aa="-(a / x)"),
    "log10": Row("log10(x)", "PER_LOG_10 / x", aa="-(a / x)"),
    "logaddexp": Row(
        "logaddexp(x, y)",
        "sigmoid(log_gap(z, x, y))",
        "sigmoid(-log_gap(z, x, y))",
        "0.0 if z == -INF else a * b",
        "-aa",
        "aa",
    ),
    # --- trigonometric ----------------------------------------------------------------------------
    "tan": Row("tan(x)", "z * z + 1.0", aa="2.0 * z * a"),
    "asin": Row("asin(x)", "1.0 / sqrt(1.0 - x * x)", aa="x * a * a * a"),
    "acos": Row("acos(x)", "-(1.0 / sqrt(1.0 - x * x))", aa="x * a * a * a"),
    "atan": Row("atan(x)", "1.0 / (x * x + 1.0)", aa="-2.0 * x * a * a"),
    "atan2": Row(
        "atan2(x, y)",
        "1.0 / hypot(x, y) ** 2 * y",
        "-(1.0 / hypot(x, y) ** 2 * x)",
        "2.0 * a * b",
        "b * b - a * a",
        "-2.0 * a * b",
    ),
    "hypot": Row(
        "hypot(x, y)",
        "quotient(1.0, z) * x",
        "quotient(1.0, z) * y",
        "quotient(1.0, z) * b * b",
        "-(quotient(1.0, z) * a * b)",
        "quotient(1.0, z) * a * a",
    ),
    # --- hyperbolic -------------------------------------------------------------------------------
    "sinh": Row("sinh(x)", "cosh(x)", aa="z"),
    "cosh": Row("cosh(x)", "sinh(x)", aa="z"),
    "tanh": Row("tanh(x)", "1.0 - z * z", aa="-2.0 * z * a"),
    "asinh": Row("asinh(x)", "1.0 / hypot(x, 1.0)", aa="-(x * a * a * a)"),
    "acosh": Row("acosh(x)", "1.0 / sinh(z)", aa="-(x * a * a * a)"),
    "atanh": Row("atanh(x)", "1.0 / (1.0 - x * x)", aa="2.0 * x * a * a"),
    # --- special ----------------------------------------------------------------------------------
    "sigmoid": Row("sigmoid(x)", "z * (1.0 - z)", aa="a * (1.0 - 2.0 * z)"),
    "softplus": Row("logaddexp(x, 0.0)", "sigmoid(x)", aa="a * (1.0 - a)"),
    "erf": Row("erf(x)", "exp(LOG_SLOPE_OF_ERF - x * x)", aa="-2.0 * x * a"),
    "erfc": Row("erfc(x)", "-exp(LOG_SLOPE_OF_ERF - x * x)", aa="-2.0 * x * a"),
    "lgamma": Row("log_gamma(x)", "digamma(x)", aa="trigamma(x)"),
    "digamma": Row("digamma(x)", "trigamma(x)", aa="tetragamma(x)"),
    # --- truth values -----------------------------------------------------------------------------
    "equal": _truth("x == y"),
    "not_equal": _truth("x != y"),
    "less": _truth("x < y"),
    "less_equal": _truth("x <= y"),
    "greater": _truth("x > y"),
    "greater_equal": _truth("x >= y"),
    "isnan": _truth("x != x"),
    "isinf": _truth("fabs(x) == INF"),
    "isfinite": _truth("fabs(x) < INF"),
    "logical_and": _truth("x != 0.0 and y != 0.0"),
    "logical_or": _truth("x != 0.0 or y != 0.0"),
    "logical_xor": _truth("(x != 0.0) != (y != 0.0)"),
    "logical_not": _truth("x == 0.0"),
    # --- choice -----------------------------------------------------------------------------------
    "maximum": Row("larger(x, y)", "share(x, y)", "1.0 - a"),
    "minimum": Row("smaller(x, y)", "share(y, x)", "1.0 - a"),
    "balanced_greater": Row("share(x, y)"),
    "floor": Row("round_down(x)"),
    "ceil": Row("round_up(x)"),
    "round": Row("round_even(x)"),
    "trunc": Row("round_to_zero(x)"),
}
"""By name: the rows of `pullback_graph.tape` with one operand or two that stand alone."""

GROUPS: dict[tuple[str, ...], Row] = {
    ("add", "subtract", "multiply"): Row(
        "x * y if times else x + other",
        "y if times else 1.0",
        "x if times else 1.0 if op == ADD else -1.0",
        ab="1.0 if times else 0.0",
        given="times, other = op == MULTIPLY, y if op == ADD else -y",
    ),
    ("sin", "cos"): Row(
        "sine if op == SIN else cosine",
        "cosine if op == SIN else -sine",
        aa="-z",
        given="sine, cosine = sine_and_cosine(x)",
    ),
}
"""Rows that share a case of the switch: to choose among results costs less than a jump that cannot
be foreseen. Expressions speak of opcodes by the rows' names in capitals."""

PARTS: dict[str, Row] = {
    "pow_constant": Row("power(x, y)", "power_slope(x, y)", aa="power_bend(x, y)"),
    "truth": _truth("x != 0.0"),
    "select": Row("x if v[start + i - 1] != 0.0 else y", "v[start + i - 1]", "1.0 - a"),
    "clip_low": Row("larger(x, y)", "share(x, y)", "share(y, x)"),
    "clip_high": Row("smaller(x, y)", "share(y, x)", "share(x, y)"),
}
"""What the machine adds: pow by a constant, without the derivative by it, and the two nodes that
one of three operands becomes (`where`: truth, then select, which reads the node before it; `clip`:
clip_low, then clip_high)."""
