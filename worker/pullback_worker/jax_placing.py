"""Sums of arrays placed in zeros, for XLA: written so that they become part of what is around them.

An update in place is a kernel of its own for each array. Arrays side by side are concatenated, few
small ones are padded and added, and both are fused with what makes them; the rest is updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import jax.numpy as jnp
from jax import lax

from pullback_graph.kernels import Slices
from pullback_graph.types import Shape

Array = Any

MOST_JOINED = 64
"""Arrays that one concatenation takes; the code for it grows with them."""
MOST_PADDED_ELEMENTS = 1 << 14
"""Elements of all padded arrays together."""


def placed(shape: Shape, places: Sequence[Slices], ys: Sequence[Array]) -> Array:
    """Zeros of `shape` with each of `ys` (one or more, of one dtype) added at its place."""
    filled = [(place, y) for place, y in zip(places, ys, strict=True) if y.size]
    if not filled:
        return jnp.zeros(shape, ys[0].dtype)
    if len(filled) == 1:
        return _padded(shape, *filled[0])
    axis = _axis_of_joining(shape, filled) if len(filled) <= MOST_JOINED else None
    if axis is not None:
        return _joined(shape, axis, filled)
    if len(filled) * prod(shape) <= MOST_PADDED_ELEMENTS:
        first, *others = [_padded(shape, place, y) for place, y in filled]
        return sum(others, start=first)
    z = jnp.zeros(shape, ys[0].dtype)
    for place, y in filled:
        z = z.at[place].add(y)
    return z


def _padded(shape: Shape, place: Slices, y: Array) -> Array:
    """One array in zeros."""
    backwards = tuple([axis for axis, entry in enumerate(place) if (entry.step or 1) < 0])
    ranges = [range(*entry.indices(size)) for entry, size in zip(place, shape, strict=True)]
    gaps = [
        (min(own), size - 1 - max(own), abs(own.step) - 1)
        for own, size in zip(ranges, shape, strict=True)
    ]
    zero = jnp.zeros((), y.dtype)
    return lax.pad(jnp.flip(y, backwards) if backwards else y, zero, gaps)


def _axis_of_joining(shape: Shape, filled: Sequence[tuple[Slices, Array]]) -> int | None:
    """The axis along which all arrays lie one after the other, whole along every other; or None."""
    split = {
        axis
        for place, _ in filled
        for axis, (entry, size) in enumerate(zip(place, shape, strict=True))
        if range(*entry.indices(size)) != range(size)
    }
    if len(split) != 1:
        return None
    (axis,) = split
    own = sorted([entry.indices(shape[axis]) for entry in [place[axis] for place, _ in filled]])
    apart = all([before[1] <= after[0] for before, after in pairwise(own)])
    return axis if apart and all([step == 1 for _, _, step in own]) else None


def _joined(shape: Shape, axis: int, filled: Sequence[tuple[Slices, Array]]) -> Array:
    """Arrays one after the other, zeros in the gaps."""
    parts: list[Array] = []
    end = 0
    dtype = filled[0][1].dtype
    for place, y in sorted(filled, key=lambda item: item[0][axis].indices(shape[axis])[0]):
        start, stop, _ = place[axis].indices(shape[axis])
        parts += [*_gap(shape, axis, start - end, dtype), y]
        end = stop
    return jnp.concatenate([*parts, *_gap(shape, axis, shape[axis] - end, dtype)], axis)


def _gap(shape: Shape, axis: int, size: int, dtype: Any) -> list[Array]:
    return [jnp.zeros((*shape[:axis], size, *shape[axis + 1 :]), dtype)] if size else []
