"""Functions that choose elements by position, and that sort."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.numpy.axes import as_shape, one_axis
from pullback.numpy.manipulation import flip, moveaxis
from pullback.tracing.apply import Value, apply, as_value, cast
from pullback.tracing.indexing import getitem
from pullback_graph.errors import DTypeError
from pullback_graph.types import FLOAT64, as_dtype

# --- by position ----------------------------------------------------------------------------------


def take(x: Any, indices: Any, /, axis: int | None = None) -> Any:
    """The entries at the indices along an axis, or of the flat array.

    A plain index must be in range; a traced one is clipped to the axis.
    """
    value, places = as_value(x), _integers(indices)
    if axis is None:
        value, axis = apply("reshape", value, shape=(value.size,)), 0
    along = one_axis(axis, value.ndim)
    if isinstance(places, np.ndarray) and not places.ndim:
        places = places[None]
        return apply("squeeze", getitem(value, (slice(None),) * along + (places,)), axes=(along,))
    return getitem(value, (slice(None),) * along + (places,))


def take_along_axis(x: Any, indices: Any, /, axis: int | None = -1) -> Any:
    """The entries along an axis, chosen anew at each place on the others, which broadcast."""
    value, places = as_value(x), _integers(indices)
    if axis is None:
        value, axis = apply("reshape", value, shape=(value.size,)), 0
    along = one_axis(axis, value.ndim)
    shapes = [
        tuple([1 if i == along else n for i, n in enumerate(shape)])
        for shape in (value.shape, places.shape)
    ]
    common = np.broadcast_shapes(*shapes)
    value, places = (
        apply(
            "broadcast_to",
            item,
            shape=(*common[:along], item.shape[along], *common[along + 1 :]),
        )
        for item in (value, places)
    )
    return apply("take_along_axis", value, places, axis=along)


def dynamic_slice(x: Any, starts: Any, sizes: Any) -> Any:
    """The block of `sizes` at `starts` (an integer an axis, may be traced), moved in to fit."""
    return apply("dynamic_slice", as_value(x), _integers(starts), sizes=as_shape(sizes))


def dynamic_update_slice(x: Any, y: Any, starts: Any) -> Any:
    """The array with the block `y` written at `starts`, moved in to fit."""
    value = as_value(x)
    return apply("dynamic_update_slice", value, cast(as_value(y), value.dtype), _integers(starts))


def scatter_add(x: Any, indices: Any, y: Any, /, axis: int = 0) -> Any:
    """The array with `y` added at the indices along an axis, repeated places adding up."""
    value, places = as_value(x), _integers(indices)
    along = one_axis(axis, value.ndim)
    shape = (*value.shape[:along], *places.shape, *value.shape[along + 1 :])
    added = apply("broadcast_to", cast(as_value(y), value.dtype), shape=shape)
    return apply("scatter_add", value, places, added, axis=along)


def one_hot(indices: Any, depth: int, /, *, axis: int = -1, dtype: Any = FLOAT64) -> Any:
    """A new axis of size `depth`: one at the index, zero elsewhere (all, if out of range)."""
    hot = apply("one_hot", _integers(indices), depth=depth, dtype=as_dtype(dtype))
    return moveaxis(hot, -1, axis) if axis != -1 else hot


# --- sorting --------------------------------------------------------------------------------------


def sort(
    x: Any,
    /,
    axis: int | None = -1,
    kind: Any = None,
    *,
    descending: bool = False,
    stable: bool = True,
) -> Any:
    """The elements in order along an axis (of the flat array, where None); stable in any case."""
    value, along = _along(x, axis)
    if not descending:
        return apply("sort", value, axis=along)
    return flip(apply("sort", value, axis=along), along)


def argsort(
    x: Any,
    /,
    axis: int | None = -1,
    kind: Any = None,
    *,
    descending: bool = False,
    stable: bool = True,
) -> Any:
    """The positions (int64) that sort along an axis; equal elements keep their order."""
    value, along = _along(x, axis)
    if not descending:
        return apply("argsort", value, axis=along)
    backwards = apply("argsort", flip(value, along), axis=along)
    last = np.asarray(value.shape[along] - 1)
    return flip(apply("subtract", last, backwards), along)


# --- inside ---------------------------------------------------------------------------------------


def _along(x: Any, axis: int | None) -> tuple[Value, int]:
    value = as_value(x)
    if axis is None:
        return apply("reshape", value, shape=(value.size,)), 0
    return value, one_axis(axis, value.ndim)


def _integers(x: Any) -> Value:
    value = as_value(x)
    if value.dtype.kind not in "iu":
        raise DTypeError(f"indices must be integers, got {value.dtype.name}; cast with astype")
    return value
