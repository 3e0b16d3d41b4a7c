"""The row `convolution`: windows of an array times a kernel, closed under differentiation.

The array has axes N C spatial, the kernel O I spatial, the result N O spatial; the kernel is not
flipped. Both transposes are rows of the same kind, by Dumoulin & Visin 2016 with dilations.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from pullback_graph.attributes import Attribute, Kind, Lead, unchanged
from pullback_graph.errors import AttributeFault, ShapeError
from pullback_graph.op import Axes, Cost, Example, Factors, Moves, Op, Transpose
from pullback_graph.ops.rules import NUMERIC, check_kind, check_same_dtype, moved_bytes, reals
from pullback_graph.ref import Ref, do
from pullback_graph.types import ArrayType, Shape
from pullback_graph.windows import (
    Window,
    check_room,
    checked,
    meetings,
    result_sizes,
    towards_array,
    towards_window,
)

_MAX_SPATIAL = 3
_BLOCK_BYTES = 1 << 23
"""What an executor may take at a time for the windows it writes out."""


def window_of(
    w: Shape, strides: Shape, low: Shape, high: Shape, lhs_dilation: Shape, rhs_dilation: Shape
) -> Window:
    """The window that a kernel of shape `w` slides over the spatial axes."""
    return Window(w[2:], strides, low, high, lhs_dilation, rhs_dilation)


def _spatial(window: Window) -> dict[str, Shape]:
    """The window's attributes but its sizes, which are the kernel's."""
    return dict(zip(Window._fields[1:], window[1:], strict=True))


# --- type -----------------------------------------------------------------------------------------


def _type(x: ArrayType, w: ArrayType, *, groups: int, batch_groups: int, **own: Any) -> ArrayType:
    check_same_dtype(x, w)
    check_kind(x, NUMERIC)
    if x.rank != w.rank or not 3 <= x.rank <= _MAX_SPATIAL + 2:
        raise ShapeError(
            f"shapes {x.shape} and {w.shape}: an array N C spatial and a kernel O I spatial have "
            f"as many axes, 1 to {_MAX_SPATIAL} of them spatial; add axes with expand_dims"
        )
    window = window_of(w.shape, **own)
    checked(window, x.rank - 2)
    check_room(x.shape[2:], window)
    _check_groups(x.shape, w.shape, groups, batch_groups)
    sizes = result_sizes(x.shape[2:], window)
    return ArrayType(x.dtype, (x.shape[0] // batch_groups, w.shape[0], *sizes))


def _check_groups(x: Shape, w: Shape, groups: int, batch_groups: int) -> None:
    if groups < 1 or batch_groups < 1 or groups > 1 < batch_groups:
        raise AttributeFault(
            f"groups {groups} and batch_groups {batch_groups} must be at least 1, one of them 1"
        )
    if x[1] != w[1] * groups:
        raise ShapeError(
            f"an array of {x[1]} channels in {groups} group(s) and a kernel for {w[1]} channels: "
            f"give a kernel of shape (O, {x[1]} / groups, ...)"
        )
    if w[0] % (groups * batch_groups) or x[0] % batch_groups:
        raise ShapeError(
            f"{w[0]} output channels and a batch of {x[0]} are not whole in {groups} group(s) of "
            f"channels and {batch_groups} of the batch; give multiples"
        )


# --- derivative -----------------------------------------------------------------------------------


def _exchanged(x: Ref) -> Ref:
    """The array with its first two axes exchanged."""
    z: Ref = do.permute_dims(x, axes=(1, 0, *range(2, len(x.shape))))
    return z


def _regrouped(x: Ref, axis: int, groups: int, to: int) -> Ref:
    """An axis of groups cut in two, the groups moved to be the outer part of axis `to`."""
    if groups == 1:
        return x
    shape = x.shape
    each = shape[axis] // groups
    cut = do.reshape(x, shape=(*shape[:axis], groups, each, *shape[axis + 1 :]))
    order = [i for i in range(len(shape) + 1) if i != axis]
    order.insert(to, axis)
    moved = do.permute_dims(cut, axes=tuple(order))
    merged = moved.shape
    z: Ref = do.reshape(moved, shape=(*merged[:to], merged[to] * merged[to + 1], *merged[to + 2 :]))
    return z


def _turned(w: Ref, groups: int) -> Ref:
    """The kernel with output and input channels exchanged within groups, and flipped."""
    turned = _exchanged(w) if groups == 1 else _exchanged_in_groups(w, groups)
    axes = tuple([axis for axis, n in enumerate(w.shape) if axis > 1 and n > 1])
    return do.flip(turned, axes=axes) if axes else turned


def _exchanged_in_groups(w: Ref, groups: int) -> Ref:
    """(G O, I, K) to (G I, O, K)."""
    outputs, inputs, *sizes = w.shape
    cut = do.reshape(w, shape=(groups, outputs // groups, inputs, *sizes))
    moved = do.permute_dims(cut, axes=(0, 2, 1, *range(3, len(sizes) + 3)))
    z: Ref = do.reshape(moved, shape=(groups * inputs, outputs // groups, *sizes))
    return z


def _zeros(like: Ref, g: Ref) -> Ref:
    z: Ref = do.broadcast_to(g.builder.constant(g.dtype.type(0)), shape=like.shape)
    return z


def _to_array(g: Ref, x: Ref, w: Ref, *, groups: int, batch_groups: int, **own: Any) -> Ref:
    """g convolved with the turned kernel, strides and dilation of the array exchanged."""
    if 0 in g.shape or 0 in x.shape:
        return _zeros(x, g)
    window = towards_array(window_of(w.shape, **own), x.shape[2:], g.shape[2:])
    count = groups * batch_groups
    z: Ref = do.convolution(g, _turned(w, count), **_spatial(window), groups=count, batch_groups=1)
    return _regrouped(z, 1, batch_groups, 0)


def _to_kernel(g: Ref, x: Ref, w: Ref, *, groups: int, batch_groups: int, **own: Any) -> Ref:
    """The array convolved with g, the batch contracted, strides and dilation exchanged."""
    if 0 in g.shape or 0 in w.shape:
        return _zeros(w, g)
    window = towards_window(window_of(w.shape, **own), x.shape[2:], g.shape[2:])
    z = do.convolution(
        _exchanged(x), _exchanged(g), **_spatial(window), groups=batch_groups, batch_groups=groups
    )
    return _exchanged(z)


# --- mapping --------------------------------------------------------------------------------------


def _mapping(operands: Sequence[Ref], lead: Lead, **attributes: Any) -> Ref:
    """The leading axis into the batch, the output channels, or groups of its own."""
    x, w = operands
    groups, batch_groups = attributes["groups"], attributes["batch_groups"]
    if lead.mapped == (True, True):
        axis = 0 if batch_groups > 1 else 1
        merged = _merged(x, axis)
        name = "batch_groups" if batch_groups > 1 else "groups"
        attributes[name] *= lead.size
        z = do.convolution(merged, _merged(w, 0), **attributes)
        return _split(z, 1, lead.size, 1)
    if lead.mapped[0]:
        z = do.convolution(_merged(x, 0, batch_groups), w, **attributes)
        return _split(z, 0, lead.size, 1)
    count = groups * batch_groups
    z = do.convolution(x, _merged(w, 0, count), **attributes)
    return _split(z, 1, lead.size, count)


def _merged(x: Ref, axis: int, groups: int = 1) -> Ref:
    """The leading axis merged into `axis` of the rest, inside of that axis's groups."""
    lead, *shape = x.shape
    each = shape[axis] // groups
    cut = do.reshape(x, shape=(lead, *shape[:axis], groups, each, *shape[axis + 1 :]))
    order = list(range(1, len(cut.shape)))
    order.insert(axis + 1, 0)
    moved = do.permute_dims(cut, axes=tuple(order))
    shape[axis] *= lead
    z: Ref = do.reshape(moved, shape=tuple(shape))
    return z


