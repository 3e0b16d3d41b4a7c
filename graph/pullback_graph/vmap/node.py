"""One node mapped over a leading axis: the row's own rule, a way that `axes` proves, or a loop.

The ways differ in what they make of the operands before the row sees them; the first that the
row's `axes` proves right is taken. None names an operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from pullback_graph.attributes import Lead, with_lead
from pullback_graph.builder import Builder
from pullback_graph.graph import Node
from pullback_graph.ops.leading import of_rank, to_front, whole
from pullback_graph.ref import Ref
from pullback_graph.types import ArrayType
from pullback_graph.vmap.loop import looped
from pullback_graph.vmap.proof import proof

Operands: TypeAlias = tuple[list[Ref], Lead]
"""Operands with the axis in front of those that the lead says are mapped."""
Way: TypeAlias = "Callable[[Node, list[Ref], Lead], Operands | None]"
"""Operands made ready for the row; None where this changes nothing."""


def map_node(builder: Builder, node: Node, operands: list[Ref], lead: Lead) -> list[Ref]:
    """The node's results with a leading axis of `lead.size`, added to `builder`.

    Args:
        operands: at least one of them mapped, with the axis in front.

    Raises:
        LimitExceeded: nothing but a loop would do, and it would be too long.
    """
    whole = [type._replace(shape=(lead.size, *type.shape)) for type in node.types]
    if not any([type.size for type in whole]):
        return [_empty(builder, type) for type in whole]
    if node.op.mapping is not None:
        made = node.op.mapping(operands, lead, **node.attributes)
        if made is not None:
            return list(made) if isinstance(made, tuple) else [made]
    for way in _WAYS:
        ready = way(node, operands, lead)
        results = None if ready is None else _applied(builder, node, *ready)
        if results is not None:
            return results
    return looped(builder, node, *_broadcast(node, operands, lead))


def _empty(builder: Builder, type: ArrayType) -> Ref:
    """The array of a type without elements."""
    return builder.constant(np.zeros(type.shape, type.dtype))


def _applied(builder: Builder, node: Node, operands: list[Ref], lead: Lead) -> list[Ref] | None:
    """The row on these operands, the axis in front of its results; None without a proof."""
    attributes = with_lead(node.op.attributes, node.attributes, lead)
    if attributes is None:
        return None
    proven = proof(node.op, [x.type for x in operands], lead, attributes, node.types)
    if proven is None:
        return None
    mapped = Node(node.op, (), attributes, proven.types)
    numbers = builder.replay(mapped, tuple([x.index for x in operands]))
    return [
        to_front(Ref(builder, number), place)
        for number, place in zip(numbers, proven.places, strict=True)
    ]


# --- the ways -------------------------------------------------------------------------------------


def _as_they_are(node: Node, operands: list[Ref], lead: Lead) -> Operands | None:
    return operands, lead


def _padded(rank: int, operands: list[Ref], lead: Lead) -> Operands | None:
    """Mapped operands of lower rank get axes of size one behind the leading one."""
    ready = [of_rank(x, rank) if flag else x for x, flag in zip(operands, lead.mapped, strict=True)]
    return None if ready == operands else (ready, lead)


def _padded_to_operands(node: Node, operands: list[Ref], lead: Lead) -> Operands | None:
    """For rows that broadcast: ranks as equal as they were."""
    ranks = [len(x.shape) - flag for x, flag in zip(operands, lead.mapped, strict=True)]
    return _padded(max(ranks), operands, lead)


def _padded_to_result(node: Node, operands: list[Ref], lead: Lead) -> Operands | None:
    """For rows that broadcast to a shape they are given."""
    return _padded(node.types[0].rank, operands, lead)


def _broadcast(node: Node, operands: list[Ref], lead: Lead) -> Operands:
    """For rows that take all operands of one shape, or one for each position."""
    return whole(operands, lead), Lead(lead.size, (True,) * len(operands))


def _broadcast_and_padded(node: Node, operands: list[Ref], lead: Lead) -> Operands | None:
    return _padded_to_operands(node, *_broadcast(node, operands, lead))


_WAYS: tuple[Way, ...] = (
    _as_they_are,
    _padded_to_operands,
    _padded_to_result,
    _broadcast,
    _broadcast_and_padded,
)
