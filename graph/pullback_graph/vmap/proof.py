"""Whether a row, given operands with a leading axis, maps over it: read from its type and `axes`.

A row keeps an axis where one factor stands for it in every operand that has it and in every result,
and nowhere else. What the row then gives at a position is what it gives of the operands there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pullback_graph.attributes import Lead
from pullback_graph.errors import RequestError
from pullback_graph.op import Axes, Op
from pullback_graph.types import ArrayType


class Proof(NamedTuple):
    """The types of the results, and which axis of each is the one mapped over."""

    types: tuple[ArrayType, ...]
    places: tuple[int, ...]


def proof(
    op: Op,
    operands: Sequence[ArrayType],
    lead: Lead,
    attributes: Mapping[str, Any],
    wanted: Sequence[ArrayType],
) -> Proof | None:
    """The proof that the row maps over the leading axis of its mapped operands, or None.

    Args:
        operands: the operands' types, with the axis.
        attributes: as they are with the axis.
        wanted: the results' types without it.
    """
    try:
        typed = op.type(*operands, **attributes)
    except RequestError:
        return None
    types = (typed,) if isinstance(typed, ArrayType) else typed
    if any([z.rank != want.rank + 1 for z, want in zip(types, wanted, strict=True)]):
        return None
    axes = op.axes(operands, types, **attributes)
    factor = _factor(axes, lead)
    if factor is None or any([own.count(factor) != 1 for own in axes.results]):
        return None
    places = tuple([own.index(factor) for own in axes.results])
    for z, want, place in zip(types, wanted, places, strict=True):
        rest = z.shape[:place] + z.shape[place + 1 :]
        if z.shape[place] != lead.size or rest != want.shape or z.dtype != want.dtype:
            return None
    return Proof(types, places)


def _factor(axes: Axes, lead: Lead) -> int | None:
    """The factor that is the leading axis of each mapped operand and stands nowhere else."""
    leading = {own[0] for own, flag in zip(axes.operands, lead.mapped, strict=True) if flag}
    if len(leading) != 1:
        return None
    factor = leading.pop()
    counts = [own.count(factor) for own in axes.operands]
    return factor if counts == [int(flag) for flag in lead.mapped] else None
