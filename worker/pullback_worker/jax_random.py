"""Threefry-2x32 of 20 rounds over jax.numpy: the same bits as on NumPy, by the same constants.

Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from pullback_graph.threefry import PARITY, ROTATIONS
from pullback_graph.types import DType, Shape

Array: TypeAlias = Any


@jax.jit
def threefry2x32(key: Array, count: Array) -> tuple[Array, Array]:
    """The two words for keys (..., 2) of uint32 and 64-bit counts, which broadcast."""
    first, second = key[..., 0], key[..., 1]
    schedule = (first, second, first ^ second ^ jnp.uint32(PARITY))
    x = (count >> 32).astype(jnp.uint32) + first
    y = count.astype(jnp.uint32) + second
    for step in range(5):
        for rotation in ROTATIONS[step % 2]:
            x = x + y
            y = ((y << rotation) | (y >> (32 - rotation))) ^ x
        x = x + schedule[(step + 1) % 3]
        y = y + schedule[(step + 2) % 3] + jnp.uint32(step + 1)
    return x, y


def random_bits(key: Array, shape: Shape, dtype: DType) -> Array:
    """Bits of `shape`, each a function of its key and of its position among what the key draws."""
    words = jnp.asarray(key).astype(jnp.uint32)
    lead = words.shape[:-1]
    own = prod(shape[len(lead) :])
    x, y = threefry2x32(words[..., None, :], jnp.arange(own, dtype=jnp.uint64))
    if dtype.itemsize < 8:
        return (x ^ y).astype(dtype).reshape(shape)
    return ((x.astype(jnp.uint64) << 32) | y.astype(jnp.uint64)).reshape(shape)


def random_fold_in(key: Array, data: Array) -> Array:
    """New keys, from keys (..., 2) and integers that broadcast."""
    words = jnp.asarray(key).astype(jnp.uint32)
    return jnp.stack(threefry2x32(words, jnp.asarray(data).astype(jnp.uint64)), -1)
