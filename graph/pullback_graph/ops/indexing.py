"""Rows that read at integer indices. A negative index counts from the end; beyond the ends, clips.

Their transposes, which scatter, stand in `scattering`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind, one_further
from pullback_graph.errors import ArityError, AttributeFault, ShapeError
from pullback_graph.kernels import Index
from pullback_graph.op import (
    VARIADIC,
    Axes,
    Both,
    Cost,
    Domain,
    Example,
    Factors,
    Interval,
    Moves,
    Op,
    Transpose,
    Zero,
)
from pullback_graph.ops.mapped_indexing import map_gather, map_take
from pullback_graph.ops.rules import AXIS, INTEGER, check_axes, check_kind, moved_bytes
from pullback_graph.ref import Ref, do
from pullback_graph.types import ArrayType, Shape, broadcast_shapes

INDICES = Interval(-7, 9, integer=True)
"""Where tests draw indices from: beyond both ends of the examples' axes."""


def check_has_elements(shape: Shape, axes: Sequence[int], indices: Shape) -> None:
    """Refuse to index an axis that has no element to clip to.

    Raises:
        ShapeError: an indexed axis has size zero and there are indices.
    """
    if 0 not in indices and any(shape[axis] == 0 for axis in axes):
        raise ShapeError(f"nothing to index: shape {shape} has no elements along axes {axes}")


def touched_cost(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
    """No FLOPs; indices read, as many elements read as written."""
    return Cost(0.0, moved_bytes(operands[1:], [results[0], results[0]]))


# --- take -----------------------------------------------------------------------------------------


def take_shape(shape: Shape, indices: ArrayType, axis: int) -> Shape:
    """The shape of `take`.

    Raises:
        ShapeError, DTypeError: the axis or the indices are unfit.
    """
    check_kind(indices, INTEGER)
    check_axes(shape, (axis,))
    check_has_elements(shape, (axis,), indices.shape)
    return shape[:axis] + indices.shape + shape[axis + 1 :]


def _take_type(x: ArrayType, indices: ArrayType, *, axis: int) -> ArrayType:
    return ArrayType(x.dtype, take_shape(x.shape, indices, axis))


def _untake(g: Ref, x: Ref, indices: Ref, *, axis: int) -> Ref:
    placed: Ref = do.ungather(indices, g, shape=x.shape, axes=(axis,), counts=(1,))
    return placed


def _take_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int) -> Axes:
    """The indexed axis stays whole; the others and the indices' own are kept."""
    result = tuple(range(results[0].rank))
    end = axis + operands[1].rank
    return Axes(((*result[:axis], None, *result[end:]), result[axis:end]), (result,))


_TAKE = Op(
    "take",
    operands=2,
    attributes=(AXIS,),
    type=_take_type,
    run=lambda k, *, axis: lambda x, indices: k.take(x, indices, axis),
    derivative=Transpose(_untake, None),
    axes=_take_axes,
    cost=touched_cost,
    mapping=map_take,
    domain=Domain(
        (Interval(), INDICES),
        (
            Example(((4, 3), (5,)), {"axis": 0}),
            Example(((2, 3), (2, 2)), {"axis": 1}),
            Example(((4,), ()), {"axis": 0}),
            Example(((2, 0), (0,)), {"axis": 1}),
        ),
    ),
    moves=Moves.COPIES,
    doc="The entries of the first operand at the indices along an axis, whose place they take.",
)


# --- take_along_axis ------------------------------------------------------------------------------


def check_along_axis(shape: Shape, indices: ArrayType, axis: int) -> None:
    """Refuse indices that do not pair with an array of `shape` along `axis`.

    Raises:
        ShapeError, DTypeError: the axis or the indices are unfit.
    """
    check_kind(indices, INTEGER)
    check_axes(shape, (axis,))
    fitting = (*shape[:axis], *indices.shape[axis : axis + 1], *shape[axis + 1 :])
    if indices.shape != fitting:
        raise ShapeError(
            f"indices of shape {indices.shape} do not pair with shape {shape} along axis {axis}; "
            "broadcast both to equal sizes on the other axes"
        )
    check_has_elements(shape, (axis,), indices.shape)


def _take_along_type(x: ArrayType, indices: ArrayType, *, axis: int) -> ArrayType:
    check_along_axis(x.shape, indices, axis)
    return ArrayType(x.dtype, indices.shape)


def _untake_along(g: Ref, x: Ref, indices: Ref, *, axis: int) -> Ref:
    placed: Ref = do.untake_along_axis(indices, g, shape=x.shape, axes=(axis,))
    return placed


def _take_along_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int
) -> Axes:
    """The indexed axis stays whole, the indices' entries along it and the other axes are kept."""
    rank = results[0].rank
    result = tuple(range(rank))
    x = tuple([None if i == axis else i for i in result])
    return Axes((x, result), (result,))


_TAKE_ALONG_AXIS = Op(
    "take_along_axis",
    operands=2,
    attributes=(AXIS,),
    type=_take_along_type,
    run=lambda k, *, axis: lambda x, indices: k.take_along_axis(x, indices, axis),
    derivative=Transpose(_untake_along, None),
    axes=_take_along_axes,
    cost=touched_cost,
    domain=Domain(
        (Interval(), INDICES),
        (
            Example(((4, 3), (4, 1)), {"axis": 1}),
            Example(((3, 2), (5, 2)), {"axis": 0}),
            Example(((3,), (0,)), {"axis": 0}),
            Example(((0, 2), (0, 3)), {"axis": 1}),
        ),
    ),
    moves=Moves.COPIES,
    doc="Entries along an axis, chosen by indices of their own for each place on the other axes.",
)


# --- gather ---------------------------------------------------------------------------------------


