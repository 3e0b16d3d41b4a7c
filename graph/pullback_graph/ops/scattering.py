"""Rows that add at integer indices: the transposes of the rows in `indexing`, and `scatter_add`.

A repeated place gets every addition. A negative index counts from the end; beyond the ends, clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from pullback_graph.attributes import Attribute, Kind, one_further_always, unchanged
from pullback_graph.errors import ArityError, ShapeError
from pullback_graph.kernels import Kernels
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
)
from pullback_graph.ops.indexing import (
    INDICES,
    check_along_axis,
    gather_index,
    gather_shape,
    index_factors,
    take_shape,
)
from pullback_graph.ops.mapped_indexing import map_scatter_add, map_ungather
from pullback_graph.ops.placing import Attributes, Group, Placing, check_groups, placing_cost
from pullback_graph.ops.rules import AXIS, NUMERIC, check_kind, check_same_dtype, moved_bytes
from pullback_graph.ops.shape import SHAPE, checked_shape
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType, Shape, broadcast_shapes

PLACED_AXES = Attribute("axes", Kind.INTS, leading=one_further_always)


# --- ungather -------------------------------------------------------------------------------------


def _ungather_groups(operands: Sequence[Any], attributes: Attributes) -> list[Group]:
    axes, counts = attributes["axes"], attributes["counts"]
    ends = list(accumulate(counts))
    return [
        Group(
            operands[end - count + position : end + position + 1],
            {"axes": axes[end - count : end], "counts": (count,)},
        )
        for position, (end, count) in enumerate(zip(ends, counts, strict=True))
    ]


def _checked_groups(
    operands: Sequence[ArrayType], axes: Shape, counts: Shape
) -> list[tuple[Shape, Sequence[ArrayType], ArrayType]]:
    """Per group: the axes indexed, the indices, and what is placed."""
    if min(counts, default=0) < 1 or sum(counts) != len(axes):
        raise ShapeError(f"counts {counts} do not divide axes {axes}; give each group's number")
    if len(operands) != sum(counts) + len(counts):
        raise ArityError(
            f"{len(operands)} operands for groups of {counts} indices, each with what is placed"
        )
    groups = _ungather_groups(operands, {"axes": axes, "counts": counts})
    return [(g.attributes["axes"], g.operands[:-1], g.operands[-1]) for g in groups]


def _ungather_type(*operands: ArrayType, shape: Shape, axes: Shape, counts: Shape) -> ArrayType:
    checked_shape(shape)
    groups = _checked_groups(operands, axes, counts)
    check_kind(groups[0][2], NUMERIC)
    check_same_dtype(*[y for _, _, y in groups])
    for position, (own, indices, y) in enumerate(groups):
        expected, _ = gather_shape(shape, indices, own)
        if y.shape != expected:
            raise ShapeError(
                f"group {position} places shape {y.shape} where its indices into {shape} at axes "
                f"{own} need {expected}"
            )
    return ArrayType(groups[0][2].dtype, shape)


def _run_ungather(k: Kernels, *, shape: Shape, axes: Shape, counts: Shape) -> Callable[..., Array]:
    attributes = {"axes": axes, "counts": counts}

    def run(*operands: Array) -> Array:
        groups = _ungather_groups(operands, attributes)
        indices = [gather_index(g.operands[:-1], g.attributes["axes"]) for g in groups]
        return k.sum_at(shape, indices, [g.operands[-1] for g in groups])

    return run


def _gather_back(g: Ref, group: Group) -> Ref:
    taken: Ref = do.gather(g, *group.operands[:-1], axes=group.attributes["axes"])
    return taken


def _ungather_axes(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    shape: Shape,
    axes: Shape,
    counts: Shape,
) -> Axes:
    """Axes that no group indexes are kept; the indices' own axes are contracted by addition.

    An axis of the indices is contracted where every group has one of that size at that place, as
    all groups are then cut alike; elsewhere it must stay whole.
    """
    rank = len(shape)
    kept: Factors = tuple([None if axis in axes else axis for axis in range(rank)])
    groups = _checked_groups(operands, axes, counts)
    owns = [broadcast_shapes([index.shape for index in indices]) for _, indices, _ in groups]
    contracted = shared_factors(owns, rank)
    factors: list[Factors] = []
    for (at, indices, _), own in zip(groups, owns, strict=True):
        own_factors = (*contracted, *[None] * (len(own) - len(contracted)))
        _, begin = gather_shape(shape, indices, at)
        rest = tuple([factor for axis, factor in enumerate(kept) if axis not in at])
        factors += index_factors(indices, own, own_factors)
        factors.append(rest[:begin] + own_factors + rest[begin:])
    return Axes(tuple(factors), (kept,), {f: "add" for f in contracted if f is not None})


def shared_factors(shapes: Sequence[Shape], first: int) -> Factors:
    """A factor, from `first` on, for each leading axis that all shapes have in one size."""
    return tuple(
        [
            first + axis if len(set(sizes)) == 1 else None
            for axis, sizes in enumerate(zip(*shapes, strict=False))
        ]
    )


_UNGATHERING = Placing("ungather", ("axes", "counts"), _ungather_groups, _gather_back)

_UNGATHER = Op(
    "ungather",
    operands=VARIADIC,
    attributes=(SHAPE, PLACED_AXES, Attribute("counts", Kind.INTS, leading=unchanged)),
    type=_ungather_type,
    run=_run_ungather,
    derivative=_UNGATHERING.derivative,
    fuse_sum=_UNGATHERING.fuse_sum,
    axes=_ungather_axes,
    cost=placing_cost,
    mapping=map_ungather,
    domain=Domain(
        (INDICES, Interval()),
        (
            Example(((5,), (5, 3)), {"shape": (4, 3), "axes": (0,), "counts": (1,)}),
            Example(((), (2,)), {"shape": (2, 3), "axes": (1,), "counts": (1,)}),
            Example(((2,), (2,), (3,), (3,)), {"shape": (4,), "axes": (0, 0), "counts": (1, 1)}),
            Example(((0,), (0,)), {"shape": (2,), "axes": (0,), "counts": (1,)}),
        ),
    ),
    moves=Moves.PLACES,
    doc="Groups (indices, y): the sum of the y, each where `gather` takes from, in zeros.",
)


# --- untake_along_axis ----------------------------------------------------------------------------


def _untake_groups(operands: Sequence[Any], attributes: Attributes) -> list[Group]:
    return [
        Group(operands[2 * i : 2 * i + 2], {"axes": (axis,)})
        for i, axis in enumerate(attributes["axes"])
    ]


def _take_back(g: Ref, group: Group) -> Ref:
    taken: Ref = do.take_along_axis(g, group.operands[0], axis=group.attributes["axes"][0])
    return taken


def _untake_type(*operands: ArrayType, shape: Shape, axes: Shape) -> ArrayType:
    checked_shape(shape)
    check_groups(len(operands), 2)
    check_kind(operands[1], NUMERIC)
    check_same_dtype(*operands[1::2])
    if 2 * len(axes) != len(operands):
        raise ArityError(f"{len(operands)} operands for axes {axes}; give indices and y per axis")
    for axis, indices, y in zip(axes, operands[::2], operands[1::2], strict=True):
        check_along_axis(shape, indices, axis)
        if y.shape != indices.shape:
            raise ShapeError(f"shape {y.shape} is placed by indices of shape {indices.shape}")
    return ArrayType(operands[1].dtype, shape)


def _untake_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, shape: Shape, axes: Shape
) -> Axes:
    """Axes that no group indexes are kept; the indexed one is contracted if all groups agree."""
    rank = len(shape)
    kept: Factors = tuple([None if i in axes else i for i in range(rank)])
    sizes = {y.shape[axis] for axis, y in zip(axes, operands[::2], strict=True)}
    if len(sizes) > 1 or len(set(axes)) > 1:
        return Axes((kept,) * len(operands), (kept,))
    placed = tuple([rank if i == axes[0] else i for i in range(rank)])
    return Axes((placed,) * len(operands), (kept,), {rank: "add"})


_UNTAKING = Placing("untake_along_axis", ("axes",), _untake_groups, _take_back)

_UNTAKE_ALONG_AXIS = Op(
    "untake_along_axis",
    operands=VARIADIC,
    attributes=(SHAPE, PLACED_AXES),
    type=_untake_type,
    run=lambda k, *, shape, axes: (
        lambda *groups: k.sum_along_axes(shape, axes, groups[::2], groups[1::2])
    ),
    derivative=_UNTAKING.derivative,
    fuse_sum=_UNTAKING.fuse_sum,
    axes=_untake_axes,
    cost=placing_cost,
    domain=Domain(
        (INDICES, Interval()),
        (
            Example(((4, 2), (4, 2)), {"shape": (4, 3), "axes": (1,)}),
            Example(((2, 3), (2, 3), (4, 1), (4, 1)), {"shape": (4, 3), "axes": (0, 1)}),
            Example(((0,), (0,)), {"shape": (3,), "axes": (0,)}),
        ),
    ),
    moves=Moves.PLACES,
    doc="Groups (indices, y): the sum of the y, each where `take_along_axis` takes from, in zeros.",
)


# --- scatter_add ----------------------------------------------------------------------------------


def _scatter_type(x: ArrayType, indices: ArrayType, y: ArrayType, *, axis: int) -> ArrayType:
    check_kind(x, NUMERIC)
    check_same_dtype(x, y)
    expected = take_shape(x.shape, indices, axis)
    if y.shape != expected:
        raise ShapeError(
            f"shape {y.shape} does not stand at indices of shape {indices.shape} along axis "
            f"{axis} of {x.shape}; it needs {expected}"
        )
    return x


def _scatter_transpose(g: Ref, x: Ref, indices: Ref, y: Ref, *, axis: int) -> list[Ref | None]:
    return [g, None, do.take(g, indices, axis=axis)]


def _scatter_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int
) -> Axes:
    """Every axis but the indexed one is kept; the indices' own must stay whole."""
    kept = tuple([None if i == axis else i for i in range(results[0].rank)])
    own: Factors = (None,) * operands[1].rank
    return Axes((kept, own, kept[:axis] + own + kept[axis + 1 :]), (kept,))


_SCATTER_ADD = Op(
    "scatter_add",
    operands=3,
    attributes=(AXIS,),
    type=_scatter_type,
    run=lambda k, *, axis: (
        lambda x, indices, y: k.index_add(x, gather_index((indices,), (axis,)), y)
    ),
    derivative=JointTranspose(_scatter_transpose, linear=(0, 2)),
    axes=_scatter_axes,
    mapping=map_scatter_add,
    cost=lambda operands, results, **_: Cost(
        float(operands[2].size), moved_bytes(operands, results)
    ),
    domain=Domain(
        (Interval(), INDICES, Interval()),
        (
            Example(((4, 3), (5,), (5, 3)), {"axis": 0}),
            Example(((2, 3), (2, 2), (2, 2, 2)), {"axis": 1}),
            Example(((3,), (), ()), {"axis": 0}),
            Example(((3,), (0,), (0,)), {"axis": 0}),
        ),
    ),
    moves=Moves.PLACES,
    doc="The first operand with the third added at the indices along an axis.",
)


ROWS: tuple[Op, ...] = (_UNGATHER, _UNTAKE_ALONG_AXIS, _SCATTER_ADD)
