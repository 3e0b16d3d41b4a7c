"""Threefry-2x32 of 20 rounds on NumPy arrays, in blocks that stay in a core's cache.

Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.threefry import PARITY, ROTATIONS
from pullback_graph.types import DType, Shape

Array: TypeAlias = Any
_BLOCK = 1 << 14
"""Positions enciphered at a time."""


def threefry2x32(key: tuple[Array, Array], x: Array, y: Array) -> None:
    """Encipher the words x and y (uint32, of one shape) in place; the key's words broadcast."""
    first, second = key
    schedule = (first, second, first ^ second ^ np.uint32(PARITY))
    spare = np.empty_like(x)
    np.add(x, first, out=x)
    np.add(y, second, out=y)
    for step in range(5):
        for rotation in ROTATIONS[step % 2]:
            np.add(x, y, out=x)
            np.left_shift(y, np.uint32(rotation), out=spare)
            np.right_shift(y, np.uint32(32 - rotation), out=y)
            np.bitwise_or(y, spare, out=y)
            np.bitwise_xor(y, x, out=y)
        np.add(x, schedule[(step + 1) % 3], out=x)
        np.add(y, schedule[(step + 2) % 3] + np.uint32(step + 1), out=y)


def random_bits(key: Array, shape: Shape, dtype: DType) -> Array:
    """Bits of `shape`, each a function of its key and of its position among what the key draws."""
    lead = key.shape[:-1]
    words = key.astype(np.uint32).reshape(-1, 2, 1)
    own = prod(shape[len(lead) :])
    z = np.empty((len(words), own), dtype)
    for keys, start, stop in _blocks(len(words), own):
        count = np.arange(start, stop, dtype=np.uint64)
        x = np.empty((len(words[keys]), stop - start), np.uint32)
        y = np.empty_like(x)
        x[...] = count >> np.uint64(32)
        y[...] = count  # its low word
        threefry2x32((words[keys, 0], words[keys, 1]), x, y)
        z[keys, start:stop] = _joined(x, y, dtype)
    return z.reshape(shape)


def random_fold_in(key: Array, data: Array) -> Array:
    """New keys, from keys (..., 2) and integers that broadcast."""
    words, data = np.asarray(key).astype(np.uint32), np.asarray(data).astype(np.uint64)
    shape = np.broadcast_shapes(words.shape[:-1], data.shape)
    z = np.empty((2, *shape, 1), np.uint32)
    z[0], z[1] = (data >> np.uint64(32))[..., None], data[..., None]
    threefry2x32((words[..., :1], words[..., 1:]), z[0], z[1])
    return np.moveaxis(z[..., 0], 0, -1)


def _joined(x: Array, y: Array, dtype: DType) -> Array:
    """The two words as one number: side by side in 64 bits, else xor-ed."""
    if dtype.itemsize < 8:
        return np.bitwise_xor(x, y, out=x)
    z = x.astype(np.uint64)
    z <<= np.uint64(32)
    z |= y
    return z


def _blocks(keys: int, own: int) -> Iterator[tuple[slice, int, int]]:
    """Several keys that draw little each at a time, or parts of what one key draws."""
    if not own:
        return
    at_once = max(_BLOCK // own, 1)
    step = own if at_once > 1 else _BLOCK
    for first in range(0, keys, at_once):
        for start in range(0, own, step):
            yield slice(first, first + at_once), start, min(start + step, own)