def _split(z: Ref, axis: int, lead: int, groups: int) -> Ref:
    """The inverse of `_merged`, on a result."""
    shape = list(z.shape)
    each = shape[axis] // max(lead * groups, 1)
    cut = do.reshape(z, shape=(*shape[:axis], groups, lead, each, *shape[axis + 1 :]))
    order = [i for i in range(len(cut.shape)) if i != axis + 1]
    moved = do.permute_dims(cut, axes=(axis + 1, *order))
    shape[axis] = groups * each
    whole: Ref = do.reshape(moved, shape=(lead, *shape))
    return whole


# --- axes, cost -----------------------------------------------------------------------------------


def _axes(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    groups: int,
    batch_groups: int,
    **own: Any,
) -> Axes:
    """The batch and output channels are kept, input channels contracted, unless in groups."""
    x, w = operands
    window = window_of(w.shape, **own)
    batch = 0 if batch_groups == 1 else None
    outputs = 1 if groups * batch_groups == 1 else None
    inputs = 2 if groups == 1 else None
    spatial: Factors = tuple(
        [axis + 3 if window.is_trivial(axis) else None for axis in range(x.rank - 2)]
    )
    return Axes(
        ((batch, inputs, *spatial), (outputs, inputs, *(None,) * (x.rank - 2))),
        ((batch, outputs, *spatial),),
        {} if inputs is None else {inputs: "add"},
    )


