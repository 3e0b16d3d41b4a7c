"""How rows that cut blocks at starts known only when they run map over a leading axis.

Starts common to all positions get a zero in front. Starts that differ become indices: of each axis
that a block does not cover whole, its clamped start and the positions from there on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pullback_graph.attributes import Lead
from pullback_graph.ops.leading import counted, reshaped, spread, whole
from pullback_graph.ops.mapped_indexing import map_gather, map_ungather
from pullback_graph.ref import Ref, do
from pullback_graph.types import INT64, Shape


def _with_zero(starts: Ref) -> Ref:
    """Common starts of a block that covers the leading axis."""
    zero = starts.builder.constant(np.zeros(1, starts.dtype))
    joined: Ref = do.concat(zero, starts, axis=0)
    return joined


def _cut(shape: Shape, sizes: Shape) -> Shape:
    """The axes that a block does not cover whole."""
    pairs = enumerate(zip(shape, sizes, strict=True))
    return tuple([axis for axis, (size, taken) in pairs if size != taken])


def _clamped(starts: Ref, axis: int, room: int) -> Ref:
    """The starts along one axis, brought between 0 and `room`: shape (size,), int64."""
    own = do.slice(starts, starts=(0, axis), stops=(starts.shape[0], axis + 1), steps=(1, 1))
    room = min(room, int(np.iinfo(starts.dtype).max))
    zero, bound = (starts.builder.constant(np.asarray(n, starts.dtype)) for n in (0, room))
    clamped: Ref = do.astype(do.clip(reshaped(own, own.shape[:1]), zero, bound), dtype=INT64)
    return clamped


def _indices(starts: Ref, shape: Shape, sizes: Shape, cut: Shape) -> list[Ref]:
    """Where a block's elements stand along each cut axis: arrays that broadcast over the block."""
    block = tuple([sizes[axis] for axis in cut])
    indices = []
    for place, axis in enumerate(cut):
        first = _clamped(starts, axis, shape[axis] - sizes[axis])
        first = reshaped(first, (first.shape[0], *[1] * len(cut)))
        indices.append(first + counted(starts, block, place))
    return indices


def _ordered(x: Ref, cut: Shape, *, back: bool = False) -> Ref:
    """A mapped block with its cut axes where `gather` puts them, or (`back`) the other way."""
    if cut[-1] - cut[0] == len(cut) - 1:
        return x
    rest = [axis for axis in range(len(x.shape) - 1) if axis not in cut]
    order = [0, *[axis + 1 for axis in cut], *[axis + 1 for axis in rest]]
    if back:
        order = sorted(range(len(order)), key=order.__getitem__)
    moved: Ref = do.permute_dims(x, axes=tuple(order))
    return moved


def map_dynamic_slice(operands: Sequence[Ref], lead: Lead, *, sizes: Shape) -> Ref:
    """The block at common starts, or one gathered at each position's own."""
    (x, starts), (is_mapped, by_position) = operands, lead.mapped
    if not by_position:
        block: Ref = do.dynamic_slice(x, _with_zero(starts), sizes=(lead.size, *sizes))
        return block
    shape = x.shape[int(is_mapped) :]
    cut = _cut(shape, sizes)
    if not cut:
        return x if is_mapped else spread(x, lead.size)
    indices = _indices(starts, shape, sizes, cut)
    own = Lead(lead.size, (is_mapped, *[True] * len(cut)))
    gathered = map_gather([x, *indices], own, axes=cut)
    assert gathered is not None, "the indices are mapped"
    return _ordered(gathered, cut, back=True)


def map_undynamic_slice(operands: Sequence[Ref], lead: Lead, *, shape: Shape) -> Ref:
    """The sum of the groups: each placed at common starts, or at each position's own."""
    total: Ref | None = None
    for i in range(0, len(operands), 2):
        part = _placed(operands[i : i + 2], lead.mapped[i : i + 2], lead.size, shape)
        total = part if total is None else total + part
    assert total is not None, "a node has a group"
    return total


def _placed(group: Sequence[Ref], flags: Sequence[bool], size: int, shape: Shape) -> Ref:
    """One group in zeros, mapped."""
    starts, y = group
    y = y if flags[1] else spread(y, size)
    if not flags[0]:
        at_common: Ref = do.undynamic_slice(_with_zero(starts), y, shape=(size, *shape))
        return at_common
    sizes = y.shape[1:]
    cut = _cut(shape, sizes)
    if not cut:
        return y
    indices = _indices(starts, shape, sizes, cut)
    return map_ungather(
        [*indices, _ordered(y, cut)],
        Lead(size, (True,) * (len(cut) + 1)),
        shape=shape,
        axes=cut,
        counts=(len(cut),),
    )


def map_dynamic_update_slice(operands: Sequence[Ref], lead: Lead) -> Ref:
    """The row itself at common starts; else each element chosen from the block where it covers."""
    starts = operands[2]
    x, y, _ = whole(operands, Lead(lead.size, (*lead.mapped[:2], True)))
    if not lead.mapped[2]:
        written: Ref = do.dynamic_update_slice(x, y, _with_zero(starts))
        return written
    shape, sizes = x.shape[1:], y.shape[1:]
    cut = _cut(shape, sizes)
    if 0 in sizes or not cut:
        return x if 0 in sizes else y
    indices, covered = [], None
    for axis in cut:
        first = _clamped(starts, axis, shape[axis] - sizes[axis])
        first = reshaped(first, (lead.size, *[1] * len(shape)))
        place = counted(x, shape, axis) - first
        inside = (place >= 0) & (place < sizes[axis])
        covered = inside if covered is None else covered & inside
        last = y.builder.constant(np.asarray(sizes[axis] - 1, INT64))
        kept = [lead.size, *[shape[axis] if i == axis else 1 for i in cut]]
        zero = y.builder.constant(np.asarray(0, INT64))
        indices.append(reshaped(do.clip(place, zero, last), kept))
    own = Lead(lead.size, (True,) * (len(cut) + 1))
    block = map_gather([y, *indices], own, axes=cut)
    assert block is not None, "the indices are mapped"
    chosen: Ref = do.where(covered, _ordered(block, cut, back=True), x)
    return chosen
