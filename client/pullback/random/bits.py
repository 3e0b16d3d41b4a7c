"""Bits, and what is made of them exactly: uniform numbers, integers, signs.

The same on every executor, in every shard, and as jax.random draws them (bits of Threefry-2x32).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback.random.keys import (
    as_key,
    broadcast_shape,
    drawn_shape,
    split,
)
from pullback.tracing.apply import Value, apply, as_value, cast, is_traced
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.errors import DTypeError
from pullback_graph.types import DTYPES, FLOAT64, INT64, DType, Shape, as_dtype

_INT32 = DTYPES["int32"]
"""What narrower integers are sampled in, as jax.random does: of enough bits to be alike."""


def bits(key: Any, shape: Any = (), dtype: Any = "uint32") -> Any:
    """Random bits of an unsigned dtype, of `shape` for each key."""
    keys = as_key(key)
    return _bits(keys, drawn_shape(keys, shape), as_dtype(dtype))


def uniform(
    key: Any, shape: Any = (), dtype: Any = FLOAT64, minval: Any = 0.0, maxval: Any = 1.0
) -> Any:
    """Numbers spread evenly over [minval, maxval), a multiple of 2^-52 (float32: 2^-23) in [0, 1).

    The bounds broadcast with the result and may be traced: derivatives flow through them.
    """
    keys, of = as_key(key), floating_dtype(dtype)
    unit = _unit(keys, drawn_shape(keys, shape), of)
    if (type(minval), minval, type(maxval), maxval) == (float, 0.0, float, 1.0):
        return unit
    low, high = (cast(promoted(real_floating, (end,))[0], of) for end in (minval, maxval))
    broadcast_shape(keys, shape, low, high)
    scaled = pnp.add(pnp.multiply(unit, pnp.subtract(high, low)), low)
    return pnp.maximum(low, scaled)


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Any:
    """Truth values (bool) that are true with probability p, of p's shape where None."""
    keys = as_key(key)
    (chance,) = promoted(real_floating, (p,))
    whole = broadcast_shape(keys, shape, chance)
    return pnp.less(_unit(keys, whole, chance.dtype), chance)


def rademacher(key: Any, shape: Any = (), dtype: Any = INT64) -> Any:
    """-1 or 1, each as likely."""
    signs = cast(bernoulli(key, 0.5, shape), as_dtype(dtype))
    return pnp.subtract(pnp.multiply(signs, 2), 1)


def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = INT64) -> Any:
    """Integers of [minval, maxval), minval where that is empty.

    Each is made of twice as many bits as the dtype has, which makes a part in 2^64 over the span
    (2^128 for 64 bits) the most by which one is likelier than another.

    Args:
        minval, maxval: integers that broadcast with the result.

    Raises:
        DTypeError: the dtype or a bound is no integer.
    """
    keys, of = as_key(key), as_dtype(dtype)
    if of.kind not in "iu":
        raise DTypeError(f"randint draws integers, not {of.name}; give an integer dtype")
    sampled = of if of.itemsize >= _INT32.itemsize else _INT32
    low, high, past = _bounds(minval, maxval, of, sampled)
    whole = broadcast_shape(keys, shape, low, high)
    unsigned = DTYPES[f"uint{8 * sampled.itemsize}"]
    empty = pnp.greater_equal(low, high)
    span = pnp.where(empty, unsigned.type(1), cast(pnp.subtract(high, low), unsigned))
    if past:  # one more; of the whole range that is 0
        span = pnp.where(empty, span, pnp.add(span, unsigned.type(1)))
    halves = split(keys)
    first, second = (
        _bits(pnp.take(halves, i, axis=keys.ndim - 1), whole, unsigned) for i in (0, 1)
    )
    offset = _modulo(first, second, span, unsigned)
    every = pnp.equal(span, unsigned.type(0))
    offset = cast(pnp.where(every, second, offset), sampled)
    return cast(pnp.add(low, offset), of)


def floating_dtype(dtype: Any) -> DType:
    """A real floating dtype.

    Raises:
        DTypeError: it is none.
    """
    found = as_dtype(dtype)
    if found.kind != "f":
        raise DTypeError(f"needs a floating dtype, got {found.name}; give float32 or float64")
    return found


def _bits(keys: Value, whole: Shape, dtype: DType) -> Value:
    found: Value = apply("random_bits", keys, shape=whole, dtype=dtype)
    return found


def _unit(keys: Value, whole: Shape, dtype: DType) -> Value:
    """The high bits as a fraction of [0, 1), which holds them exactly."""
    digits = np.finfo(dtype).nmant
    word = DTYPES[f"uint{8 * dtype.itemsize}"]
    shift = word.type(1 << (8 * dtype.itemsize - digits))
    high = apply("floor_divide", _bits(keys, whole, word), np.asarray(shift))
    unit: Value = pnp.multiply(cast(high, dtype), dtype.type(2.0**-digits))
    return unit


def _modulo(first: Value, second: Value, span: Any, unsigned: DType) -> Any:
    """The number that two words are, first the high one, modulo the span."""
    half = unsigned.type(1 << (4 * unsigned.itemsize))
    root = pnp.remainder(half, span)
    carry = pnp.remainder(pnp.multiply(root, root), span)
    high = pnp.multiply(pnp.remainder(first, span), carry)
    return pnp.remainder(pnp.add(high, pnp.remainder(second, span)), span)


def _bounds(minval: Any, maxval: Any, dtype: DType, sampled: DType) -> tuple[Value, Value, bool]:
    """The bounds in the dtype that is sampled, and whether the upper one is past its largest."""
    low, high = as_value(minval), as_value(maxval)
    for bound in (low, high):
        if bound.dtype.kind not in "iu":
            raise DTypeError(f"bounds are integers, got {bound.dtype.name}; cast with astype")
    info, wider = np.iinfo(dtype), dtype != sampled
    ends = (int(info.min), int(info.max) + wider)
    past = not wider and not is_traced(high) and bool(np.any(np.greater(high, info.max)))
    return _moved(low, ends, sampled), _moved(high, ends, sampled), past


def _moved(bound: Value, ends: tuple[int, int], dtype: DType) -> Value:
    """A plain bound moved between the ends; a traced one must be there."""
    if is_traced(bound):
        return cast(bound, dtype)
    return np.asarray(np.clip(np.asarray(bound, object), *ends), dtype)
