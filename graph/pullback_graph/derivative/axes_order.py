"""Axes of a derivative in the order that is wanted, as early as elementwise nodes let them be.

Two permutations with elementwise nodes between them become one, before those nodes: a compiler then
writes results where they belong, and not first in another order.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.op import Partials
from pullback_graph.ops.leading import permuted, reshaped
from pullback_graph.ref import Ref, apply

MOST_NODES_BELOW = 4
"""Elementwise nodes between two permutations, one after the other."""


def permuted_below(x: Ref, axes: Sequence[int], depth: int = MOST_NODES_BELOW) -> Ref:
    """The axes in another order: of what elementwise nodes run on, where that is permuted too."""
    node = x.builder.node(x.index)
    if node is None or type(node.op.derivative) is not Partials or not _is_permuted(x, depth):
        return permuted(x, axes)
    operands = [_below(Ref(x.builder, i), axes, depth - 1) for i in node.operands]
    below: Ref = apply(node.op.name, *operands, **node.attributes)
    return below


def _below(x: Ref, axes: Sequence[int], depth: int) -> Ref:
    """An operand, which broadcasts, in another order of the result's axes."""
    missing = len(axes) - len(x.shape)
    if missing == len(axes):
        return x
    return permuted_below(reshaped(x, (*[1] * missing, *x.shape)), axes, depth)


def _is_permuted(x: Ref, depth: int) -> bool:
    """Whether an array is another one with its axes permuted, or elementwise of such a one."""
    node = x.builder.node(x.index)
    if node is None:
        return False
    if type(node.op.derivative) is not Partials:
        return node.op.name == "permute_dims"
    operands = [Ref(x.builder, i) for i in node.operands]
    return depth > 0 and any([y.shape == x.shape and _is_permuted(y, depth - 1) for y in operands])
