"""Windows that slide over axes: the arithmetic of sizes, paddings and dilations; no data here.

Position t of the result and k of the window meet at `strides * t + rhs_dilation * k - low` of the
axis, whose elements lie `lhs_dilation` apart; what falls between them, or outside, is padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple

from pullback_graph.errors import AttributeFault, ShapeError
from pullback_graph.types import Shape


class Window(NamedTuple):
    """A window over some axes, an entry per axis.

    Attributes:
        sizes: elements of the window.
        strides: how far the window moves from one result to the next.
        low, high: padding before and after; negative crops.
        lhs_dilation: distance between neighbours of the array.
        rhs_dilation: distance between neighbours of the window.
    """

    sizes: Shape
    strides: Shape
    low: Shape
    high: Shape
    lhs_dilation: Shape
    rhs_dilation: Shape

    def is_trivial(self, axis: int) -> bool:
        """Whether the axis passes through unchanged."""
        entries = [entry[axis] for entry in self]
        return entries == [1, 1, 0, 0, 1, 1] or entries[:5] == [1, 1, 0, 0, 1]


def checked(window: Window, rank: int) -> None:
    """Refuse a window that is none.

    Raises:
        AttributeFault: an attribute has not one entry per axis, or a size, stride or dilation is
            below one.
    """
    for name, entries in zip(Window._fields, window, strict=True):
        if len(entries) != rank:
            raise AttributeFault(
                f"attribute {name!r} has {len(entries)} entries for {rank} axes; give one per axis"
            )
        if name not in ("low", "high") and any([entry < 1 for entry in entries]):
            raise AttributeFault(f"attribute {name!r} must be at least 1 on each axis: {entries}")


def span(size: int, dilation: int) -> int:
    """From the first to the last of `size` elements that lie `dilation` apart."""
    return (size - 1) * dilation + 1 if size else 0


def result_sizes(shape: Sequence[int], window: Window) -> Shape:
    """How many places the window has on each axis of `shape`."""
    return tuple(
        [_places(n, *own) for n, own in zip(shape, zip(*window, strict=True), strict=True)]
    )


def _places(n: int, size: int, stride: int, low: int, high: int, lhs: int, rhs: int) -> int:
    room = span(n, lhs) + low + high - span(size, rhs)
    return room // stride + 1 if room >= 0 else 0


def towards_array(window: Window, shape: Sequence[int], results: Sequence[int]) -> Window:
    """The window that carries results back to the array of `shape`, to be used flipped."""
    rows = zip(shape, results, *window, strict=True)
    pads = [
        (rhs * (size - 1) - low, lhs * (n - 1) + low - stride * (count - 1))
        for n, count, size, stride, low, _, lhs, rhs in rows
    ]
    low, high = zip(*pads, strict=True) if pads else ((), ())
    return Window(window.sizes, window.lhs_dilation, low, high, window.strides, window.rhs_dilation)


def towards_window(window: Window, shape: Sequence[int], results: Sequence[int]) -> Window:
    """The window, as large as the results, that carries array and results to the window itself."""
    rows = zip(shape, results, *window, strict=True)
    high = tuple(
        [
            rhs * (size - 1) + stride * (count - 1) + 1 - span(n, lhs) - low
            for n, count, size, stride, low, _, lhs, rhs in rows
        ]
    )
    return Window(
        tuple(results), window.rhs_dilation, window.low, high, window.lhs_dilation, window.strides
    )


def meetings(shape: Sequence[int], window: Window, results: Sequence[int]) -> int:
    """How many pairs of a result and a place in the window meet an element, in all."""
    return prod(
        [
            _met(n, count, size, stride, low, lhs, rhs)
            for n, count, size, stride, low, _, lhs, rhs in zip(
                shape, results, *window, strict=True
            )
        ]
    )


@lru_cache(maxsize=4096)
def _met(n: int, count: int, size: int, stride: int, low: int, lhs: int, rhs: int) -> int:
    """The pairs on one axis, counted along the shorter of results and window."""
    if size > count:
        return _met(n, size, count, rhs, low, lhs, stride)
    common = gcd(stride, lhs)
    period = lhs // common
    inverse = pow(stride // common, -1, period) if period > 1 else 0
    total = 0
    for k in range(size):
        offset = rhs * k - low
        if offset % common or not n:
            continue
        first = max(0, -(offset // stride))
        last = min(count - 1, (lhs * (n - 1) - offset) // stride)
        phase = -(offset // common) * inverse % period
        if last >= first:
            total += (last - phase) // period - (first - 1 - phase) // period
    return total


class Phase(NamedTuple):
    """Results of one axis that meet the same places of the window.

    They are a window without dilation of the array: results `own` by places `window`, moving by
    `stride` from `-low` on.
    """

    own: slice
    window: slice
    results: int
    taps: int
    stride: int
    low: int
    dilation: int


@lru_cache(maxsize=4096)
def phases(count: int, size: int, stride: int, low: int, lhs: int, rhs: int) -> tuple[Phase, ...]:
    """The phases of one axis; results in none of them meet padding alone."""
    every, each = lhs // gcd(stride, lhs), lhs // gcd(rhs, lhs)
    found = []
    for start in range(min(every, count)):
        meets = [k for k in range(min(each, size)) if (stride * start + rhs * k - low) % lhs == 0]
        if meets:
            k = meets[0]
            found.append(
                Phase(
                    slice(start, None, every),
                    slice(k, None, each),
                    len(range(start, count, every)),
                    len(range(k, size, each)),
                    stride * every // lhs,
                    (low - stride * start - rhs * k) // lhs,
                    rhs * each // lhs,
                )
            )
    return tuple(found)


def all_meet(shape: Sequence[int], window: Window) -> bool:
    """Whether it is certain that each place of the window meets an element, not padding alone."""
    sizes = result_sizes(shape, window)
    rows = zip(shape, sizes, *window, strict=True)
    return all(
        [
            _all_meet(n, count, size, stride, low, lhs, rhs)
            for n, count, size, stride, low, _, lhs, rhs in rows
        ]
    )


@lru_cache(maxsize=4096)
def _all_meet(n: int, count: int, size: int, stride: int, low: int, lhs: int, rhs: int) -> bool:
    """As said of one axis: a window that steps over no `n` elements meets one from end to end."""
    found = phases(count, size, stride, low, lhs, rhs)
    return count == sum([phase.results for phase in found]) and all(
        [
            phase.dilation <= n
            and phase.dilation * (phase.taps - 1) >= phase.low
            and phase.stride * (phase.results - 1) - phase.low < n
            for phase in found
        ]
    )


def check_room(shape: Sequence[int], window: Window) -> None:
    """Refuse padding that crops more than there is.

    Raises:
        ShapeError: as said, naming the axis.
    """
    for axis, (n, own) in enumerate(zip(shape, zip(*window, strict=True), strict=True)):
        _, _, low, high, lhs, _ = own
        if span(n, lhs) + low + high < 0:
            raise ShapeError(
                f"padding {low} and {high} crops more than the {span(n, lhs)} places of axis "
                f"{axis}; crop less"
            )


__all__ = [
    "Phase",
    "Window",
    "all_meet",
    "check_room",
    "checked",
    "meetings",
    "phases",
    "result_sizes",
    "span",
    "towards_array",
    "towards_window",
]
