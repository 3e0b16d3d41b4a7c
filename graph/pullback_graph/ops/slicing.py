"""Rows that take blocks out of an array, or put them in, at places known ahead.

`slice` and `unslice` are each other's transposes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind, per_operand_and_axis
from pullback_graph.errors import ShapeError
from pullback_graph.kernels import Kernels, Slices
from pullback_graph.op import VARIADIC, Axes, Example, Moves, Op, Transpose
from pullback_graph.ops.placing import Attributes, Group, Placing, placing_cost
from pullback_graph.ops.rules import (
    NUMERIC,
    check_kind,
    check_same_dtype,
    reals,
    view_cost,
)
from pullback_graph.ops.shape import SHAPE, checked_shape
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType, Shape

STARTS = Attribute("starts", Kind.INTS, leading=per_operand_and_axis(0))
STEPS = Attribute("steps", Kind.INTS, leading=per_operand_and_axis(1))


# --- slice ----------------------------------------------------------------------------------------


def _slice_type(x: ArrayType, *, starts: Shape, stops: Shape, steps: Shape) -> ArrayType:
    if not len(starts) == len(stops) == len(steps) == x.rank:
        raise ShapeError(
            f"starts {starts}, stops {stops} and steps {steps} do not fit shape {x.shape}; give "
            "one of each per axis"
        )
    sizes = [
        _slice_size(axis, size, start, stop, step)
        for axis, (size, start, stop, step) in enumerate(
            zip(x.shape, starts, stops, steps, strict=True)
        )
    ]
    return ArrayType(x.dtype, tuple(sizes))


def _slice_size(axis: int, size: int, start: int, stop: int, step: int) -> int:
    """How many elements start:stop:step takes of an axis."""
    if step == 0:
        raise ShapeError(f"the step at axis {axis} is zero; use one or more, or less than zero")
    count = len(range(start, stop, step))
    first_ok = 0 <= start < size if count else -1 <= start <= size
    if not first_ok or not -1 <= stop <= size or (stop == -1 and step > 0):
        raise ShapeError(
            f"{start}:{stop}:{step} leaves axis {axis} of size {size}; count from the start and "
            "stop within it (or at -1, before its first element, when stepping back)"
        )
    return count


def _place(start: int, count: int, step: int) -> slice:
    """The slice of `count` elements from `start` on."""
    if count == 0:
        return slice(0, 0)
    stop = start + step * (count - 1) + (1 if step > 0 else -1)
    return slice(start, None if stop < 0 else stop, step)


def _run_slice(
    k: Kernels, *, starts: Shape, stops: Shape, steps: Shape
) -> Callable[[Array], Array]:
    index = tuple(
        [
            _place(start, len(range(start, stop, step)), step)
            for start, stop, step in zip(starts, stops, steps, strict=True)
        ]
    )
    return lambda x: x[index]


def _slice_axes(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    starts: Shape,
    stops: Shape,
    steps: Shape,
) -> Axes:
    """Axes taken whole are kept."""
    kept = tuple(
        [
            axis if (starts[axis], stops[axis], steps[axis]) == (0, size, 1) else None
            for axis, size in enumerate(operands[0].shape)
        ]
    )
    return Axes((kept,), (kept,))


_SLICE = Op(
    "slice",
    operands=1,
    attributes=(STARTS, Attribute("stops", Kind.STOPS), STEPS),
    type=_slice_type,
    run=_run_slice,
    derivative=Transpose(
        lambda g, x, *, starts, stops, steps: do.unslice(
            g, shape=x.shape, starts=starts, steps=steps
        )
    ),
    axes=_slice_axes,
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((4, 5),), {"starts": (1, 0), "stops": (3, 5), "steps": (1, 2)}),
            Example(((5, 2),), {"starts": (4, 0), "stops": (-1, 2), "steps": (-2, 1)}),
            Example(((6,),), {"starts": (5,), "stops": (1,), "steps": (-1,)}),
            Example(((3,),), {"starts": (2,), "stops": (2,), "steps": (1,)}),
            Example(((0, 2),), {"starts": (0, 1), "stops": (0, 2), "steps": (1, 1)}),
            Example(((),), {"starts": (), "stops": (), "steps": ()}),
        ],
    ),
    moves=Moves.COPIES,
    doc="Elements start:stop:step of each axis, counted from the start; stop -1 is before it.",
)


# --- unslice --------------------------------------------------------------------------------------


def _unslice_type(*ys: ArrayType, shape: Shape, starts: Shape, steps: Shape) -> ArrayType:
    check_kind(ys[0], NUMERIC)
    check_same_dtype(*ys)
    rank = len(checked_shape(shape))
    if not len(starts) == len(steps) == rank * len(ys) or any(y.rank != rank for y in ys):
        raise ShapeError(
            f"{len(starts)} starts and {len(steps)} steps for {len(ys)} operand(s) placed in "
            f"shape {shape}; give one of each per operand and axis, all of that rank"
        )
    for position, y in enumerate(ys):
        for axis, (count, size) in enumerate(zip(y.shape, shape, strict=True), position * rank):
            start, step = starts[axis], steps[axis]
            last = start + step * (count - 1)
            if step == 0 or (count and not (0 <= start < size and 0 <= last < size)):
                raise ShapeError(
                    f"operand {position} of shape {y.shape} leaves shape {shape} when placed from "
                    f"{start} in steps of {step}; place it within"
                )
    return ArrayType(ys[0].dtype, shape)


def _unslice_groups(ys: Sequence[Any], attributes: Attributes) -> list[Group]:
    starts, steps = attributes["starts"], attributes["steps"]
    rank = len(attributes["shape"])
    owns = [slice(i * rank, (i + 1) * rank) for i in range(len(ys))]
    return [
        Group([y], {"starts": starts[own], "steps": steps[own]})
        for y, own in zip(ys, owns, strict=True)
    ]


def _slice_back(g: Ref, group: Group) -> Ref:
    """The elements of g where the group's operand was placed."""
    starts, steps = group.attributes["starts"], group.attributes["steps"]
    counts = group.operands[0].shape
    stops = tuple(
        [
            start + step * (n - 1) + (1 if step > 0 else -1) if n else start
            for start, step, n in zip(starts, steps, counts, strict=True)
        ]
    )
    part: Ref = do.slice(g, starts=starts, stops=stops, steps=steps)
    return part


