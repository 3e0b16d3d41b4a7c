"""Reductions over sliding windows on NumPy arrays: one axis after another, no padding written out.

An axis takes a pass for each place of the window, over the results that meet an element there; or
one for each result, where those are fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.types import DTYPES, INT64, DType, Shape
from pullback_graph.windows import Phase, Window, phases, result_sizes
from pullback_worker.buffer_reuse import fresh

Array: TypeAlias = Any
INT32 = DTYPES["int32"]
_MANY = np.iinfo(INT32).max
"""Elements whose places narrower integers hold, which are less to move."""


_BLOCK_BYTES = 1 << 18
"""Bytes of an array reduced at a time: what is made of them on the way stays in a core's cache."""


def reduce_window(reducer: str, window: Window) -> Callable[[Array], Array]:
    """The function that reduces windows of an array's last axes: `sum`, `max` or `argmax`."""
    reduced = _REDUCERS[reducer]
    rank = len(window.sizes)

    def run(x: Array) -> Array:
        lead, shape = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
        sizes = result_sizes(shape, window)
        z = np.empty((*lead, *sizes), INT64 if reducer == "argmax" else x.dtype)
        images, results = x.reshape(prod(lead), *shape), z.reshape(prod(lead), *sizes)
        step = max(_BLOCK_BYTES // max(prod(shape) * x.itemsize, 1), 1)
        for start in range(0, len(images) if z.size else 0, step):
            block = slice(start, start + step)
            results[block] = reduced(images[block], window, sizes)
        return z

    return fresh(run)


class _Pass(NamedTuple):
    """Results of one axis, and the elements that each of them, or the only one, meets there."""

    own: slice
    met: slice


def _sum(x: Array, window: Window, sizes: Shape) -> Array:
    for axis, count, found in _axes(x, window, sizes):
        x = _reduced(np.add, x, axis, count, found, 0)
    return x


def _max(x: Array, window: Window, sizes: Shape) -> Array:
    for axis, count, found in _axes(x, window, sizes):
        x = _reduced(np.maximum, x, axis, count, found, _least(x.dtype))
    return x


def _argmax(x: Array, window: Window, sizes: Shape) -> Array:
    """The last axis first, so that what comes first in row-major order wins every tie."""
    rank = len(sizes)
    shape = x.shape[x.ndim - rank :]
    places = np.arange(prod(shape), dtype=INT32 if prod(shape) <= _MANY else INT64).reshape(shape)
    places = np.broadcast_to(places, x.shape)
    for axis, count, found in reversed(list(_axes(x, window, sizes))):
        x, places = _searched(x, places, axis, count, found)
    return places


_REDUCERS = {"sum": _sum, "max": _max, "argmax": _argmax}


def _axes(
    x: Array, window: Window, sizes: Shape
) -> Iterator[tuple[int, int, tuple[tuple[int, Phase], ...]]]:
    """Each axis of the window: its number, how many results, and phases of so many elements."""
    first = x.ndim - len(sizes)
    shape = x.shape[first:]
    rows = zip(shape, sizes, *window, strict=True)
    for axis, (n, count, size, stride, low, _, lhs, rhs) in enumerate(rows, first):
        found = phases(count, size, stride, low, lhs, rhs)
        yield axis, count, tuple([(n, phase) for phase in found])


def _shaped(shape: Shape, axis: int, count: int) -> Shape:
    return (*shape[:axis], count, *shape[axis + 1 :])


def _least(dtype: DType) -> Any:
    """What no element is below."""
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


# --- passes ---------------------------------------------------------------------------------------


def _by_taps(n: int, phase: Phase) -> Iterator[_Pass]:
    """A pass for each place of the window that meets an element."""
    for k in range(phase.taps):
        own, met = _tap(n, phase, k)
        if own.stop > own.start:
            yield _Pass(own, met)


def _tap(n: int, phase: Phase, k: int) -> _Pass:
    """The results that meet an element at place k of the window, and those elements."""
    first, last, start = _meets(n, phase.results, phase.dilation * k - phase.low, phase.stride)
    if last < first:
        return _Pass(slice(0, 0), slice(0, 0))
    stop = start + phase.stride * (last - first) + 1
    return _Pass(slice(first, last + 1), slice(start, stop, phase.stride))


def _by_results(n: int, phase: Phase) -> Iterator[_Pass]:
    """A pass for each result."""
    for t in range(phase.results):
        first, last, start = _meets(n, phase.taps, phase.stride * t - phase.low, phase.dilation)
        if last >= first:
            stop = start + phase.dilation * (last - first) + 1
            yield _Pass(slice(t, t + 1), slice(start, stop, phase.dilation))


def _meets(n: int, count: int, offset: int, step: int) -> tuple[int, int, int]:
    """The first and last of `count` places, `step` apart from `offset`, within n; the element."""
    first = max(0, -(offset // step))
    return first, min(count - 1, (n - 1 - offset) // step), offset + step * first


def _at(axis: int, place: slice) -> tuple[slice, ...]:
    return (slice(None),) * axis + (place,)


def _reduced(
    ufunc: np.ufunc,
    x: Array,
    axis: int,
    count: int,
    found: tuple[tuple[int, Phase], ...],
    neutral: Any,
) -> Array:
    """One axis reduced; a first pass that meets every result writes them."""
    z = np.empty(_shaped(x.shape, axis, count), x.dtype)
    if not _is_filled(count, found):
        z.fill(neutral)
    for n, phase in found:
        part = z[_at(axis, phase.own)]
        if phase.taps > phase.results:
            for own, met in _by_results(n, phase):
                ufunc.reduce(x[_at(axis, met)], axis, out=part[_at(axis, own)], keepdims=True)
            continue
        for position, (own, met) in enumerate(_by_taps(n, phase)):
            target, taken = part[_at(axis, own)], x[_at(axis, met)]
            if position == 0:
                target[...] = taken
            else:
                ufunc(target, taken, out=target)
    return z


def _searched(
    x: Array, places: Array, axis: int, count: int, found: tuple[tuple[int, Phase], ...]
) -> tuple[Array, Array]:
    """One axis searched for its first largest elements: these, and where they stand."""
    best = _reduced(np.maximum, x, axis, count, found, _least(x.dtype))
    chosen = np.full(best.shape, -1, places.dtype)
    for n, phase in found:
        part = chosen[_at(axis, phase.own)]
        if phase.taps <= phase.results:
            part[...] = _first_equal(x, best[_at(axis, phase.own)], places, axis, n, phase)
            continue
        for own, met in _by_results(n, phase):
            index = x[_at(axis, met)].argmax(axis, keepdims=True)
            part[_at(axis, own)] = np.take_along_axis(places[_at(axis, met)], index, axis)
    return best, chosen


def _first_equal(x: Array, best: Array, places: Array, axis: int, n: int, phase: Phase) -> Array:
    """Where the first element stands that is the largest of its window; -1 of an empty one."""
    missed = np.ones(best.shape, bool)
    steps = np.zeros(best.shape, np.min_scalar_type(phase.taps))
    nan = np.isnan(best) if best.dtype.kind == "f" else None
    nan = nan if nan is not None and nan.any() else None
    for k in range(phase.taps):
        own, met = _tap(n, phase, k)
        here, taken = _at(axis, own), x[_at(axis, met)]
        differs = taken != best[here]
        if nan is not None:
            differs &= ~(nan[here] & np.isnan(taken))
        missed[here] &= differs
        steps += missed
    first = np.arange(phase.results, dtype=places.dtype) * phase.stride - phase.low
    elements = steps.astype(places.dtype)
    if phase.dilation > 1:
        elements *= phase.dilation
    elements += first.reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    lost = missed.any()
    if lost:
        elements[missed] = 0
    if axis == x.ndim - 1:  # places are still those of the array, one after the other
        z = np.add(elements, places[..., :1], out=elements)
    else:
        z = np.take_along_axis(places, elements, axis)
    if lost:
        z[missed] = -1
    return z


def _is_filled(count: int, found: tuple[tuple[int, Phase], ...]) -> bool:
    """Whether the passes write every result before they read any."""
    return count == sum([phase.results for _, phase in found]) and all(
        [_is_met_at_once(n, phase) for n, phase in found]
    )


def _is_met_at_once(n: int, phase: Phase) -> bool:
    if phase.taps > phase.results:
        return len(list(_by_results(n, phase))) == phase.results
    first = next(_by_taps(n, phase), None)
    return first is not None and first.own == slice(0, phase.results)
