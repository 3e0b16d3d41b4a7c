"""A node run once for each position of the axis, where its row has no other way."""

from __future__ import annotations

from pullback_graph.attributes import Lead
from pullback_graph.builder import Builder
from pullback_graph.errors import LimitExceeded
from pullback_graph.graph import Node
from pullback_graph.ref import Ref, do

MAX_COPIES = 4096
"""Copies of a node that a loop over the axis may be written out to."""


def looped(builder: Builder, node: Node, operands: list[Ref], lead: Lead) -> list[Ref]:
    """The node's results for each position, stacked; every operand is mapped.

    Raises:
        LimitExceeded: the axis is too long to write the loop out.
    """
    if lead.size > MAX_COPIES:
        raise LimitExceeded(
            f"{node.op.name} maps over an axis only one position at a time, and {lead.size} "
            f"positions are more than {MAX_COPIES}; map over fewer at once"
        )
    runs = [
        builder.replay(node, tuple([_at(x, position).index for x in operands]))
        for position in range(lead.size)
    ]
    return [
        do.stack(*[Ref(builder, number) for number in numbers], axis=0)
        for numbers in zip(*runs, strict=True)
    ]


def _at(x: Ref, position: int) -> Ref:
    """What stands at a position of the leading axis."""
    rest = x.shape[1:]
    part = do.slice(
        x,
        starts=(position, *[0] * len(rest)),
        stops=(position + 1, *rest),
        steps=(1,) * len(x.shape),
    )
    taken: Ref = do.reshape(part, shape=rest)
    return taken
