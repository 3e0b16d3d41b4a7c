"""`x[index]` as rows of the table, with every form of NumPy's indexing whose shape is known.

An index is brought to one entry per axis. Slices and integers become one `slice`, then a `squeeze`;
integer arrays (plain or traced) one `take` or `gather`; a plain mask stands for its true places.
A plain index out of range is refused; a traced one is clipped to the axis when it runs.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pullback.tracing.apply import Value, apply, as_value, is_traced
from pullback.tracing.traced_array import TracedArray
from pullback_graph.errors import ShapeError, TraceError
from pullback_graph.types import Shape


class Span(NamedTuple):
    """A slice of an axis, normalised: `size` elements from `start` on in steps."""

    start: int
    stop: int
    step: int

    @property
    def size(self) -> int:
        """How many elements it takes."""
        return len(range(self.start, self.stop, self.step))


class NewAxis(NamedTuple):
    """An axis of size one that the operand lacks."""


class Position(NamedTuple):
    """One element of an axis, which goes."""

    place: int


class Indices(NamedTuple):
    """An integer array that indexes an axis."""

    array: Value


class Everything(NamedTuple):
    """A mask without axes: an index array into a new axis, of one zero (true) or none (false)."""

    array: Value


class Gap(NamedTuple):
    """An ellipsis that stands for no axes."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index in canonical form: entries in order, one per axis of the operand or new.

    Attributes:
        starts, stops, steps: the slice to take first, an entry per axis of the operand.
        positions: axes (of the operand) from which a single element is taken.
        new_axes: axes of size one to insert, numbered as in the result.
        indices: integer arrays by the axis they index, numbered after `new_axes` are inserted.
        dropped: axes of size one of the result that go: they only kept index arrays apart.
    """

    starts: Shape
    stops: Shape
    steps: Shape
    positions: Shape
    new_axes: Shape
    indices: tuple[tuple[int, Value], ...]
    dropped: Shape = ()

    @property
    def is_basic(self) -> bool:
        """Whether there are only slices, integers and new axes."""
        return not self.indices


def getitem(x: Value, index: Any) -> Any:
    """`x[index]`.

    Raises:
        ShapeError: too many indices, or one out of range.
        TraceError: the shape of the result would depend on traced values.
    """
    return take_at(x, canonical_index(x.shape, index))


def take_at(x: Value, index: Index) -> Any:
    """The elements of `x` at a canonical index."""
    whole = (0,) * len(x.shape), x.shape, (1,) * len(x.shape)
    if (index.starts, index.stops, index.steps) != whole:
        x = apply("slice", x, starts=index.starts, stops=index.stops, steps=index.steps)
    if index.positions:
        x = apply("squeeze", x, axes=index.positions)
    if index.new_axes:
        x = apply("expand_dims", x, axes=index.new_axes)
    if len(index.indices) == 1:
        ((axis, array),) = index.indices
        return apply("take", x, array, axis=axis)
    if index.indices:
        axes = tuple([axis for axis, _ in index.indices])
        x = apply("gather", x, *[array for _, array in index.indices], axes=axes)
    return apply("squeeze", x, axes=index.dropped) if index.dropped else x


def canonical_index(shape: Shape, index: Any) -> Index:
    """The index as a user writes it, against the shape it indexes.

    Raises:
        ShapeError, TraceError: as in `getitem`.
    """
    items = _items(index)
    entries: list[Any] = []
    axis = 0
    for item in _without_ellipsis(items, len(shape)):
        for entry in _entries(item, shape, axis):
            entries.append(entry)
            axis += type(entry) in (Span, Position, Indices)
    entries += [Span(0, size, 1) for size in shape[axis:]]
    return _assembled(shape, _settled(entries))


# --- from what users write to entries -------------------------------------------------------------


def _items(index: Any) -> list[Any]:
    """The index's items, sequences among them as arrays."""
    items = index if isinstance(index, tuple) else (index,)
    return [_as_item(item) for item in items]


def _as_item(item: Any) -> Any:
    """Sequences and other libraries' arrays as arrays (an empty sequence as one of integers)."""
    if isinstance(item, list | tuple | range):
        return as_value(item) if len(item) else np.zeros(0, np.int64)
    if hasattr(item, "__array__") and type(item) not in (TracedArray, np.ndarray):
        return np.asarray(item)
    return item


def _consumed(item: Any) -> int:
    """How many axes of the operand an item takes."""
    if item is None:
        return 0
    if isinstance(item, bool):
        return 0
    dtype = getattr(item, "dtype", None)
    return item.ndim if dtype is not None and dtype == np.bool_ else 1


def _without_ellipsis(items: Sequence[Any], rank: int) -> list[Any]:
    """The items with full slices in place of the ellipsis, unless it stands for none."""
    places = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise ShapeError("an index can have one ellipsis (...), not several")
    missing = rank - sum([_consumed(item) for item in items if item is not Ellipsis])
    if missing < 0:
        raise ShapeError(f"{rank - missing} indices for {rank} axes; leave some out")
    if not places:
        return list(items)
    filling: list[Any] = [slice(None)] * missing or [Ellipsis]
    return [*items[: places[0]], *filling, *items[places[0] + 1 :]]


