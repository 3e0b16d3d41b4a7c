"""Complex numbers and their parts; a real array is one whose imaginary parts are zero."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from pullback.numpy.composed import where
from pullback.numpy.creation import zeros_like
from pullback.numpy.elementwise import (
    abs,
    add,
    atan2,
    divide,
    equal,
    multiply,
    not_equal,
    positive,
    square,
)
from pullback.numpy.elementwise import sign as real_sign
from pullback.tracing.apply import apply, as_value
from pullback.tracing.promotion import floating, promoted


def real(x: Any, /) -> Any:
    """The real part; of a real array, itself."""
    value = as_value(x)
    return apply("real", value) if value.dtype.kind == "c" else value


def imag(x: Any, /) -> Any:
    """The imaginary part; of a real array, zeros."""
    value = as_value(x)
    return apply("imag", value) if value.dtype.kind == "c" else zeros_like(value)


def conj(x: Any, /) -> Any:
    """The complex conjugate; of a real array, itself."""
    return apply("conj", as_value(x)) if iscomplexobj(x) else positive(x)


def angle(x: Any, /, deg: bool = False) -> Any:
    """The angle to the positive real axis, in (-pi, pi] (or in degrees). NaN derivative at 0."""
    (value,) = promoted(floating, (x,))
    radians = atan2(imag(value), real(value))
    return multiply(radians, 180.0 / pi) if deg else radians


def sign(x: Any, /) -> Any:
    """-1, 0 or 1, as x is below, at or above zero; of a complex x, x / |x|, and 0 at 0."""
    if not iscomplexobj(x):
        return real_sign(x)
    size = abs(x)
    at_zero = equal(size, 0.0)
    return where(at_zero, 0.0, divide(x, where(at_zero, 1.0, size)))


def iscomplex(x: Any, /) -> Any:
    """Whether the imaginary part is not zero."""
    return not_equal(imag(x), 0)


def isreal(x: Any, /) -> Any:
    """Whether the imaginary part is zero."""
    return equal(imag(x), 0)


def iscomplexobj(x: Any, /) -> bool:
    """Whether the dtype is complex."""
    dtype = getattr(x, "dtype", None)
    return (np.asarray(x).dtype if dtype is None else dtype).kind == "c"


def isrealobj(x: Any, /) -> bool:
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


def squared_size(x: Any) -> Any:
    """|x|², real, with its derivatives at 0 too."""
    return add(square(real(x)), square(imag(x))) if iscomplexobj(x) else square(x)
