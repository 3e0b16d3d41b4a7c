"""How rows that index with arrays map over a leading axis, where their indices differ along it.

The axis is then indexed too, by its own positions. The indices' own axes then come first in what is
gathered: the axis, `own`, and what is left of the operand, which is put back in its order here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pullback_graph.attributes import Lead
from pullback_graph.ops.leading import counted, of_rank, permuted, spread, to_front
from pullback_graph.ref import Ref, do
from pullback_graph.types import Shape, broadcast_shapes


class _Layout(NamedTuple):
    """Where the indices' own axes stand in what one position gathers.

    Attributes:
        own: the shape of the indices together.
        begin: the axis at which they stand.
        rank: of what is gathered.
        apart: whether the indexed axes are not next to each other, so that `own` comes first.
    """

    own: Shape
    begin: int
    rank: int
    apart: bool

    @property
    def from_front(self) -> list[int]:
        """The permutation that takes the indices' axes, behind the leading one, to their place."""
        count = len(self.own)
        behind = range(count + 1, self.rank + 1)
        return [0, *behind[: self.begin], *range(1, count + 1), *behind[self.begin :]]

    @property
    def to_front(self) -> list[int]:
        """Its inverse."""
        return sorted(range(self.rank + 1), key=self.from_front.__getitem__)


def _layout(rank: int, indices: Sequence[Ref], flags: Sequence[bool], axes: Shape) -> _Layout:
    """The layout for an operand of `rank` axes; of the indices, those with a flag are mapped."""
    shapes = [x.shape[int(flag) :] for x, flag in zip(indices, flags, strict=True)]
    own = broadcast_shapes(shapes)
    apart = axes[-1] - axes[0] != len(axes) - 1
    return _Layout(own, 0 if apart else axes[0], rank - len(axes) + len(own), apart)


def _with_positions(
    indices: Sequence[Ref], flags: Sequence[bool], own: Shape, size: int
) -> list[Ref]:
    """The positions of the leading axis, then the indices, broadcasting to `(size, *own)`."""
    ready = [of_rank(x, len(own)) if flag else x for x, flag in zip(indices, flags, strict=True)]
    return [counted(indices[0], (size, *own), 0), *ready]


def _further(axes: Shape) -> Shape:
    """The same axes of an operand with a leading one, and that one."""
    return (0, *[axis + 1 for axis in axes])


# --- gather, take ---------------------------------------------------------------------------------


def map_gather(operands: Sequence[Ref], lead: Lead, *, axes: Shape) -> Ref | None:
    """Of both mapped, one gather that indexes the axis as well; mapped indices alone, as it is."""
    (x, *indices), (is_mapped, *flags) = operands, lead.mapped
    if not any(flags):
        return None
    layout = _layout(len(x.shape) - is_mapped, indices, flags, axes)
    ready = _with_positions(indices, flags, layout.own, lead.size)
    if not is_mapped:
        return to_front(do.gather(x, *ready[1:], axes=axes), layout.begin)
    return permuted(do.gather(x, *ready, axes=_further(axes)), layout.from_front)


def map_take(operands: Sequence[Ref], lead: Lead, *, axis: int) -> Ref | None:
    """As a gather, where array and indices are both mapped."""
    return map_gather(operands, lead, axes=(axis,)) if all(lead.mapped) else None


# --- ungather, scatter_add ------------------------------------------------------------------------


def map_ungather(
    operands: Sequence[Ref], lead: Lead, *, shape: Shape, axes: Shape, counts: Shape
) -> Ref:
    """Group by group: one whose indices are mapped indexes the axis as well."""
    placed: list[Ref] = []
    at: list[int] = []
    new_counts: list[int] = []
    first = 0
    for count in counts:
        own_axes, start = axes[first : first + count], first + len(new_counts)
        group = slice(start, start + count + 1)
        refs, new_axes = _placed(operands[group], lead.mapped[group], lead.size, shape, own_axes)
        placed, at = [*placed, *refs], [*at, *new_axes]
        new_counts.append(len(new_axes))
        first += count
    z: Ref = do.ungather(
        *placed, shape=(lead.size, *shape), axes=tuple(at), counts=tuple(new_counts)
    )
    return z


def _placed(
    group: Sequence[Ref], flags: Sequence[bool], size: int, shape: Shape, axes: Shape
) -> tuple[list[Ref], Shape]:
    """One group's operands with the axis, and the axes it then indexes."""
    (*indices, y), (*mapped, is_mapped) = group, flags
    y = y if is_mapped else spread(y, size)
    layout = _layout(len(shape), indices, mapped, axes)
    if any(mapped):
        ready = _with_positions(indices, mapped, layout.own, size)
        return [*ready, permuted(y, layout.to_front)], _further(axes)
    if layout.apart:  # the indices' own axes come before the leading one
        count = len(layout.own)
        y = permuted(y, [*range(1, count + 1), 0, *range(count + 1, len(y.shape))])
    return [*indices, y], tuple([axis + 1 for axis in axes])


def map_scatter_add(operands: Sequence[Ref], lead: Lead, *, axis: int) -> Ref:
    """The row itself for common indices, else the sum with what is scattered in zeros."""
    x, indices, y = operands
    is_mapped, by_position, y_mapped = lead.mapped
    whole = x if is_mapped else spread(x, lead.size)
    if by_position:
        own = Lead(lead.size, (True, y_mapped))
        rest: dict[str, Any] = {"shape": whole.shape[1:], "axes": (axis,), "counts": (1,)}
        return whole + map_ungather([indices, y], own, **rest)
    placed = y if y_mapped else spread(y, lead.size)
    added: Ref = do.scatter_add(whole, indices, placed, axis=axis + 1)
    return added
