"""Rows that take blocks out of an array, or put them in, at places known only when they run.

Starts are an integer vector, one per axis, clamped so that the block fits; sizes are known ahead.
`dynamic_slice` and `undynamic_slice` are each other's transposes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import ShapeError
from pullback_graph.op import (
    VARIADIC,
    Axes,
    Cost,
    Domain,
    Example,
    Factors,
    Interval,
    JointTranspose,
    Moves,
    Op,
    Transpose,
)
from pullback_graph.ops.mapped_blocks import (
    map_dynamic_slice,
    map_dynamic_update_slice,
    map_undynamic_slice,
)
from pullback_graph.ops.placing import Attributes, Group, Placing, check_groups, placing_cost
from pullback_graph.ops.rules import INTEGER, NUMERIC, check_kind, check_same_dtype, copy_cost
from pullback_graph.ops.shape import SHAPE, checked_shape
from pullback_graph.ref import Ref, do
from pullback_graph.types import ArrayType, Shape

# --- dynamic_slice, undynamic_slice ---------------------------------------------------------------


def _check_starts(starts: ArrayType, rank: int) -> None:
    check_kind(starts, INTEGER)
    if starts.shape != (rank,):
        raise ShapeError(f"starts must be of shape ({rank},), one per axis, got {starts.shape}")


def _check_block(sizes: Shape, shape: Shape) -> None:
    if len(sizes) != len(shape) or any(
        not 0 <= size <= whole for size, whole in zip(sizes, shape, strict=True)
    ):
        raise ShapeError(f"a block of {sizes} does not fit in shape {shape}; take a smaller one")


def _dynamic_slice_type(x: ArrayType, starts: ArrayType, *, sizes: Shape) -> ArrayType:
    _check_starts(starts, x.rank)
    _check_block(sizes, x.shape)
    return ArrayType(x.dtype, sizes)


def _covered(whole: Shape, blocks: Sequence[Shape]) -> Factors:
    """The axes that every block covers, which are kept."""
    return tuple(
        [
            axis if all(block[axis] == size for block in blocks) else None
            for axis, size in enumerate(whole)
        ]
    )


def _dynamic_slice_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, sizes: Shape
) -> Axes:
    kept = _covered(operands[0].shape, [sizes])
    return Axes((kept, (None,)), (kept,))


def _dynamic_slice_cost(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any
) -> Cost:
    return copy_cost(operands[1:], [results[0], results[0]])


_DYNAMIC_SLICE = Op(
    "dynamic_slice",
    operands=2,
    attributes=(Attribute("sizes", Kind.SHAPE),),
    type=_dynamic_slice_type,
    run=lambda k, *, sizes: lambda x, starts: k.dynamic_slice(x, starts, sizes),
    derivative=Transpose(
        lambda g, x, starts, *, sizes: do.undynamic_slice(starts, g, shape=x.shape), None
    ),
    axes=_dynamic_slice_axes,
    mapping=map_dynamic_slice,
    cost=_dynamic_slice_cost,
    domain=Domain(
        (Interval(), Interval(-2, 6, integer=True)),
        (
            Example(((5, 3), (2,)), {"sizes": (2, 3)}),
            Example(((4,), (1,)), {"sizes": (0,)}),
            Example(((), (0,)), {"sizes": ()}),
        ),
    ),
    moves=Moves.COPIES,
    doc="The block of `sizes` at `starts`, clamped so that it fits.",
)


def _undynamic_type(*operands: ArrayType, shape: Shape) -> ArrayType:
    check_groups(len(operands), 2)
    check_kind(operands[1], NUMERIC)
    check_same_dtype(*operands[1::2])
    checked_shape(shape)
    for starts, y in zip(operands[::2], operands[1::2], strict=True):
        _check_starts(starts, len(shape))
        _check_block(y.shape, shape)
    return ArrayType(operands[1].dtype, shape)


def _pairs(operands: Sequence[Any], attributes: Attributes) -> list[Group]:
    return [Group(operands[i : i + 2], {}) for i in range(0, len(operands), 2)]


def _dynamic_slice_back(g: Ref, group: Group) -> Ref:
    starts, y = group.operands
    part: Ref = do.dynamic_slice(g, starts, sizes=y.shape)
    return part


_UNDYNAMIC = Placing("undynamic_slice", (), _pairs, _dynamic_slice_back)


def _undynamic_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, shape: Shape
) -> Axes:
    kept = _covered(shape, [y.shape for y in operands[1::2]])
    return Axes(((None,), kept) * (len(operands) // 2), (kept,))


_UNDYNAMIC_SLICE = Op(
    "undynamic_slice",
    operands=VARIADIC,
    attributes=(SHAPE,),
    type=_undynamic_type,
    run=lambda k, *, shape: lambda *groups: k.sum_at_blocks(shape, groups[::2], groups[1::2]),
    derivative=_UNDYNAMIC.derivative,
    fuse_sum=_UNDYNAMIC.fuse_sum,
    axes=_undynamic_axes,
    mapping=map_undynamic_slice,
    cost=placing_cost,
    domain=Domain(
        (Interval(-2, 6, integer=True), Interval()),
        (
            Example(((2,), (2, 3)), {"shape": (5, 3)}),
            Example(((1,), (2,), (1,), (3,)), {"shape": (4,)}),
            Example(((0,), ()), {"shape": ()}),
        ),
    ),
    moves=Moves.PLACES,
    doc="Groups (starts, y): the sum of the y, each at its starts (clamped) in zeros of `shape`.",
)


# --- dynamic_update_slice -------------------------------------------------------------------------


def _update_type(x: ArrayType, y: ArrayType, starts: ArrayType) -> ArrayType:
    check_same_dtype(x, y)
    _check_starts(starts, x.rank)
    _check_block(y.shape, x.shape)
    return x


def _update_transpose(g: Ref, x: Ref, y: Ref, starts: Ref) -> list[Ref | None]:
    zero = g.builder.constant(g.dtype.type(0))
    blank = do.broadcast_to(zero, shape=y.shape)
    rest = do.dynamic_update_slice(g, blank, starts)
    return [rest, do.dynamic_slice(g, starts, sizes=y.shape), None]


def _update_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> Axes:
    kept = _covered(operands[0].shape, [operands[1].shape])
    return Axes((kept, kept, (None,)), (kept,))


_DYNAMIC_UPDATE_SLICE = Op(
    "dynamic_update_slice",
    operands=3,
    type=_update_type,
    run=lambda k: k.dynamic_update_slice,
    derivative=JointTranspose(_update_transpose, linear=(0, 1)),
    axes=_update_axes,
    mapping=map_dynamic_update_slice,
    cost=copy_cost,
    domain=Domain(
        (Interval(), Interval(), Interval(-2, 6, integer=True)),
        (
            Example(((5, 3), (2, 3), (2,))),
            Example(((4,), (0,), (1,))),
            Example(((), (), (0,))),
        ),
    ),
    moves=Moves.COPIES,
    doc="The first operand with the second written at `starts`, clamped so that it fits.",
)


ROWS: tuple[Op, ...] = (_DYNAMIC_SLICE, _UNDYNAMIC_SLICE, _DYNAMIC_UPDATE_SLICE)
