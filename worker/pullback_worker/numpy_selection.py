"""`where` on NumPy arrays by masks of bits: `numpy.where` branches at every element.

What is not chosen leaves no trace, NaN and the sign of zero included: bits are moved, not computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

_LEAST = 4096
"""Elements from which several passes over memory cost less than a branch an element."""
_WORDS = {
    np.dtype(name): np.dtype(f"i{np.dtype(name).itemsize}")
    for name in ("float32", "float64", "int32", "int64", "uint32", "uint64")
}


def where(condition: Array, x: Array, y: Array) -> Array:
    """`x` where the condition holds, else `y`, which are of one dtype; all three broadcast."""
    words = _WORDS.get(x.dtype)
    if condition.size < _LEAST or words is None:
        return np.where(condition, x, y)
    shape = condition.shape
    if not (x.ndim == 0 or x.shape == shape) or not (y.ndim == 0 or y.shape == shape):
        shape = np.broadcast_shapes(shape, x.shape, y.shape)
    z = np.empty(shape, x.dtype)
    bits, bits_x, bits_y = z.view(words), x.view(words), y.view(words)
    np.copyto(bits, condition)
    if x.ndim == 0 and not bits_x:
        np.subtract(bits, 1, out=bits)  # all ones where y is chosen
        return _and(z, bits, bits_y)
    np.negative(bits, out=bits)  # all ones where x is chosen
    if y.ndim == 0 and not bits_y:
        return _and(z, bits, bits_x)
    np.bitwise_and(bits, bits_x ^ bits_y, out=bits)
    np.bitwise_xor(bits, bits_y, out=bits)
    return z


def _and(z: Array, bits: Array, chosen: Array) -> Array:
    """`z`, whose bits are a mask, with those of `chosen` under it."""
    np.bitwise_and(bits, chosen, out=bits)
    return z