def _entries(item: Any, shape: Shape, axis: int) -> list[Any]:
    """The entries of one item that stands at `axis`."""
    if item is None:
        return [NewAxis()]
    if isinstance(item, slice):
        return [_span(item, shape[axis])]
    if item is Ellipsis:
        return [Gap()]
    if isinstance(item, bool):
        return [Everything(np.zeros(int(item), np.int64))]
    if type(item) is TracedArray:
        return [_traced_indices(item)]
    if isinstance(item, np.ndarray) and item.ndim:
        return _mask(item, shape, axis) if item.dtype == np.bool_ else [_checked(item, shape, axis)]
    if isinstance(item, np.ndarray) and item.dtype == np.bool_:
        return _entries(bool(item), shape, axis)
    try:
        place = operator.index(item)
    except TypeError:
        raise TraceError(
            f"{item!r} is no index; use integers, slices, ..., None, integer arrays or plain masks"
        ) from None
    return [Position(_element(place, shape[axis], axis))]


def _element(place: int, size: int, axis: int) -> int:
    """A plain position counted from the front."""
    if not -size <= place < size:
        raise ShapeError(f"index {place} is out of range for axis {axis} of size {size}")
    return place % size


def _span(item: slice, size: int) -> Span:
    if is_traced(item.start, item.stop, item.step):
        raise TraceError(
            "the bounds of a slice must be numbers, for they decide the shape; "
            "use pullback.numpy.dynamic_slice(x, starts, sizes) for a start that is traced"
        )
    start, stop, step = item.indices(size)
    count = len(range(start, stop, step))
    return Span(start, stop, step) if count else Span(0, 0, 1)


def _traced_indices(item: TracedArray) -> Indices:
    if item.dtype.kind == "b":
        raise TraceError(
            "a traced mask chooses a number of elements that depends on the data; "
            "use pullback.numpy.where(mask, x, other), or multiply by the mask before a sum"
        )
    if item.dtype.kind not in "iu":
        raise TraceError(f"an index must be of integers, got {item.dtype.name}; cast with astype")
    return Indices(item)


def _mask(item: Any, shape: Shape, axis: int) -> list[Any]:
    """The places where a plain mask is true, an array per axis."""
    if item.shape != shape[axis : axis + item.ndim]:
        raise ShapeError(
            f"a mask of shape {item.shape} does not fit shape {shape} from axis {axis} on; "
            "compare an array of that shape"
        )
    return [Indices(places) for places in np.nonzero(item)]


def _checked(item: Any, shape: Shape, axis: int) -> Indices:
    if item.dtype.kind not in "iu":
        raise TraceError(f"an index must be of integers, got {item.dtype.name}; cast with astype")
    return Indices(_in_range(item, shape[axis], axis))


def _in_range(item: Any, size: int, axis: int) -> Any:
    """Plain indices counted from the front."""
    for extreme in (item.min(), item.max()) if item.size else ():
        _element(int(extreme), size, axis)
    places = item.astype(np.int64)
    return np.where(places < 0, places + size, places)


# --- from entries to an index ---------------------------------------------------------------------


def _assembled(shape: Shape, entries: Sequence[Any]) -> Index:
    """The entries' slice of the operand, and what is done to it after."""
    spans: list[Span] = []
    positions, new_axes, gaps, indices = [], [], [], []
    place = 0
    for entry in entries:
        match entry:
            case Position(position):
                positions.append(len(spans))
                spans.append(Span(position, position + 1, 1))
                continue
            case Span():
                spans.append(entry)
            case Indices(array):
                indices.append((place, array))
                spans.append(Span(0, shape[len(spans)], 1))
            case Everything(array):
                new_axes.append(place)
                indices.append((place, array))
            case NewAxis():
                new_axes.append(place)
            case Gap():
                new_axes.append(place)
                gaps.append(place)
        place += 1
    starts, stops, steps = zip(*spans, strict=True) if spans else ((), (), ())
    return Index(
        starts,
        stops,
        steps,
        positions=tuple(positions),
        new_axes=tuple(new_axes),
        indices=tuple(indices),
        dropped=_after_gather(gaps, place, indices),
    )


def _after_gather(gaps: Sequence[int], rank: int, indices: Sequence[tuple[int, Value]]) -> Shape:
    """Where axes that only keep index arrays apart are in the result, the arrays' axes first."""
    if not gaps:
        return ()
    own = max([array.ndim for _, array in indices], default=0)
    indexed = [place for place, _ in indices]
    rest = [place for place in range(rank) if place not in indexed]
    return tuple([own + rest.index(gap) for gap in gaps])


def _settled(entries: list[Any]) -> list[Any]:
    """The entries as NumPy reads them together.

    Beside an index array an integer is one too; an ellipsis of no axes matters only where it keeps
    index arrays apart.
    """
    arrays = (Indices, Everything)
    if any([type(entry) in arrays for entry in entries]):
        entries = [Indices(np.asarray(e.place)) if type(e) is Position else e for e in entries]
    places = [i for i, entry in enumerate(entries) if type(entry) in arrays]
    return [
        entry
        for i, entry in enumerate(entries)
        if type(entry) is not Gap or (places and places[0] < i < places[-1])
    ]