_UNSLICING = Placing("unslice", ("starts", "steps"), _unslice_groups, _slice_back)


def _run_unslice(k: Kernels, *, shape: Shape, starts: Shape, steps: Shape) -> Callable[..., Array]:
    rank = len(shape)
    known: list[Slices] = []  # the operands' shapes, hence the places, are the same in every call

    def places(ys: Sequence[Array]) -> list[Slices]:
        indices: list[Slices] = []
        for position, y in enumerate(ys):
            own = slice(position * rank, (position + 1) * rank)
            triples = zip(starts[own], y.shape, steps[own], strict=True)
            indices.append(tuple([_place(*triple) for triple in triples]))
        return indices

    def run(*ys: Array) -> Array:
        if not known:
            known[:] = places(ys)
        return k.sum_at_slices(shape, known, ys)

    return run


def _unslice_axes(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    shape: Shape,
    starts: Shape,
    steps: Shape,
) -> Axes:
    """Axes that every operand covers whole are kept."""
    rank = len(shape)
    kept = tuple(
        [
            axis
            if all(y.shape[axis] == size for y in operands)
            and set(zip(starts[axis::rank], steps[axis::rank], strict=True)) == {(0, 1)}
            else None
            for axis, size in enumerate(shape)
        ]
    )
    return Axes((kept,) * len(operands), (kept,))


_UNSLICE = Op(
    "unslice",
    operands=VARIADIC,
    attributes=(SHAPE, STARTS, STEPS),
    type=_unslice_type,
    run=_run_unslice,
    derivative=_UNSLICING.derivative,
    fuse_sum=_UNSLICING.fuse_sum,
    axes=_unslice_axes,
    cost=placing_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3),), {"shape": (4, 5), "starts": (1, 0), "steps": (1, 2)}),
            Example(((2,), (3,)), {"shape": (5,), "starts": (4, 1), "steps": (-2, 1)}),
            Example(((0,), (1,)), {"shape": (3,), "starts": (0, 2), "steps": (1, 1)}),
            Example(((), ()), {"shape": (), "starts": (), "steps": ()}),
        ],
    ),
    moves=Moves.PLACES,
    doc="The sum of the operands, each placed from `starts` on in `steps` in zeros of `shape`.",
)


ROWS: tuple[Op, ...] = (_SLICE, _UNSLICE)
