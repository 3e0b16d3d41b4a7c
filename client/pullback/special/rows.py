"""Functions that are one row of the table, element by element, a line each.

Operands broadcast, and integers become floating, as NumPy 2 promotes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pullback.tracing.apply import apply
from pullback.tracing.promotion import floating, promoted

Elementwise: TypeAlias = Callable[..., Any]


def _row(row: str, doc: str, *, name: str = "") -> Elementwise:
    """The function that applies a row to its operands."""

    def function(*operands: Any) -> Any:
        return apply(row, *promoted(floating, operands))

    function.__name__, function.__doc__ = name or row, doc
    return function


# --- the error function and the normal distribution -----------------------------------------------

erf = _row("erf", "The error function.")
erfc = _row("erfc", "1 - erf(x), accurate for large x.")
erfinv = _row("erfinv", "The inverse of erf.")
ndtri = _row("ndtri", "The quantile of the standard normal distribution.")
log_ndtr = _row("log_ndtr", "The logarithm of ndtr(x), accurate in both tails.")

# --- the gamma function ---------------------------------------------------------------------------

gamma = _row("gamma", "The gamma function.")
gammaln = _row("lgamma", "The logarithm of the gamma function's absolute value.", name="gammaln")
digamma = _row("digamma", "The derivative of gammaln.")
gammainc = _row(
    "gammainc", "gammainc(a, x): the integral from 0 to x of t^(a - 1) exp(-t), over gamma(a)."
)
gammaincc = _row("gammaincc", "gammaincc(a, x): 1 - gammainc(a, x), accurate for large x.")
betainc = _row(
    "betainc",
    "betainc(a, b, x): the integral from 0 to x of t^(a - 1) (1 - t)^(b - 1), over that to 1.",
)

# --- logarithms and logistic functions ------------------------------------------------------------

expit = _row("sigmoid", "1 / (1 + exp(-x)), without overflow.", name="expit")
softplus = _row("softplus", "log(1 + exp(x)), without overflow.")
xlogy = _row("xlogy", "x log(y), and 0 where x is 0. There the derivative in x is log(y).")
xlog1py = _row("xlog1py", "x log(1 + y), and 0 where x is 0, as xlogy.")

# --- Bessel functions and integrals ---------------------------------------------------------------

i0 = _row("i0", "The modified Bessel function of order 0.")
i0e = _row("i0e", "i0(x) exp(-|x|), which does not overflow.")
i1 = _row("i1", "The modified Bessel function of order 1.")
i1e = _row("i1e", "i1(x) exp(-|x|), which does not overflow.")
k0 = _row("k0", "The modified Bessel function of the second kind of order 0.")
k0e = _row("k0e", "k0(x) exp(x), which does not underflow.")
k1 = _row("k1", "The modified Bessel function of the second kind of order 1.")
k1e = _row("k1e", "k1(x) exp(x), which does not underflow.")
expi = _row("expi", "The exponential integral Ei.")
exp1 = _row("exp1", "The exponential integral E1.")
spence = _row("spence", "The integral of log(t) / (1 - t) from 1 to x.")


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma; n is a Python integer from 0 to 100."""
    return apply("polygamma", *promoted(floating, (x,)), n=n)