def _cost(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    groups: int,
    batch_groups: int,
    **own: Any,
) -> Cost:
    """A multiplication and an addition wherever the window meets an element of the array."""
    x, w = operands
    batch, outputs, *sizes = results[0].shape
    if 0 in results[0].shape or 0 in w.shape:
        return Cost(0.0, moved_bytes(operands, results))
    met = meetings(x.shape[2:], window_of(w.shape, **own), sizes)
    return Cost(2.0 * batch * outputs * w.shape[1] * met, moved_bytes(operands, results))


def _scratch(operands: Sequence[ArrayType], *, batch_groups: int, **own: Any) -> int:
    """The array padded, the kernel written out, and windows up to a block."""
    x, w = operands
    own.pop("groups")
    window = window_of(w.shape, **own)
    padded = [
        n + max(low, 0) + max(high, 0)
        for n, low, high in zip(x.shape[2:], window.low, window.high, strict=True)
    ]
    written = prod(x.shape[:2]) * prod(padded) * (prod(w.shape[2:]) + 1) * x.dtype.itemsize
    whole = prod(x.shape[:2]) * prod(padded) * x.dtype.itemsize
    return whole + w.size_bytes + min(written, _BLOCK_BYTES)


def _example(x: Shape, w: Shape, groups: int = 1, batch_groups: int = 1, **own: Any) -> Example:
    rank = len(x) - 2
    ones, zeros = (1,) * rank, (0,) * rank
    window = {
        "strides": ones,
        "low": zeros,
        "high": zeros,
        "lhs_dilation": ones,
        "rhs_dilation": ones,
    }
    return Example((x, w), {**window, **own, "groups": groups, "batch_groups": batch_groups})


_CONVOLUTION = Op(
    "convolution",
    operands=2,
    attributes=(
        *[Attribute(name, Kind.INTS, leading=unchanged) for name in Window._fields[1:]],
        Attribute("groups", Kind.INT, 1),
        Attribute("batch_groups", Kind.INT, 1),
    ),
    type=_type,
    run=lambda k, **attributes: k.convolution(**attributes),
    derivative=Transpose(_to_array, _to_kernel),
    axes=_axes,
    cost=_cost,
    domain=reals(
        2,
        examples=[
            _example((2, 3, 5), (4, 3, 2)),
            _example((2, 2, 4, 5), (3, 2, 3, 2), low=(1, 0), high=(1, 1), strides=(1, 2)),
            _example((2, 4, 5), (6, 2, 2), groups=2, high=(1,)),
            _example((4, 2, 5), (6, 2, 2), batch_groups=2, low=(1,)),
            _example((1, 2, 4), (2, 2, 3), low=(2,), high=(3,), lhs_dilation=(2,), strides=(3,)),
            _example((1, 2, 6), (2, 2, 2), low=(-1,), high=(-1,), rhs_dilation=(3,)),
            _example((2, 1, 3, 4), (2, 1, 1, 1)),
            _example((1, 2, 3, 2, 3), (1, 2, 2, 2, 1), low=(1, 0, 0), strides=(2, 1, 2)),
            _example((1, 1, 3), (1, 1, 2), low=(3,), high=(2,), rhs_dilation=(2,)),
            _example((0, 2, 4), (3, 2, 2)),
            _example((2, 1, 2), (1, 1, 3)),
        ],
    ),
    scratch=_scratch,
    mapping=_mapping,
    moves=Moves.WEIGHS,
    doc="Windows of the array (N, C, spatial) contracted with the kernel (O, C / groups, spatial), "
    "which is not flipped: (N, O, spatial). Padding may be negative; the array's elements lie "
    "`lhs_dilation` apart, the kernel's `rhs_dilation`. Channels and kernel may fall into "
    "`groups`, or the batch into `batch_groups`, the g-th of which meets the g-th part of the "
    "outputs.",
)

ROWS: tuple[Op, ...] = (_CONVOLUTION,)
