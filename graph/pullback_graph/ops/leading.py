"""What rows that map over a leading axis by a rule of their own share: repeat, count, move axes."""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.attributes import Lead
from pullback_graph.ref import Ref, do
from pullback_graph.types import INT64


def spread(x: Ref, size: int) -> Ref:
    """A value that is not mapped, repeated along a new leading axis."""
    repeated: Ref = do.broadcast_to(x, shape=(size, *x.shape))
    return repeated


def whole(operands: Sequence[Ref], lead: Lead) -> list[Ref]:
    """The operands, all with the axis."""
    pairs = zip(operands, lead.mapped, strict=True)
    return [x if flag else spread(x, lead.size) for x, flag in pairs]


def of_rank(x: Ref, rank: int) -> Ref:
    """A mapped value with axes of size one behind the leading one, up to `rank` besides it."""
    missing = rank + 1 - len(x.shape)
    if missing <= 0:
        return x
    return reshaped(x, (x.shape[0], *[1] * missing, *x.shape[1:]))


def counted(x: Ref, shape: Sequence[int], axis: int) -> Ref:
    """0, 1, 2, ... along one axis of `shape`, whose other axes are of size one."""
    ones = tuple([size if i == axis else 1 for i, size in enumerate(shape)])
    count: Ref = x.builder.add("iota", shape=ones, axis=axis, dtype=INT64)
    return count


def to_front(x: Ref, place: int) -> Ref:
    """The axis at `place` moved in front of the others."""
    rest = [axis for axis in range(len(x.shape)) if axis != place]
    return permuted(x, (place, *rest))


def permuted(x: Ref, axes: Sequence[int]) -> Ref:
    """The axes in another order."""
    if list(axes) == list(range(len(axes))):
        return x
    moved: Ref = do.permute_dims(x, axes=tuple(axes))
    return moved


def reshaped(x: Ref, shape: Sequence[int]) -> Ref:
    """The same elements in another shape."""
    if x.shape == tuple(shape):
        return x
    z: Ref = do.reshape(x, shape=tuple(shape))
    return z


def cut(x: Ref, start: int, stop: int) -> Ref:
    """Entries start:stop along the leading axis."""
    if start == 0 and stop == x.shape[0]:
        return x
    rest = x.shape[1:]
    part: Ref = do.slice(
        x,
        starts=(start, *[0] * len(rest)),
        stops=(stop, *rest),
        steps=(1,) * len(x.shape),
    )
    return part
