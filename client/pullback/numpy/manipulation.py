"""Functions that give an array another shape, or another order of its axes or elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.numpy.axes import as_shape, filled_shape, many_axes, one_axis, ordered_axes
from pullback.tracing.apply import Value, apply, as_value
from pullback_graph.errors import ShapeError, TraceError
from pullback_graph.types import Shape
from pullback_graph.types import broadcast_shapes as _broadcast

# --- shape ----------------------------------------------------------------------------------------


def reshape(x: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """The same elements in another shape; one size may be -1. `order` "F": column-major."""
    value = as_value(x)
    sizes = filled_shape(shape, value.size)
    if _row_major(order):
        return apply("reshape", value, shape=sizes)
    return transpose(apply("reshape", transpose(value), shape=sizes[::-1]))


def ravel(x: Any, /, order: str = "C") -> Any:
    """The elements as one axis."""
    value = as_value(x)
    rows = value if _row_major(order) else transpose(value)
    return apply("reshape", rows, shape=(value.size,))


def expand_dims(x: Any, /, axis: Any = 0) -> Any:
    """New axes of size one; `axis` numbers the axes of the result."""
    value = as_value(x)
    count = len(axis) if isinstance(axis, Sequence) else 1
    return apply("expand_dims", value, axes=many_axes(axis, value.ndim + count))


def squeeze(x: Any, /, axis: Any = None) -> Any:
    """Without the given axes of size one (all of them, where None)."""
    value = as_value(x)
    if axis is None:
        axes = tuple([i for i, size in enumerate(value.shape) if size == 1])
    else:
        axes = many_axes(axis, value.ndim)
    return apply("squeeze", value, axes=axes)


def atleast_1d(*arrays: Any) -> Any:
    """Each array with at least one axis."""
    return _each(arrays, lambda x: x if x.ndim else reshape(x, (1,)))


def atleast_2d(*arrays: Any) -> Any:
    """Each array with at least two axes, new ones first."""
    return _each(arrays, lambda x: reshape(x, (1,) * (2 - x.ndim) + x.shape) if x.ndim < 2 else x)


def atleast_3d(*arrays: Any) -> Any:
    """Each array with at least three axes, placed as NumPy does."""
    return _each(arrays, lambda x: x if x.ndim > 2 else reshape(x, np.atleast_3d(_blank(x)).shape))


def broadcast_to(x: Any, /, shape: Any) -> Any:
    """The array repeated along axes of size one and new leading axes."""
    return apply("broadcast_to", as_value(x), shape=as_shape(shape))


def broadcast_arrays(*arrays: Any) -> tuple[Any, ...]:
    """The arrays broadcast to one shape."""
    values = [as_value(x) for x in arrays]
    shape = _broadcast([value.shape for value in values])
    return tuple([apply("broadcast_to", value, shape=shape) for value in values])


def broadcast_shapes(*shapes: Any) -> Shape:
    """The shape that arrays of these shapes broadcast to."""
    return _broadcast([as_shape(shape) for shape in shapes])


# --- order of axes --------------------------------------------------------------------------------


def permute_dims(x: Any, /, axes: Any) -> Any:
    """Axis i of the result is axis axes[i] of the operand."""
    value = as_value(x)
    return apply("permute_dims", value, axes=ordered_axes(tuple(axes), value.ndim))


def transpose(x: Any, /, axes: Any = None) -> Any:
    """The axes permuted, or reversed where None."""
    value = as_value(x)
    return permute_dims(value, tuple(range(value.ndim))[::-1] if axes is None else axes)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    value = as_value(x)
    if value.ndim < 2:
        raise ShapeError(f"a matrix has two axes, got shape {value.shape}; use reshape")
    return swapaxes(value, -1, -2)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    value = as_value(x)
    order = list(range(value.ndim))
    first, second = one_axis(axis1, value.ndim), one_axis(axis2, value.ndim)
    order[first], order[second] = second, first
    return permute_dims(value, order)


def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    """Axes moved to other places, the rest staying in order."""
    value = as_value(x)
    sources = ordered_axes(source, value.ndim)
    places = ordered_axes(destination, value.ndim)
    order = [axis for axis in range(value.ndim) if axis not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return permute_dims(value, order)


# --- order of elements ----------------------------------------------------------------------------


def flip(x: Any, /, axis: Any = None) -> Any:
    """The elements in reverse order along axes."""
    value = as_value(x)
    return apply("flip", value, axes=many_axes(axis, value.ndim))


def fliplr(x: Any) -> Any:
    """Columns in reverse order."""
    return flip(x, 1)


def flipud(x: Any) -> Any:
    """Rows in reverse order."""
    return flip(x, 0)


def roll(x: Any, /, shift: Any, axis: Any = None) -> Any:
    """Elements moved along axes (or in the flat array), coming in again at the other end."""
    value = as_value(x)
    if axis is None:
        flat = apply("reshape", value, shape=(value.size,))
        return apply("reshape", roll(flat, shift, 0), shape=value.shape)
    given = axis if isinstance(axis, Sequence) else (axis,)
    shifts = as_shape(shift) * (1 if isinstance(shift, Sequence) else len(given))
    total: dict[int, int] = {}
    for moved, place in zip(shifts, [one_axis(item, value.ndim) for item in given], strict=True):
        total[place] = total.get(place, 0) + moved
    return apply("roll", value, shifts=tuple(total.values()), axes=tuple(total))


def rot90(x: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """The array turned by k right angles, from the first of two axes towards the second."""
    value = as_value(x)
    first, second = ordered_axes(axes, value.ndim)
    match k % 4:
        case 0:
            return value
        case 1:
            return swapaxes(flip(value, second), first, second)
        case 2:
            return flip(value, (first, second))
        case _:
            return flip(swapaxes(value, first, second), second)


# --- triangles and diagonals ----------------------------------------------------------------------


def tril(x: Any, /, k: int = 0) -> Any:
    """The lower triangle of the last two axes, up to diagonal k; zeros above."""
    return apply("tril", as_value(x), k=k)


def triu(x: Any, /, k: int = 0) -> Any:
    """The upper triangle of the last two axes, from diagonal k on; zeros below."""
    return apply("triu", as_value(x), k=k)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of two axes, as a last axis."""
    value = moveaxis(x, (axis1, axis2), (-2, -1))
    return apply("diagonal", value, offset=offset)


def diag(x: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    value = as_value(x)
    if value.ndim == 2:
        return apply("diagonal", value, offset=k)
    if value.ndim != 1:
        raise ShapeError(f"diag takes one or two axes, got shape {value.shape}; use diagonal")
    size = value.shape[0] + (k if k > 0 else -k)
    return apply("diag", value, shape=(size, size), offset=k)


# --- inside ---------------------------------------------------------------------------------------


def _row_major(order: str) -> bool:
    if order not in ("C", "F", "A", "K"):
        raise TraceError(f"order {order!r} is none of C and F")
    return order != "F"


def _each(arrays: Sequence[Any], change: Any) -> Any:
    changed = [change(as_value(x)) for x in arrays]
    return changed[0] if len(changed) == 1 else tuple(changed)


def _blank(value: Value) -> Any:
    """A plain array of the same shape, for asking NumPy what it makes of that."""
    return np.broadcast_to(np.zeros(()), value.shape)
