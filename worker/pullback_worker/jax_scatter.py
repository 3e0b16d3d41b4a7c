"""Adding at indices without collisions, for XLA on GPUs: what falls on one place is summed before.

Atomic additions take any order, and XLA's own way to a fixed one is slow. Here places are sorted,
equal ones side by side are summed block by block in an order that their number alone decides, and
then each place is written once.
"""

from __future__ import annotations

from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from pullback_graph.kernels import Index
from pullback_graph.types import Shape

Array = Any

LEAST_PLACES = 1024
"""Fewer are left to XLA."""
BLOCK = 16
"""Rows that are summed together: each is read so often, and so many fewer are left to the next."""


def collides(index: Index, y: Array) -> bool:
    """Whether adding `y` at integer indices is better done here: many floating numbers."""
    own = [entry.shape for entry in index if not isinstance(entry, slice)]
    return y.size > 0 and y.dtype.kind in "fc" and prod(np.broadcast_shapes(*own)) >= LEAST_PLACES


def add_apart(x: Array, index: Index, y: Array) -> Array:
    """`x` with `y` added at `index`, whose integer arrays are in range; slices are whole axes."""
    axes = tuple([axis for axis, entry in enumerate(index) if not isinstance(entry, slice)])
    order = (*axes, *[axis for axis in range(x.ndim) if axis not in axes])
    rows = prod([x.shape[axis] for axis in axes])
    places, values = _rows(x.shape, axes, index, y)
    z = _add_rows(x.transpose(order).reshape(rows, -1), places, values)
    z = z.reshape([x.shape[axis] for axis in order])
    return z.transpose(sorted(range(x.ndim), key=order.__getitem__))


def run_sums(places: Array, values: Array) -> Array:
    """Per row of `values` (N, D), the sum from the first row of its place (N, ascending) to it."""
    count, width = values.shape
    blocks = -(-count // BLOCK)
    missing = blocks * BLOCK - count
    places = jnp.pad(places, (0, missing), mode="edge").reshape(blocks, BLOCK)
    values = jnp.pad(values, ((0, missing), (0, 0))).reshape(blocks, BLOCK, width)
    before = np.tri(BLOCK, dtype=bool)
    joined = (places[:, :, None] == places[:, None, :]) & before
    sums = jnp.where(joined[..., None], values[:, None], 0).sum(axis=2, dtype=values.dtype)
    if blocks > 1:
        ends = places[:-1, -1]
        carried = run_sums(ends, sums[:-1, -1])
        goes_on = (places[1:] == ends[:, None])[..., None]
        rest = sums[1:] + jnp.where(goes_on, carried[:, None], 0)
        sums = jnp.concatenate([sums[:1], rest])
    return sums.reshape(-1, width)[:count]


def _add_rows(x: Array, places: Array, values: Array) -> Array:
    """A matrix with rows `values` (N, D) added to its rows at `places` (N)."""
    count = len(places)
    number = np.uint32 if len(x) + count < 1 << 32 else np.uint64
    numbers = jnp.arange(count, dtype=number)
    places, order = lax.sort((places.astype(number), numbers), num_keys=1, is_stable=True)
    sums = run_sums(places, values.at[order].get(mode="promise_in_bounds"))
    is_last = jnp.concatenate([places[1:] != places[:-1], jnp.ones(1, bool)])
    once = jnp.where(is_last, places, len(x) + numbers)  # the others lie outside, and are dropped
    return x.at[once].add(sums, mode="drop", unique_indices=True)


def _rows(shape: Shape, axes: Shape, index: Index, y: Array) -> tuple[Array, Array]:
    """Flat places over the indexed axes, and a row of `y` for each.

    NumPy's rule says where in `y` the indices' own axes stand: in place of the indexed ones where
    those are neighbours, else in front.
    """
    places: Array = 0
    for axis in axes:
        places = places * shape[axis] + index[axis]
    begin = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    own = range(begin, begin + places.ndim)
    others = [axis for axis in range(y.ndim) if axis not in own]
    return places.reshape(-1), y.transpose(*own, *others).reshape(places.size, -1)
