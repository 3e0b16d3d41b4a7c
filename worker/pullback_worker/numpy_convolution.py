"""Convolution on NumPy arrays: windows written out a block at a time and multiplied by BLAS.

Zeros between the elements of a dilated array are never multiplied: results are taken in phases,
each of which meets the same places of the kernel and is a convolution without that dilation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.types import Shape
from pullback_graph.windows import Phase, Window, phases, result_sizes
from pullback_worker.buffer_reuse import fresh

Array: TypeAlias = Any
_BLOCK_BYTES = 1 << 22
"""Bytes of windows written out at a time: as much as a cache may hold of them."""
_FEW = 4
"""How many times fewer outputs than inputs make the taps' products the smaller thing to write."""
_SHORT = 256
"""Results of one image below which a product of its own is too narrow for BLAS."""


def convolution(
    *,
    strides: Shape,
    low: Shape,
    high: Shape,
    lhs_dilation: Shape,
    rhs_dilation: Shape,
    groups: int,
    batch_groups: int,
) -> Callable[[Array, Array], Array]:
    """The function of array (N, C, spatial) and kernel (O, C / groups, spatial)."""

    def run(x: Array, w: Array) -> Array:
        window = Window(w.shape[2:], strides, low, high, lhs_dilation, rhs_dilation)
        sizes = result_sizes(x.shape[2:], window)
        z = np.zeros((x.shape[0] // batch_groups, w.shape[0], *sizes), x.dtype)
        if z.size and x.size:
            _convolve(x, w, z, window, groups, batch_groups)
        return z

    return fresh(run)


def _convolve(x: Array, w: Array, z: Array, window: Window, groups: int, batch_groups: int) -> None:
    """Fill z, which is zero: all with an axis of groups between batch and channels."""
    count, spatial = groups * batch_groups, x.shape[2:]
    if batch_groups > 1:
        x = x.reshape(count, x.shape[0] // count, x.shape[1], *spatial).swapaxes(0, 1)
    else:
        x = x.reshape(x.shape[0], count, x.shape[1] // count, *spatial)
    w = w.reshape(count, w.shape[0] // count, *w.shape[1:])
    z = z.reshape(z.shape[0], count, z.shape[1] // count, *z.shape[2:])
    for own in product(*_phases(z.shape[3:], window)):
        places = (slice(None),) * 3
        part = z[places + tuple([phase.own for phase in own])]
        _dense(x, w[places + tuple([phase.window for phase in own])], part, own)


def _phases(sizes: Shape, window: Window) -> list[tuple[Phase, ...]]:
    """The phases of each axis."""
    rows = zip(sizes, *window, strict=True)
    return [
        phases(count, size, stride, low, lhs, rhs) for count, size, stride, low, _, lhs, rhs in rows
    ]


def _dense(x: Array, w: Array, z: Array, own: Sequence[Phase]) -> None:
    """One phase, so that what is written out has few and long runs, and is little."""
    padded, results = _padded(x, own), prod(z.shape[3:])
    few = w.shape[1] * _FEW <= w.shape[2] and all([phase.stride == 1 for phase in own])
    if results < prod(w.shape[3:]):
        _by_windows(_windows(padded, own), w, z)
    elif few:
        _by_taps(padded, w, z, own)
    elif results < _SHORT:
        _by_batch(_windows(padded, own), w, z)
    else:
        _by_results(_windows(padded, own), w, z)


def _padded(x: Array, own: Sequence[Phase]) -> Array:
    """What the windows reach of the array, with zeros around it where they reach further."""
    into, out = [slice(None)] * 3, [slice(None)] * 3
    extents, inside = [], True
    for n, phase in zip(x.shape[3:], own, strict=True):
        extent = phase.stride * (phase.results - 1) + phase.dilation * (phase.taps - 1) + 1
        start, stop = max(-phase.low, 0), min(extent - phase.low, n)
        stop = max(stop, start)
        out.append(slice(start, stop))
        into.append(slice(start + phase.low, stop + phase.low))
        extents.append(extent)
        inside = inside and stop - start == extent
    if inside:
        return x[tuple(out)]
    z = np.zeros((*x.shape[:3], *extents), x.dtype)
    if all(place.stop > place.start for place in out[3:]):
        z[tuple(into)] = x[tuple(out)]
    return z


def _windows(x: Array, own: Sequence[Phase]) -> Array:
    """A view of axes N, group, C, results, window."""
    steps = x.strides[3:]
    return np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:3], *[phase.results for phase in own], *[phase.taps for phase in own]),
        (
            *x.strides[:3],
            *[step * phase.stride for step, phase in zip(steps, own, strict=True)],
            *[step * phase.dilation for step, phase in zip(steps, own, strict=True)],
        ),
        writeable=False,
    )


def _by_results(windows: Array, w: Array, z: Array) -> None:
    """For each of the batch, kernel times windows in columns."""
    rank = len(z.shape) - 3
    taps = windows.shape[2] * prod(w.shape[3:])
    rows = np.ascontiguousarray(w).reshape(*w.shape[:2], taps)
    columns = windows.transpose(0, 1, 2, *range(rank + 3, 2 * rank + 3), *range(3, rank + 3))
    line_bytes = w.shape[0] * taps * prod(z.shape[4:]) * z.dtype.itemsize
    for own, part in _blocks(z.shape[0], z.shape[3], line_bytes):
        block = columns[(own, *(slice(None),) * (rank + 2), part)]
        target = z[own, :, :, part]
        target[...] = np.matmul(rows, block.reshape(*block.shape[:2], taps, -1)).reshape(
            target.shape
        )


def _by_batch(windows: Array, w: Array, z: Array) -> None:
    """Kernel times windows in columns, the batch's side by side: for few results each."""
    rank = len(z.shape) - 3
    taps = windows.shape[2] * prod(w.shape[3:])
    rows = np.ascontiguousarray(w).reshape(*w.shape[:2], taps)
    columns = windows.transpose(1, 2, *range(rank + 3, 2 * rank + 3), 0, *range(3, rank + 3))
    line_bytes = w.shape[0] * taps * prod(z.shape[4:]) * z.dtype.itemsize
    batch_axis = rank + 2
    for own, part in _blocks(z.shape[0], z.shape[3], line_bytes):
        block = columns[(*(slice(None),) * batch_axis, own, part)]
        target = z[own, :, :, part]
        made = np.matmul(rows, block.reshape(w.shape[0], taps, -1))
        shape = (*w.shape[:2], target.shape[0], *target.shape[3:])
        target[...] = np.moveaxis(made.reshape(shape), 2, 0)


def _by_taps(x: Array, w: Array, z: Array, own: Sequence[Phase]) -> None:
    """Every tap of the kernel times the whole array, added up shifted: for few outputs."""
    groups, outputs, inputs = w.shape[:3]
    sizes = w.shape[3:]
    rows = np.moveaxis(w, 2, -1).reshape(groups, -1, inputs)
    image_bytes = rows.shape[0] * rows.shape[1] * prod(x.shape[3:]) * z.dtype.itemsize
    for block, _ in _blocks(x.shape[0], 1, image_bytes):
        images = x[block]
        made = np.matmul(rows, images.reshape(*images.shape[:3], -1))
        made = made.reshape(*images.shape[:2], outputs, *sizes, *x.shape[3:])
        target = z[block]
        for tap in np.ndindex(sizes):
            places = [
                slice(phase.dilation * k, phase.dilation * k + phase.results)
                for phase, k in zip(own, tap, strict=True)
            ]
            target += made[(..., *tap, *places)]


def _by_windows(windows: Array, w: Array, z: Array) -> None:
    """Sum over input channels of windows in rows times the kernel: for few results."""
    rank = len(z.shape) - 3
    batch, groups, inputs = windows.shape[:3]
    results = z.shape[3:]
    order = (1, 0, *range(3, rank + 3), 2, *range(rank + 3, 2 * rank + 3))
    rows = windows.transpose(order)
    item = batch * groups * prod(results) * z.dtype.itemsize
    line = prod(w.shape[4:])
    total: Any = None
    for own, part in _blocks(inputs, w.shape[3], item * line):
        block = rows[(*(slice(None),) * (rank + 2), own, part)]
        taps = w[:, :, own, part]
        columns = taps.reshape(groups, w.shape[1], -1).swapaxes(1, 2)
        added = np.matmul(block.reshape(groups, batch * prod(results), -1), columns)
        total = added if total is None else np.add(total, added, out=total)
    z[...] = np.moveaxis(total.reshape(groups, batch, *results, -1), (0, -1), (1, 2))


def _blocks(outer: int, inner: int, item_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of an outer axis, and of an inner one where one of the outer is too large."""
    at_once = max(_BLOCK_BYTES // max(item_bytes * inner, 1), 1)
    step = inner if at_once > 1 else max(_BLOCK_BYTES // max(item_bytes, 1), 1)
    for start in range(0, outer, at_once):
        for first in range(0, inner, step):
            yield slice(start, start + at_once), slice(first, first + step)
