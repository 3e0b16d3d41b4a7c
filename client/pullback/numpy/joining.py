"""Functions that join arrays, cut them up, or repeat and pad them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pullback.numpy.axes import as_shape, one_axis
from pullback.numpy.elementwise import not_equal, subtract
from pullback.numpy.manipulation import atleast_1d, atleast_2d, atleast_3d, reshape
from pullback.tracing.apply import Value, apply, as_value, cast, is_traced
from pullback.tracing.promotion import common, promoted
from pullback_graph.errors import ShapeError, TraceError
from pullback_graph.types import BOOL

# --- joining --------------------------------------------------------------------------------------


def concat(arrays: Iterable[Any], /, *, axis: int | None = 0) -> Any:
    """The arrays one after the other along an axis they have (flat, where None)."""
    values = _promoted(arrays)
    if axis is None:
        values, axis = [reshape(value, (-1,)) for value in values], 0
    return apply("concat", *values, axis=one_axis(axis, values[0].ndim))


def concatenate(arrays: Iterable[Any], axis: int | None = 0, *, dtype: Any = None) -> Any:
    """`concat`, as NumPy calls it."""
    joined = concat(arrays, axis=axis)
    return joined if dtype is None else cast(joined, dtype)


def stack(arrays: Iterable[Any], /, axis: int = 0) -> Any:
    """The arrays side by side along a new axis."""
    values = _promoted(arrays)
    return apply("stack", *values, axis=one_axis(axis, values[0].ndim + 1))


def vstack(arrays: Iterable[Any]) -> Any:
    """The arrays as rows, one below the other."""
    return concat([atleast_2d(x) for x in arrays], axis=0)


def hstack(arrays: Iterable[Any]) -> Any:
    """The arrays one after the other along the second axis (the first, of vectors)."""
    values = [atleast_1d(x) for x in arrays]
    return concat(values, axis=0 if values[0].ndim == 1 else 1)


def dstack(arrays: Iterable[Any]) -> Any:
    """The arrays one after the other along the third axis."""
    return concat([atleast_3d(x) for x in arrays], axis=2)


def column_stack(arrays: Iterable[Any]) -> Any:
    """Vectors as the columns of a matrix."""
    values = [as_value(x) for x in arrays]
    return concat([x if x.ndim > 1 else reshape(x, (-1, 1)) for x in values], axis=1)


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """The array with `values` after it along an axis (flat, where None)."""
    return concat([as_value(x), as_value(values)], axis=axis)


# --- cutting up -----------------------------------------------------------------------------------


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, without it."""
    value = as_value(x)
    along = one_axis(axis, value.ndim)
    parts = [_part(value, along, i, i + 1) for i in range(value.shape[along])]
    return tuple([apply("squeeze", part, axes=(along,)) for part in parts])


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """The array cut along an axis: into so many equal parts, or before the given places.

    Raises:
        ShapeError: the axis does not divide into equal parts.
    """
    value = as_value(x)
    size = value.shape[one_axis(axis, value.ndim)]
    if np.ndim(indices_or_sections) == 0 and size % indices_or_sections:
        raise ShapeError(
            f"axis {axis} of size {size} does not divide into {indices_or_sections} equal parts; "
            "use array_split, or give the places to cut at"
        )
    return array_split(value, indices_or_sections, axis)


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """`split`, with parts that may differ by one element."""
    value = as_value(x)
    along = one_axis(axis, value.ndim)
    size = value.shape[along]
    if np.ndim(indices_or_sections) == 0:
        share, more = divmod(size, int(indices_or_sections))
        sizes = [share + 1] * more + [share] * (int(indices_or_sections) - more)
        cuts = [int(cut) for cut in np.cumsum([0, *sizes])]
    else:
        cuts = [0, *[slice(int(cut)).indices(size)[1] for cut in indices_or_sections], size]
    return [_part(value, along, start, max(start, stop)) for start, stop in pairwise(cuts)]


def vsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the first axis."""
    return split(x, indices_or_sections, 0)


def hsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the second axis (the first, of a vector)."""
    value = as_value(x)
    return split(value, indices_or_sections, 1 if value.ndim > 1 else 0)


def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Each element less the one before it along an axis, n times over."""
    value = as_value(x)
    along = one_axis(axis, value.ndim)
    ends = [_border(end, value, along) for end in (prepend, append)]
    parts = [part for part in (ends[0], value, ends[1]) if part is not None]
    value = concat(parts, axis=along) if len(parts) > 1 else value
    change = not_equal if value.dtype == BOOL else subtract
    for _ in range(min(n, value.shape[along])):
        size = value.shape[along]
        value = change(_part(value, along, 1, size), _part(value, along, 0, size - 1))
    return value


# --- repeating and padding ------------------------------------------------------------------------


def tile(x: Any, repeats: Any, /) -> Any:
    """The whole array repeated along each axis."""
    value, counts = as_value(x), as_shape(repeats)
    rank = max(value.ndim, len(counts))
    whole = reshape(value, (1,) * (rank - value.ndim) + value.shape)
    return apply("tile", whole, repeats=(1,) * (rank - len(counts)) + counts)


def repeat(x: Any, repeats: Any, /, axis: int | None = None) -> Any:
    """Each element repeated in place; a count, or one for each element along the axis.

    Raises:
        TraceError: the counts are traced: the shape would depend on the data.
    """
    if is_traced(repeats):
        raise TraceError("the counts of repeat must be numbers, not traced; pass them as such")
    value = as_value(x)
    if axis is None:
        value, axis = reshape(value, (-1,)), 0
    along = one_axis(axis, value.ndim)
    if np.size(repeats) == 1:
        return apply("repeat", value, repeats=int(np.asarray(repeats).item()), axis=along)
    index = np.repeat(np.arange(value.shape[along]), repeats)
    return apply("take", value, index, axis=along)


def pad(
    x: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0, **options: Any
) -> Any:
    """The array with a border: a constant, or its own elements (`edge`, `reflect`, `wrap`, ...)."""
    value = as_value(x)
    width = np.asarray(pad_width)
    if width.shape == (2,) and value.ndim != 1:
        width = np.broadcast_to(width, (value.ndim, 2))
    pairs = np.broadcast_to(width, (value.ndim, 2)).tolist()
    if mode == "constant":
        fill = cast(as_value(constant_values), value.dtype)
        low, high = (tuple([int(pair[side]) for pair in pairs]) for side in (0, 1))
        return apply("pad", value, reshape(fill, ()), low=low, high=high)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise TraceError(f"pad mode {mode!r}; use constant, edge, reflect, symmetric or wrap")
    for axis, pair in enumerate(pairs):
        if any(pair):
            order = _pad(np.arange(value.shape[axis]), pair, mode, **options)
            value = apply("take", value, order, axis=axis)
    return value


_pad: Any = np.pad  # its stubs know no mode by a variable

# --- inside ---------------------------------------------------------------------------------------


def _promoted(arrays: Iterable[Any]) -> list[Value]:
    if not isinstance(arrays, Sequence) and not hasattr(arrays, "shape"):
        arrays = list(arrays)
    values = list(arrays)
    if not values:
        raise ShapeError("there is no array to join; give at least one")
    return promoted(common, [as_value(x) for x in values])


def _part(value: Value, axis: int, start: int, stop: int) -> Any:
    """Elements start:stop along one axis."""
    rank = value.ndim
    return apply(
        "slice",
        value,
        starts=tuple([start if i == axis else 0 for i in range(rank)]),
        stops=tuple([stop if i == axis else size for i, size in enumerate(value.shape)]),
        steps=(1,) * rank,
    )


def _border(end: Any, value: Value, axis: int) -> Any:
    """What `diff` puts before or after, a number standing for one element."""
    if end is None:
        return None
    border = as_value(end)
    if border.ndim:
        return border
    shape = tuple([1 if i == axis else n for i, n in enumerate(value.shape)])
    return apply("broadcast_to", border, shape=shape)
