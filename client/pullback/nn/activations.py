"""Activations, element by element, under jax.nn's names; a kink has the derivative it has there.

None overflows where its value does not, and neither do its derivatives.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import pullback.numpy as pnp
from pullback.special.rows import erfc
from pullback.tracing.apply import Value
from pullback.tracing.promotion import promoted, real_floating

sigmoid, softplus, log_sigmoid = pnp.sigmoid, pnp.softplus, pnp.log_sigmoid
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946
_GELU_CUBIC = 0.044715
_GELU_END = 20.0
"""Beyond it the tanh form of gelu is x or 0 to the last bit, and so are its derivatives."""


def relu(x: Any) -> Any:
    """x where it is positive, else 0. Derivative 0 at 0."""
    value = _float(x)
    return pnp.where(pnp.less_equal(value, 0.0), 0.0, value)


def relu6(x: Any) -> Any:
    """x moved into [0, 6]. Derivative 0 at both ends."""
    value = relu(x)
    return pnp.where(pnp.greater_equal(value, 6.0), 6.0, value)


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Any:
    """x where it is not negative, else x times the slope. Derivative 1 at 0."""
    value = _float(x)
    return pnp.where(pnp.less(value, 0.0), pnp.multiply(value, negative_slope), value)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x where it is positive, else alpha (exp(x) - 1). Derivative alpha at 0."""
    value = _float(x)
    below = pnp.multiply(pnp.expm1(_not_above(value)), alpha)
    return pnp.where(pnp.greater(value, 0.0), value, below)


def selu(x: Any) -> Any:
    """`elu` scaled so that a layer keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return pnp.multiply(elu(x, _SELU_ALPHA), _SELU_SCALE)


def celu(x: Any, alpha: Any = 1.0) -> Any:
    """x where it is positive, else alpha (exp(x / alpha) - 1). Derivative 1 at 0."""
    value = _float(x)
    below = pnp.multiply(pnp.expm1(pnp.divide(_not_above(value), alpha)), alpha)
    return pnp.where(pnp.greater(value, 0.0), value, below)


def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution function of x.

    Args:
        approximate: jax.nn's default, the form with tanh (Hendrycks & Gimpel 2016); False is exact,
            torch's default.
    """
    value = _float(x)
    half = pnp.multiply(value, 0.5)
    if not approximate:
        return pnp.multiply(half, erfc(pnp.multiply(value, -sqrt(0.5))))
    inner = pnp.clip(value, -_GELU_END, _GELU_END)
    cubic = pnp.add(pnp.multiply(pnp.square(inner), _GELU_CUBIC), 1.0)
    bent = pnp.tanh(pnp.multiply(pnp.multiply(inner, cubic), sqrt(2 / pi)))
    return pnp.multiply(half, pnp.add(bent, 1.0))


def silu(x: Any) -> Any:
    """x sigmoid(x)."""
    value = _float(x)
    return pnp.multiply(value, sigmoid(value))


swish = silu


def mish(x: Any) -> Any:
    """x tanh(softplus(x))."""
    value = _float(x)
    return pnp.multiply(value, pnp.tanh(softplus(value)))


def hard_tanh(x: Any) -> Any:
    """x moved into [-1, 1]. Derivative 1 at both ends."""
    value = _float(x)
    below = pnp.where(pnp.less(value, -1.0), -1.0, value)
    return pnp.where(pnp.greater(value, 1.0), 1.0, below)


def hard_sigmoid(x: Any) -> Any:
    """relu6(x + 3) / 6."""
    return pnp.divide(relu6(pnp.add(_float(x), 3.0)), 6.0)


def hard_silu(x: Any) -> Any:
    """x hard_sigmoid(x)."""
    value = _float(x)
    return pnp.multiply(value, hard_sigmoid(value))


hard_swish = hard_silu


def soft_sign(x: Any) -> Any:
    """x / (1 + |x|)."""
    value = _float(x)
    return pnp.divide(value, pnp.add(pnp.abs(value), 1.0))


def glu(x: Any, axis: int = -1) -> Any:
    """The first half of an axis times the sigmoid of the second."""
    first, second = pnp.split(_float(x), 2, axis)
    return pnp.multiply(first, sigmoid(second))


def _float(x: Any) -> Value:
    return promoted(real_floating, (x,))[0]


def _not_above(value: Value) -> Any:
    """The value where it is not positive, else 0: what an exponential may be taken of."""
    return pnp.where(pnp.greater(value, 0.0), 0.0, value)
