"""Rows that look at the same elements under another shape or order: views, which cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind, permuted
from pullback_graph.errors import ShapeError
from pullback_graph.kernels import Kernels
from pullback_graph.op import Axes, Example, Factors, Moves, Op, Transpose
from pullback_graph.ops.grouping import grouped_factors
from pullback_graph.ops.rules import AXES, check_axes, reals, view_cost
from pullback_graph.ref import do
from pullback_graph.types import MAX_RANK, Array, ArrayType, Shape

SHAPE = Attribute("shape", Kind.SHAPE)


# --- reshape --------------------------------------------------------------------------------------


def _reshape_type(x: ArrayType, *, shape: Shape) -> ArrayType:
    z = ArrayType(x.dtype, checked_shape(shape))
    if z.size != x.size:
        raise ShapeError(
            f"cannot reshape {x.shape} ({x.size} elements) to {shape} ({z.size} elements); "
            "give a shape of as many elements"
        )
    return z


def checked_shape(shape: Shape) -> Shape:
    """`shape` as it is, refused where it is none.

    Raises:
        ShapeError: a size is negative, or there are too many axes.
    """
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise ShapeError(
            f"shape {shape} has a negative size or over {MAX_RANK} axes; write every size out"
        )
    return shape


def _reshape_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, shape: Shape
) -> Axes:
    """Axes that pass unchanged are kept, and the outermost one of those that merge or split.

    (B, H) -> (B*H,) keeps B: the merged axis changes in proportion to it.
    """
    operand, result = grouped_factors(operands[0].shape, shape)
    return Axes((operand,), (result,))


_RESHAPE = Op(
    "reshape",
    operands=1,
    attributes=(SHAPE,),
    type=_reshape_type,
    run=lambda k, *, shape: lambda x: x.reshape(shape),
    derivative=Transpose(lambda g, x, *, shape: do.reshape(g, shape=x.shape)),
    axes=_reshape_axes,
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3, 4),), {"shape": (2, 12)}),
            Example(((6, 4),), {"shape": (2, 3, 4)}),
            Example(((3, 4),), {"shape": (2, 6)}),
            Example(((2, 1, 3),), {"shape": (1, 2, 3, 1)}),
            Example(((),), {"shape": (1, 1)}),
            Example(((0, 3),), {"shape": (5, 0)}),
        ],
    ),
    moves=Moves.COPIES,
    doc="The same elements in row-major order under another shape of as many elements.",
)


# --- expand_dims, squeeze -------------------------------------------------------------------------


def _expand_dims_type(x: ArrayType, *, axes: Shape) -> ArrayType:
    rank = len(x.shape) + len(axes)
    check_axes((1,) * rank, axes)
    sizes = iter(x.shape)
    return ArrayType(
        x.dtype, checked_shape(tuple([1 if i in axes else next(sizes) for i in range(rank)]))
    )


def _squeeze_type(x: ArrayType, *, axes: Shape) -> ArrayType:
    check_axes(x.shape, axes)
    wrong = [axis for axis in axes if x.shape[axis] != 1]
    if wrong:
        raise ShapeError(
            f"cannot squeeze axes {wrong} of shape {x.shape}: their size is not one; "
            "slice or reshape instead"
        )
    return ArrayType(x.dtype, tuple([n for axis, n in enumerate(x.shape) if axis not in axes]))


def expander(axes: Shape) -> tuple[slice | None, ...]:
    """The basic index that inserts `axes` (they number the axes of the result)."""
    return tuple(
        [None if axis in axes else slice(None) for axis in range(max(axes, default=-1) + 1)]
    )


def _run_expand_dims(k: Kernels, *, axes: Shape) -> Callable[[Array], Array]:
    index = expander(axes)
    return lambda x: x[index]


def _run_squeeze(k: Kernels, *, axes: Shape) -> Callable[[Array], Array]:
    return lambda x: x.squeeze(axes)


def with_and_without(rank: int, axes: Shape) -> tuple[Factors, Factors]:
    """Factors of an operand of `rank` axes with `axes` of size one, and of it without them."""
    whole = tuple([None if axis in axes else axis for axis in range(rank)])
    return whole, tuple([axis for axis in range(rank) if axis not in axes])


def _expand_dims_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axes: Shape
) -> Axes:
    whole, without = with_and_without(results[0].rank, axes)
    return Axes((without,), (whole,))


def _squeeze_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axes: Shape
) -> Axes:
    whole, without = with_and_without(operands[0].rank, axes)
    return Axes((whole,), (without,))


_EXPAND_DIMS = Op(
    "expand_dims",
    operands=1,
    attributes=(AXES,),
    type=_expand_dims_type,
    run=_run_expand_dims,
    derivative=Transpose(lambda g, x, *, axes: do.squeeze(g, axes=axes)),
    axes=_expand_dims_axes,
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3),), {"axes": (0,)}),
            Example(((2, 3),), {"axes": (1, 3)}),
            Example(((),), {"axes": (0,)}),
            Example(((0,),), {"axes": ()}),
        ],
    ),
    moves=Moves.COPIES,
    doc="New axes of size one; `axes` number the axes of the result.",
)

_SQUEEZE = Op(
    "squeeze",
    operands=1,
    attributes=(AXES,),
    type=_squeeze_type,
    run=_run_squeeze,
    derivative=Transpose(lambda g, x, *, axes: do.expand_dims(g, axes=axes)),
    axes=_squeeze_axes,
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((1, 3),), {"axes": (0,)}),
            Example(((2, 1, 3, 1),), {"axes": (1, 3)}),
            Example(((1,),), {"axes": (0,)}),
            Example(((1, 0),), {"axes": (0,)}),
        ],
    ),
    moves=Moves.COPIES,
    doc="Without the axes of size one that `axes` names.",
)


# --- permute_dims ---------------------------------------------------------------------------------


def _permute_type(x: ArrayType, *, axes: Shape) -> ArrayType:
    if sorted(axes) != list(range(x.rank)):
        raise ShapeError(
            f"{axes} is no permutation of the axes of shape {x.shape}; name each of its "
            f"{x.rank} axes once"
        )
    return ArrayType(x.dtype, tuple([x.shape[axis] for axis in axes]))


def _inverse(axes: Shape) -> Shape:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


_PERMUTE_DIMS = Op(
    "permute_dims",
    operands=1,
    attributes=(Attribute("axes", Kind.INTS, leading=permuted),),
    type=_permute_type,
    run=lambda k, *, axes: lambda x: x.transpose(axes),
    derivative=Transpose(lambda g, x, *, axes: do.permute_dims(g, axes=_inverse(axes))),
    axes=lambda operands, results, *, axes: Axes((tuple(range(len(axes))),), (axes,)),
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3, 4),), {"axes": (2, 0, 1)}),
            Example(((2, 3),), {"axes": (1, 0)}),
            Example(((),), {"axes": ()}),
            Example(((0, 2),), {"axes": (1, 0)}),
        ],
    ),
    moves=Moves.COPIES,
    doc="Axis i of the result is axis axes[i] of the operand.",
)


# --- broadcast_to ---------------------------------------------------------------------------------


def _broadcast_type(x: ArrayType, *, shape: Shape) -> ArrayType:
    offset = len(checked_shape(shape)) - x.rank
    if offset < 0 or any(n not in (1, shape[i]) for i, n in enumerate(x.shape, offset)):
        raise ShapeError(
            f"shape {x.shape} does not broadcast to {shape}; its sizes, aligned at the last axis, "
            "must be one or equal"
        )
    return ArrayType(x.dtype, shape)


def _broadcast_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, shape: Shape
) -> Axes:
    offset = len(shape) - operands[0].rank
    operand = tuple([i if n == shape[i] else None for i, n in enumerate(operands[0].shape, offset)])
    return Axes((operand,), (tuple(range(len(shape))),))


_BROADCAST_TO = Op(
    "broadcast_to",
    operands=1,
    attributes=(SHAPE,),
    type=_broadcast_type,
    run=lambda k, *, shape: lambda x: k.broadcast_to(x, shape),
    derivative=Transpose(lambda g, x, *, shape: g),  # the pass sums it to the operand's shape
    axes=_broadcast_axes,
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((3,),), {"shape": (2, 3)}),
            Example(((2, 1, 3),), {"shape": (2, 4, 3)}),
            Example(((),), {"shape": (2, 2)}),
            Example(((1,),), {"shape": (0,)}),
            Example(((1, 2),), {"shape": (1, 2)}),
        ],
    ),
    moves=Moves.COPIES,
    doc="The operand repeated along axes of size one and new leading axes.",
)


# --- flip -----------------------------------------------------------------------------------------


def _flip_type(x: ArrayType, *, axes: Shape) -> ArrayType:
    check_axes(x.shape, axes)
    return x


def _run_flip(k: Kernels, *, axes: Shape) -> Callable[[Array], Array]:
    index = tuple(
        [slice(None, None, -1 if axis in axes else 1) for axis in range(max(axes, default=-1) + 1)]
    )
    return lambda x: x[index]


def whole_along(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axes: Shape, **_: Any
) -> Axes:
    """`axes` stay whole, the others are kept."""
    kept = tuple([None if i in axes else i for i in range(results[0].rank)])
    return Axes((kept,), (kept,))


_FLIP = Op(
    "flip",
    operands=1,
    attributes=(AXES,),
    type=_flip_type,
    run=_run_flip,
    derivative=Transpose(lambda g, x, *, axes: do.flip(g, axes=axes)),
    axes=whole_along,
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3),), {"axes": (1,)}),
            Example(((2, 3, 4),), {"axes": (0, 2)}),
            Example(((),), {"axes": ()}),
            Example(((0, 2),), {"axes": (0,)}),
        ],
    ),
    moves=Moves.COPIES,
    doc="Elements in reverse order along `axes`.",
)


ROWS: tuple[Op, ...] = (
    _RESHAPE,
    _EXPAND_DIMS,
    _SQUEEZE,
    _PERMUTE_DIMS,
    _BROADCAST_TO,
    _FLIP,
)
