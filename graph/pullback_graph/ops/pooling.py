"""Rows that reduce windows sliding over the last axes: the sum, the largest element, its place.

The axes before them are a batch. Each axis has its own entry in the window's attributes. What is
padding, or lies between the elements of a dilated array, is not there: it is never chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from pullback_graph.attributes import Attribute, Kind, unchanged
from pullback_graph.errors import AttributeFault, ShapeError
from pullback_graph.op import Axes, Both, Cost, Example, Factors, Op, RunRule, Transpose, Zero
from pullback_graph.ops.rules import NUMERIC, REAL, check_kind, moved_bytes, reals
from pullback_graph.ref import Ref, do
from pullback_graph.types import INT64, ArrayType, Shape
from pullback_graph.windows import (
    Window,
    all_meet,
    check_room,
    checked,
    meetings,
    result_sizes,
    towards_array,
)

_LARGEST = 1 << 16
"""The largest size, stride or dilation: what decides them loops over that many places."""
_BLOCK_BYTES = 1 << 18
"""What an executor may take of an array at a time."""
_ATTRIBUTES = tuple([Attribute(name, Kind.INTS, leading=unchanged) for name in Window._fields])


def _attributes(window: Window) -> dict[str, Shape]:
    return dict(zip(Window._fields, window, strict=True))


# --- type, axes, cost -----------------------------------------------------------------------------


def _result_shape(x: ArrayType, window: Window, kinds: str) -> Shape:
    """The shape that the windows have places for, after all checks."""
    check_kind(x, kinds)
    rank = len(window.sizes)
    if not 1 <= rank <= x.rank:
        raise ShapeError(
            f"a window over {rank} axes does not slide over shape {x.shape}; give from 1 to "
            f"{x.rank} sizes, those of its last axes"
        )
    checked(window, rank)
    for name in ("sizes", "strides", "lhs_dilation", "rhs_dilation"):
        if max(getattr(window, name)) > _LARGEST:
            raise AttributeFault(f"attribute {name!r} is over {_LARGEST}; reduce over whole axes")
    check_room(x.shape[-rank:], window)
    return x.shape[:-rank] + result_sizes(x.shape[-rank:], window)


def _axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, flat: bool, **own: Any
) -> Axes:
    """Axes of the batch, and those that a window leaves alone, are kept; the others stay whole.

    Positions (`flat`) count over all axes of the window, so that then these all stay whole.
    """
    window, rank = Window(**own), operands[0].rank
    lead = rank - len(window.sizes)
    own_axes = [
        None if flat or not window.is_trivial(axis) else lead + axis for axis in range(rank - lead)
    ]
    factors: Factors = (*range(lead), *own_axes)
    return Axes((factors,), (factors,))


def _passes(x: ArrayType, window: Window) -> Iterator[tuple[int, int]]:
    """For each axis in turn: the pairs of place and element met, and the elements left."""
    rank = len(window.sizes)
    sizes, results = list(x.shape), result_sizes(x.shape[-rank:], window)
    for axis, (n, count) in enumerate(zip(x.shape[-rank:], results, strict=True), x.rank - rank):
        entry = axis - x.rank + rank
        own = Window(*[each[entry : entry + 1] for each in window])
        others = prod([size for i, size in enumerate(sizes) if i != axis])
        sizes[axis] = count
        yield others * meetings((n,), own, (count,)), prod(sizes)


def _cost_of(each: float) -> Any:
    """So many operations wherever a window meets an element, an axis after the other."""

    def rule(operands: Sequence[ArrayType], results: Sequence[ArrayType], **own: Any) -> Cost:
        if 0 in results[0].shape or 0 in operands[0].shape:
            return Cost(0.0, moved_bytes(operands, results))
        met = sum([met for met, _ in _passes(operands[0], Window(**own))])
        return Cost(each * met, moved_bytes(operands, results))

    return rule


def _scratch(operands: Sequence[ArrayType], **own: Any) -> int:
    """What is left after each axis, of a block of images: values, and places where these count."""
    (x,), window = operands, Window(**own)
    images = prod(x.shape[: x.rank - len(window.sizes)])
    left = max([left for _, left in _passes(x, window)]) // max(images, 1)
    at_once = _BLOCK_BYTES * images // max(x.size_bytes, 1) + 1
    return 2 * left * min(at_once, images) * (x.dtype.itemsize + INT64.itemsize + 1)


# --- sum ------------------------------------------------------------------------------------------


def _sum_type(x: ArrayType, **own: Any) -> ArrayType:
    return ArrayType(x.dtype, _result_shape(x, Window(**own), NUMERIC))


def _sum_transpose(g: Ref, x: Ref, **own: Any) -> Ref:
    """The sum of g over the windows that meet an element: strides and dilation exchanged."""
    if 0 in g.shape or 0 in x.shape:
        return _zeros(g, x.shape)
    rank = len(own["sizes"])
    window = towards_array(Window(**own), x.shape[-rank:], g.shape[-rank:])
    z: Ref = do.reduce_window_sum(g, **_attributes(window))
    return z


def _zeros(like: Ref, shape: Shape) -> Ref:
    z: Ref = do.broadcast_to(like.builder.constant(like.dtype.type(0)), shape=shape)
    return z


# --- max ------------------------------------------------------------------------------------------


def _max_type(x: ArrayType, **own: Any) -> ArrayType:
    return ArrayType(x.dtype, _result_shape(x, Window(**own), REAL))


def _argmax_type(x: ArrayType, **own: Any) -> ArrayType:
    return ArrayType(INT64, _result_shape(x, Window(**own), REAL))


def _places(x: Ref, own: dict[str, Any]) -> tuple[Ref, Ref | None, int]:
    """The chosen positions with one axis for all of the window's; which are; the batch's rank."""
    rank = len(own["sizes"])
    lead = len(x.shape) - rank
    found = _merged(do.reduce_window_argmax(x, **own), lead)
    chosen = None if all_meet(x.shape[lead:], Window(**own)) else do.greater_equal(found, 0)
    return found, chosen, lead


def _merged(x: Ref, lead: int) -> Ref:
    """`x` with the axes from `lead` on as one."""
    z: Ref = do.reshape(x, shape=(*x.shape[:lead], prod(x.shape[lead:])))
    return z


def _where(chosen: Ref | None, x: Ref) -> Ref:
    return x if chosen is None else do.where(chosen, x, x.builder.constant(x.dtype.type(0)))


def _max_jvp(tangents: Sequence[Ref], z: Ref, x: Ref, **own: Any) -> Ref:
    (t,) = tangents
    if 0 in x.shape or 0 in z.shape:
        return _zeros(t, z.shape)
    found, chosen, lead = _places(x, own)
    taken = do.take_along_axis(_merged(t, lead), found, axis=lead)
    whole: Ref = do.reshape(_where(chosen, taken), shape=z.shape)
    return whole


def _max_vjp(g: Ref, z: Ref, x: Ref, **own: Any) -> list[Ref | None]:
    if 0 in x.shape or 0 in z.shape:
        return [_zeros(g, x.shape)]
    found, chosen, lead = _places(x, own)
    shape = (*x.shape[:lead], prod(x.shape[lead:]))
    placed = _where(chosen, _merged(g, lead))
    flat = do.untake_along_axis(found, placed, shape=shape, axes=(lead,))
    return [do.reshape(flat, shape=x.shape)]


# --- the rows -------------------------------------------------------------------------------------


def _run(reducer: str) -> RunRule:
    return lambda k, **own: k.reduce_window(reducer, **own)


def _example(shape: Shape, sizes: Shape, **own: Shape) -> Example:
    ones, zeros = (1,) * len(sizes), (0,) * len(sizes)
    neutral = Window(sizes, ones, zeros, zeros, ones, ones)
    return Example((shape,), {**_attributes(neutral), **own})


_EXAMPLES = (
    _example((2, 3, 7), (3,), strides=(2,)),
    _example((2, 4, 5), (2, 3), low=(1, 0), high=(0, 1), strides=(2, 1)),
    _example((3, 2, 3, 4), (1, 2, 2), strides=(1, 2, 2)),
    _example((6,), (2,), rhs_dilation=(3,), low=(1,), high=(2,)),
    _example((2, 4), (3,), lhs_dilation=(2,), low=(1,), strides=(3,), high=(2,)),
    _example((2, 6), (2,), low=(-1,), high=(-2,)),
    _example((2, 3), (2,), low=(4,), high=(2,)),
    _example((3, 5), (3, 5)),
    _example((2, 0, 4), (2,), strides=(2,)),
    _example((2, 3), (4,)),
)

ROWS: tuple[Op, ...] = (
    Op(
        "reduce_window_sum",
        operands=1,
        attributes=_ATTRIBUTES,
        type=_sum_type,
        run=_run("sum"),
        derivative=Transpose(_sum_transpose),
        axes=lambda operands, results, **own: _axes(operands, results, flat=False, **own),
        cost=_cost_of(1),
        domain=reals(1, examples=_EXAMPLES),
        scratch=_scratch,
        doc="Sums over windows of the last axes. Padding may be negative; the array's elements lie "
        "`lhs_dilation` apart, the window's `rhs_dilation`. A window that meets none gives 0.",
    ),
    Op(
        "reduce_window_max",
        operands=1,
        attributes=_ATTRIBUTES,
        type=_max_type,
        run=_run("max"),
        derivative=Both(_max_jvp, _max_vjp),
        axes=lambda operands, results, **own: _axes(operands, results, flat=False, **own),
        cost=_cost_of(1),
        domain=reals(1, examples=_EXAMPLES),
        scratch=_scratch,
        doc="The largest element in windows of the last axes; NaN where one is NaN; -infinity (of "
        "integers, the least) where a window meets none. Among elements that tie, the first in "
        "row-major order has the derivative, whole; the first NaN has it where there is one.",
    ),
    Op(
        "reduce_window_argmax",
        operands=1,
        attributes=_ATTRIBUTES,
        type=_argmax_type,
        run=_run("argmax"),
        derivative=Zero(),
        axes=lambda operands, results, **own: _axes(operands, results, flat=True, **own),
        cost=_cost_of(4),
        domain=reals(1, examples=_EXAMPLES),
        scratch=_scratch,
        doc="Where in the array's last axes, counted in row-major order (int64), the first largest "
        "element of each window stands, or its first NaN; -1 where a window meets none.",
    ),
)