def gather_shape(shape: Shape, indices: Sequence[ArrayType], axes: Shape) -> tuple[Shape, int]:
    """The shape of `gather`, and the axis of it at which the indices' own axes begin.

    Raises:
        ArityError, AttributeFault, ShapeError, DTypeError: axes or indices are unfit.
    """
    if len(indices) != len(axes) or not axes:
        raise ArityError(f"{len(indices)} index operand(s) for axes {axes}; give one per axis")
    if list(axes) != sorted(axes):
        raise AttributeFault(f"axes {axes} are not in ascending order; sort them with the indices")
    check_axes(shape, axes)
    for index in indices:
        check_kind(index, INTEGER)
    own = broadcast_shapes([index.shape for index in indices])
    check_has_elements(shape, axes, own)
    adjacent = axes[-1] - axes[0] == len(axes) - 1
    begin = axes[0] if adjacent else 0
    rest = tuple([size for axis, size in enumerate(shape) if axis not in axes])
    return rest[:begin] + own + rest[begin:], begin


def gather_index(indices: Sequence[Any], axes: Shape) -> Index:
    """The index that has `indices` at `axes` and everything elsewhere."""
    index: list[Any] = [slice(None)] * (axes[-1] + 1)
    for axis, entry in zip(axes, indices, strict=True):
        index[axis] = entry
    return tuple(index)


def _gather_type(x: ArrayType, *indices: ArrayType, axes: Shape) -> ArrayType:
    return ArrayType(x.dtype, gather_shape(x.shape, indices, axes)[0])


def _gather_jvp(
    tangents: Sequence[Ref | None], z: Ref, x: Ref, *indices: Ref, axes: Shape
) -> Ref | None:
    return None if tangents[0] is None else do.gather(tangents[0], *indices, axes=axes)


def _gather_vjp(g: Ref, z: Ref, x: Ref, *indices: Ref, axes: Shape) -> list[Ref | None]:
    placed: Ref = do.ungather(*indices, g, shape=x.shape, axes=axes, counts=(len(axes),))
    return [placed, *[None] * len(indices)]


def index_factors(indices: Sequence[ArrayType], own: Shape, factors: Factors) -> list[Factors]:
    """Factors of index operands that broadcast to shape `own`, whose axes have `factors`."""
    return [
        tuple(
            [
                factors[place] if size == own[place] else None
                for place, size in enumerate(index.shape, len(own) - index.rank)
            ]
        )
        for index in indices
    ]


def _gather_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axes: Shape
) -> Axes:
    """Indexed axes stay whole; the others and the indices' own are kept."""
    x, *indices = operands
    _, begin = gather_shape(x.shape, indices, axes)
    result = tuple(range(results[0].rank))
    own = broadcast_shapes([index.shape for index in indices])
    end = begin + len(own)
    rest = iter(result[:begin] + result[end:])
    kept = tuple([None if axis in axes else next(rest) for axis in range(x.rank)])
    return Axes((kept, *index_factors(indices, own, result[begin:end])), (result,))


_GATHER = Op(
    "gather",
    operands=VARIADIC,
    attributes=(Attribute("axes", Kind.INTS, leading=one_further),),
    type=_gather_type,
    run=lambda k, *, axes: lambda x, *indices: k.index(x, gather_index(indices, axes)),
    derivative=Both(_gather_jvp, _gather_vjp),
    axes=_gather_axes,
    cost=touched_cost,
    mapping=map_gather,
    domain=Domain(
        (Interval(), INDICES, INDICES),
        (
            Example(((3, 2, 4), (5,), (5,)), {"axes": (0, 2)}),
            Example(((2, 3, 4), (2, 1), (3,)), {"axes": (1, 2)}),
            Example(((3, 2), (4,)), {"axes": (1,)}),
            Example(((3, 2), (), ()), {"axes": (0, 1)}),
            Example(((3, 0), (0,)), {"axes": (1,)}),
        ),
    ),
    moves=Moves.COPIES,
    doc="x[i, :, j]: index operands at `axes` (ascending), broadcast and placed as NumPy does.",
)


# --- one_hot --------------------------------------------------------------------------------------


def _one_hot_type(indices: ArrayType, *, depth: int, dtype: Any) -> ArrayType:
    check_kind(indices, INTEGER)
    if depth < 0:
        raise ShapeError(f"depth is {depth}; give the number of classes, zero or more")
    return ArrayType(dtype, (*indices.shape, depth))


def _one_hot_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Axes:
    kept = tuple(range(operands[0].rank))
    return Axes((kept,), ((*kept, None),))


_ONE_HOT = Op(
    "one_hot",
    operands=1,
    attributes=(Attribute("depth", Kind.INT), Attribute("dtype", Kind.DTYPE)),
    type=_one_hot_type,
    run=lambda k, *, depth, dtype: (
        lambda indices: k.astype(indices[..., None] == k.xp.arange(depth), dtype)
    ),
    derivative=Zero(),
    axes=_one_hot_axes,
    cost=lambda operands, results, **_: Cost(
        float(results[0].size), moved_bytes(operands, results)
    ),
    domain=Domain(
        (Interval(-2, 5, integer=True),),
        (
            Example(((4,),), {"depth": 3, "dtype": "float64"}),
            Example(((),), {"depth": 2, "dtype": "float32"}),
            Example(((2, 0),), {"depth": 2, "dtype": "int32"}),
            Example(((2,),), {"depth": 0, "dtype": "bool"}),
        ),
    ),
    doc="A new last axis of size `depth`: one at the index, zero elsewhere (all, if out of range).",
)


ROWS: tuple[Op, ...] = (_TAKE, _TAKE_ALONG_AXIS, _GATHER, _ONE_HOT)
