"""Rows that lay copies of their operands out anew: join, roll, repeat, pad. All are linear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

from pullback_graph.attributes import Attribute, Kind, Lead, per_axis, unchanged
from pullback_graph.errors import ShapeError
from pullback_graph.kernels import Kernels
from pullback_graph.op import VARIADIC, Axes, Example, JointTranspose, Moves, Op, Transpose
from pullback_graph.ops.leading import of_rank, spread
from pullback_graph.ops.rules import (
    AXES,
    AXIS,
    check_axes,
    check_same_dtype,
    copy_cost,
    reals,
)
from pullback_graph.ops.shape import expander, whole_along, with_and_without
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType, Shape

# --- concat, stack --------------------------------------------------------------------------------


def _concat_type(*operands: ArrayType, axis: int) -> ArrayType:
    check_same_dtype(*operands)
    shape = operands[0].shape
    check_axes(shape, (axis,))
    total = 0
    for operand in operands:
        other = operand.shape
        beside = other[:axis] == shape[:axis] and other[axis + 1 :] == shape[axis + 1 :]
        if len(other) != len(shape) or not beside:
            raise ShapeError(
                f"shapes {shape} and {other} differ beside axis {axis}; reshape or broadcast one"
            )
        total += other[axis]
    return ArrayType(operands[0].dtype, (*shape[:axis], total, *shape[axis + 1 :]))


def _concat_transpose(g: Ref, *operands: Ref, axis: int) -> list[Ref]:
    stops = accumulate(operand.shape[axis] for operand in operands)
    return [
        _along(g, axis, stop - y.shape[axis], stop) for y, stop in zip(operands, stops, strict=True)
    ]


def _along(x: Ref, axis: int, start: int, stop: int) -> Ref:
    """Elements start:stop of `x` along one axis."""
    rank = len(x.shape)
    starts = tuple([start if i == axis else 0 for i in range(rank)])
    stops = tuple([stop if i == axis else size for i, size in enumerate(x.shape)])
    part: Ref = do.slice(x, starts=starts, stops=stops, steps=(1,) * rank)
    return part


def _concat_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int) -> Axes:
    kept = tuple([None if i == axis else i for i in range(results[0].rank)])
    return Axes((kept,) * len(operands), (kept,))


_CONCAT = Op(
    "concat",
    operands=VARIADIC,
    attributes=(AXIS,),
    type=_concat_type,
    run=lambda k, *, axis: lambda *xs: k.xp.concatenate(xs, axis=axis),
    derivative=JointTranspose(_concat_transpose),
    axes=_concat_axes,
    cost=copy_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3), (2, 1), (2, 4)), {"axis": 1}),
            Example(((3,), (0,), (2,)), {"axis": 0}),
            Example(((2, 2),), {"axis": 0}),
        ],
    ),
    moves=Moves.COPIES,
    doc="The operands one after the other along an axis they have.",
)


def _stack_type(*operands: ArrayType, axis: int) -> ArrayType:
    check_same_dtype(*operands)
    shape = operands[0].shape
    if any(operand.shape != shape for operand in operands):
        listed = ", ".join(dict.fromkeys([str(operand.shape) for operand in operands]))
        raise ShapeError(f"shapes {listed} differ; broadcast them to one shape first")
    check_axes((*shape, 1), (axis,))
    return ArrayType(operands[0].dtype, (*shape[:axis], len(operands), *shape[axis:]))


def _stack_transpose(g: Ref, *operands: Ref, axis: int) -> list[Ref]:
    return [do.squeeze(_along(g, axis, i, i + 1), axes=(axis,)) for i in range(len(operands))]


def _run_stack(k: Kernels, *, axis: int) -> Callable[..., Array]:
    index = expander((axis,))
    return lambda *xs: k.xp.concatenate([x[index] for x in xs], axis=axis)


def _stack_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int) -> Axes:
    whole, without = with_and_without(results[0].rank, (axis,))
    return Axes((without,) * len(operands), (whole,))


_STACK = Op(
    "stack",
    operands=VARIADIC,
    attributes=(AXIS,),
    type=_stack_type,
    run=_run_stack,
    derivative=JointTranspose(_stack_transpose),
    axes=_stack_axes,
    cost=copy_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3), (2, 3)), {"axis": 1}),
            Example(((), (), ()), {"axis": 0}),
            Example(((2,),), {"axis": 1}),
            Example(((0,), (0,)), {"axis": 0}),
        ],
    ),
    moves=Moves.COPIES,
    doc="The operands side by side along a new axis; `axis` numbers the axes of the result.",
)


# --- roll -----------------------------------------------------------------------------------------


def _roll_type(x: ArrayType, *, shifts: Shape, axes: Shape) -> ArrayType:
    check_axes(x.shape, axes)
    if len(shifts) != len(axes):
        raise ShapeError(f"{len(shifts)} shifts for {len(axes)} axes; give one shift per axis")
    return x


def _roll_back(g: Ref, x: Ref, *, shifts: Shape, axes: Shape) -> Ref:
    back: Ref = do.roll(g, shifts=tuple([-shift for shift in shifts]), axes=axes)
    return back


def _run_roll(k: Kernels, *, shifts: Shape, axes: Shape) -> Callable[[Array], Array]:
    if not axes:  # NumPy refuses to roll a 0-d array
        return lambda x: x
    return lambda x: k.xp.roll(x, shifts, axes)


_ROLL = Op(
    "roll",
    operands=1,
    attributes=(Attribute("shifts", Kind.INTS, leading=unchanged), AXES),
    type=_roll_type,
    run=_run_roll,
    derivative=Transpose(_roll_back),
    axes=whole_along,
    cost=copy_cost,
    domain=reals(
        1,
        examples=[
            Example(((5,),), {"shifts": (2,), "axes": (0,)}),
            Example(((2, 3),), {"shifts": (-1, 4), "axes": (0, 1)}),
            Example(((3,),), {"shifts": (), "axes": ()}),
            Example(((0, 2),), {"shifts": (1,), "axes": (0,)}),
            Example(((),), {"shifts": (), "axes": ()}),
        ],
    ),
    moves=Moves.COPIES,
    doc="Elements moved by `shifts` along `axes`; those pushed out come in at the other end.",
)


# --- tile, repeat ---------------------------------------------------------------------------------


def _tile_type(x: ArrayType, *, repeats: Shape) -> ArrayType:
    if len(repeats) != x.rank or any(count < 0 for count in repeats):
        raise ShapeError(
            f"repeats {repeats} do not fit shape {x.shape}; give a count, zero or more, per axis"
        )
    return ArrayType(x.dtype, tuple([n * r for n, r in zip(x.shape, repeats, strict=True)]))


def _tile_transpose(g: Ref, x: Ref, *, repeats: Shape) -> Ref:
    """The sum over the copies: each axis split into (copies, size)."""
    split = [size for pair in zip(repeats, x.shape, strict=True) for size in pair]
    copies = tuple(range(0, 2 * len(repeats), 2))
    return _sum_over(do.reshape(g, shape=tuple(split)), copies)


def _sum_over(x: Ref, axes: Shape) -> Ref:
    total: Ref = do.sum(x, axes=axes, keepdims=False)
    return total


def _tile_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, repeats: Shape
) -> Axes:
    kept = tuple([i if count == 1 else None for i, count in enumerate(repeats)])
    return Axes((kept,), (kept,))


_TILE = Op(
    "tile",
    operands=1,
    attributes=(Attribute("repeats", Kind.INTS, leading=per_axis(1)),),
    type=_tile_type,
    run=lambda k, *, repeats: lambda x: k.xp.tile(x, repeats),
    derivative=Transpose(_tile_transpose),
    axes=_tile_axes,
    cost=copy_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3),), {"repeats": (2, 1)}),
            Example(((2,),), {"repeats": (3,)}),
            Example(((2, 2),), {"repeats": (0, 2)}),
            Example(((),), {"repeats": ()}),
        ],
    ),
    moves=Moves.COPIES,
    doc="The whole operand repeated along each axis.",
)


def _repeat_type(x: ArrayType, *, repeats: int, axis: int) -> ArrayType:
    check_axes(x.shape, (axis,))
    if repeats < 0:
        raise ShapeError(f"repeats is {repeats}; give a count, zero or more")
    shape = x.shape
    return ArrayType(x.dtype, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))


def _repeat_transpose(g: Ref, x: Ref, *, repeats: int, axis: int) -> Ref:
    """The sum over the copies: the axis split into (size, copies)."""
    shape = x.shape
    split = (*shape[: axis + 1], repeats, *shape[axis + 1 :])
    return _sum_over(do.reshape(g, shape=split), (axis + 1,))


def _repeat_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, repeats: int, axis: int
) -> Axes:
    """All kept: the repeated axis is `repeats` times as long, block for block."""
    kept = tuple(range(results[0].rank))
    return Axes((kept,), (kept,))


_REPEAT = Op(
    "repeat",
    operands=1,
    attributes=(Attribute("repeats", Kind.INT), AXIS),
    type=_repeat_type,
    run=lambda k, *, repeats, axis: lambda x: k.xp.repeat(x, repeats, axis),
    derivative=Transpose(_repeat_transpose),
    axes=_repeat_axes,
    cost=copy_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3),), {"repeats": 2, "axis": 1}),
            Example(((3,),), {"repeats": 1, "axis": 0}),
            Example(((2, 2),), {"repeats": 0, "axis": 0}),
            Example(((0,),), {"repeats": 2, "axis": 0}),
        ],
    ),
    moves=Moves.COPIES,
    doc="Each element repeated in place along an axis.",
)


# --- pad ------------------------------------------------------------------------------------------


def _pad_type(x: ArrayType, fill: ArrayType, *, low: Shape, high: Shape) -> ArrayType:
    check_same_dtype(x, fill)
    if fill.shape:
        raise ShapeError(f"the fill must be 0-d, got shape {fill.shape}")
    if not len(low) == len(high) == x.rank or any(n < 0 for n in (*low, *high)):
        raise ShapeError(
            f"low {low} and high {high} do not fit shape {x.shape}; give a count, zero or more, "
            "per axis (to crop, slice)"
        )
    return ArrayType(x.dtype, _padded(x.shape, low, high))


def _padded(shape: Shape, low: Shape, high: Shape) -> Shape:
    return tuple([a + n + b for a, n, b in zip(low, shape, high, strict=True)])


def _pad_transpose(g: Ref, x: Ref, fill: Ref, *, low: Shape, high: Shape) -> list[Ref]:
    """The middle of g, and the sum of the rest of it."""
    constant = g.builder.constant
    inside = do.broadcast_to(constant(np.False_), shape=x.shape)
    outside = do.pad(inside, constant(np.True_), low=low, high=high)
    stops = tuple([a + n for a, n in zip(low, x.shape, strict=True)])
    middle = do.slice(g, starts=low, stops=stops, steps=(1,) * len(low))
    return [
        middle,
        _sum_over(do.where(outside, g, constant(g.dtype.type(0))), tuple(range(len(low)))),
    ]


def _pad_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, low: Shape, high: Shape
) -> Axes:
    kept = tuple([None if low[i] or high[i] else i for i in range(len(low))])
    return Axes((kept, ()), (kept,))


def _map_pad(operands: Sequence[Ref], lead: Lead, *, low: Shape, high: Shape) -> Ref | None:
    """A fill that is mapped is chosen where there is no operand."""
    x, fill = operands
    if not lead.mapped[1]:
        return None
    x = x if lead.mapped[0] else spread(x, lead.size)
    constant = x.builder.constant
    inside = do.broadcast_to(constant(np.True_), shape=x.shape[1:])
    inside = do.pad(inside, constant(np.False_), low=low, high=high)
    padded = do.pad(x, constant(x.dtype.type(0)), low=(0, *low), high=(0, *high))
    chosen: Ref = do.where(inside, padded, of_rank(fill, len(low)))
    return chosen


_PAD = Op(
    "pad",
    operands=2,
    attributes=(
        Attribute("low", Kind.INTS, leading=per_axis(0)),
        Attribute("high", Kind.INTS, leading=per_axis(0)),
    ),
    type=_pad_type,
    run=lambda k, *, low, high: lambda x, fill: k.pad(x, fill, low, high),
    derivative=JointTranspose(_pad_transpose),
    axes=_pad_axes,
    mapping=_map_pad,
    cost=copy_cost,
    domain=reals(
        2,
        examples=[
            Example(((2, 3), ()), {"low": (1, 0), "high": (0, 2)}),
            Example(((0,), ()), {"low": (2,), "high": (1,)}),
            Example(((), ()), {"low": (), "high": ()}),
        ],
    ),
    moves=Moves.COPIES,
    doc="The operand with a 0-d fill around it: `low` elements before each axis, `high` after.",
)


ROWS: tuple[Op, ...] = (_CONCAT, _STACK, _ROLL, _TILE, _REPEAT, _PAD)
