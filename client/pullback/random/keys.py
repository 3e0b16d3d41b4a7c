"""Keys: two words of 32 bits, in an array like any other; what is drawn is a function of them.

Many keys may stand in one array (..., 2): each then draws its own.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback.numpy.axes import as_shape
from pullback.tracing.apply import Value, apply, as_value, cast
from pullback_graph.errors import DTypeError, ShapeError
from pullback_graph.types import DTYPES, Shape

_WORD = (1 << 32) - 1
_UINT32, _UINT64 = DTYPES["uint32"], DTYPES["uint64"]


def key(seed: Any) -> Any:
    """The key of a seed: its 64 bits as two words (2,), uint32, the high one first.

    Args:
        seed: an integer (or an array of them, for as many keys), negative ones modulo 2^64.

    Raises:
        DTypeError: it is no integer, or of more than 64 bits.
    """
    if type(seed) is int:
        if not -(1 << 63) <= seed < 1 << 64:
            raise DTypeError(f"the seed {seed} has more than 64 bits; take it modulo 2**64")
        return np.array([seed >> 32 & _WORD, seed & _WORD], _UINT32)
    value = as_value(seed)
    if value.dtype.kind not in "iu":
        raise DTypeError(f"a seed is an integer, got {value.dtype.name}; cast with astype")
    whole = cast(value, _UINT64)
    words = [pnp.floor_divide(whole, _UINT64.type(1 << 32)), whole]
    return apply("stack", *[cast(word, _UINT32) for word in words], axis=value.ndim)


def split(key: Any, num: Any = 2) -> Any:
    """New keys (..., num, 2), independent of each other and of what the key draws.

    Args:
        num: how many, or a shape of them.

    Raises:
        ShapeError: a size is negative.
    """
    keys, shape = as_key(key), as_shape(num)
    if min(shape, default=0) < 0:
        raise ShapeError(f"{num} keys; give a number that is not negative")
    counts = np.arange(prod(shape), dtype=_UINT64).reshape(shape)
    lead = keys.ndim - 1
    spread = apply("expand_dims", keys, axes=tuple(range(lead, lead + len(shape))))
    return apply("random_fold_in", spread, counts)


def fold_in(key: Any, data: Any) -> Any:
    """The key of a key and an integer (a step's number, say); many of either broadcast."""
    return apply("random_fold_in", as_key(key), as_value(data))


def as_key(key: Any) -> Value:
    """A key, or many, as an operand.

    Raises:
        DTypeError, ShapeError: it is none.
    """
    value = as_value(key)
    if value.dtype.kind not in "iu":
        raise DTypeError(f"a key is of integers, got {value.dtype.name}; make one with key(seed)")
    if value.shape[-1:] != (2,):
        raise ShapeError(f"a key has shape (2,), got {value.shape}; make one with key(seed)")
    return value


def drawn_shape(key: Value, shape: Any) -> Shape:
    """The shape of what keys draw: an axis for each axis of keys, then their own."""
    return key.shape[:-1] + as_shape(shape)


def broadcast_shape(key: Value, shape: Any, *parameters: Value) -> Shape:
    """The shape of what keys draw for parameters, which broadcast to it.

    Raises:
        ShapeError: they do not, or `shape` is None where there are many keys.
    """
    own = pnp.broadcast_shapes(*[item.shape for item in parameters])
    if shape is None:
        if key.ndim > 1:
            raise ShapeError(f"{key.shape[:-1]} keys draw for parameters {own}; give the shape=")
        return own
    whole = drawn_shape(key, shape)
    if pnp.broadcast_shapes(own, whole) != whole:
        raise ShapeError(
            f"parameters of shape {own} do not broadcast to {whole}; give a larger shape"
        )
    return whole


def own_shape(key: Value, whole: Shape) -> Shape:
    """What each key draws of a whole that begins with the axes of the keys."""
    return whole[key.ndim - 1 :]
