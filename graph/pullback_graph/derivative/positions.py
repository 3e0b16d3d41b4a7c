"""Elements of a vector taken at places known ahead: as a view where the places lie in a box."""

from __future__ import annotations

from math import prod

import numpy as np

from pullback_graph.ops.leading import permuted, reshaped
from pullback_graph.pattern import Indices
from pullback_graph.ref import Ref, do

MAX_AXES = 8
"""Axes of a box that are looked for."""


def taken_at(flat: Ref, positions: Indices) -> Ref:
    """The elements at `positions` (each within the vector), in that order."""
    (size,) = flat.shape
    box = box_of(positions) if len(positions) == size else None
    if box is not None:
        sizes, steps = zip(*box, strict=True)
        order = sorted(range(len(box)), key=lambda axis: -steps[axis])
        laid = reshaped(flat, [sizes[axis] for axis in order])
        return reshaped(permuted(laid, [order.index(axis) for axis in range(len(box))]), (size,))
    small = size <= np.iinfo(np.int32).max
    index = flat.builder.constant(positions.astype(np.int32 if small else np.int64))
    taken: Ref = do.take(flat, index, axis=0)
    return taken


def box_of(positions: Indices) -> list[tuple[int, int]] | None:
    """Sizes and steps, outer axes first, of the box that visits all places of a vector so.

    None where the positions are no such permutation, or take more than MAX_AXES axes.
    """
    if not len(positions) or positions[0] != 0:
        return None
    axes: list[tuple[int, int]] = []
    rest = positions
    while len(rest) > 1 and len(axes) < MAX_AXES:
        step = int(rest[1] - rest[0])
        breaks = np.flatnonzero(np.diff(rest) != step)
        size = int(breaks[0]) + 1 if len(breaks) else len(rest)
        if step <= 0 or len(rest) % size:
            return None
        axes.insert(0, (size, step))
        rest = rest[::size]
    axes = axes or [(1, 1)]
    return axes if len(rest) == 1 and _fills(axes, positions) else None


def _fills(axes: list[tuple[int, int]], positions: Indices) -> bool:
    """Whether the box is as large as the vector, nests, and visits these very positions."""
    below = 1
    for size, step in sorted(axes, key=lambda axis: axis[1]):
        if step != below:
            return False
        below *= size
    visited = np.zeros(1, np.int64)
    for size, step in axes:
        visited = (visited[:, None] + np.arange(size) * step).reshape(-1)
    return prod([size for size, _ in axes]) == len(positions) and np.array_equal(visited, positions)
