"""Reductions over sliding windows on NumPy arrays: one axis after another, no padding written out.

An axis takes a pass for each place of the window, over the results that meet an element there; or
one for each result, where those are fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.types import INT64, DType, Shape
from pullback_graph.windows import Phase, Window, phases, result_sizes
from pullback_worker.buffer_reuse import fresh

Array: TypeAlias = Any


def reduce_window(reducer: str, window: Window) -> Callable[[Array], Array]:
    """The function that reduces windows of an array's last axes: `sum`, `max` or `argmax`."""
    reduced = _REDUCERS[reducer]

    def run(x: Array) -> Array:
        return reduced(x, window, result_sizes(x.shape[x.ndim - len(window.sizes) :], window))

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
    places = np.arange(np.prod(shape, dtype=INT64)).reshape(shape)
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
    """A pass for each place of the window."""
    for k in range(phase.taps):
        first, last, start = _meets(n, phase.results, phase.dilation * k - phase.low, phase.stride)
        if last >= first:
            stop = start + phase.stride * (last - first) + 1
            yield _Pass(slice(first, last + 1), slice(start, stop, phase.stride))


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
    shape = _shaped(x.shape, axis, count)
    best, chosen = np.empty(shape, x.dtype), np.empty(shape, INT64)
    filled = _is_filled(count, found)
    if not filled:
        best.fill(_least(x.dtype))
        chosen.fill(-1)
    for n, phase in found:
        parts = best[_at(axis, phase.own)], chosen[_at(axis, phase.own)]
        if phase.taps > phase.results:
            for own, met in _by_results(n, phase):
                taken = x[_at(axis, met)]
                index = taken.argmax(axis, keepdims=True)
                parts[0][_at(axis, own)] = np.take_along_axis(taken, index, axis)
                from_places = places[_at(axis, met)]
                parts[1][_at(axis, own)] = np.take_along_axis(from_places, index, axis)
            continue
        for position, (own, met) in enumerate(_by_taps(n, phase)):
            here, taken = _at(axis, own), _at(axis, met)
            _improve(
                parts[0][here],
                parts[1][here],
                x[taken],
                places[taken],
                unknown=not filled,
                first=position == 0,
            )
    return best, chosen


def _improve(
    best: Array, chosen: Array, x: Array, places: Array, *, unknown: bool, first: bool
) -> None:
    """Take what is larger, in place; of NaNs the first; what meets nothing yet takes all."""
    if first:
        best[...], chosen[...] = x, places
        return
    better = np.less_equal(x, best)
    np.logical_not(better, out=better)
    if x.dtype.kind == "f":
        better &= best == best  # not NaN
    if unknown:
        better |= chosen < 0
    np.copyto(best, x, where=better)
    np.copyto(chosen, places, where=better)


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
