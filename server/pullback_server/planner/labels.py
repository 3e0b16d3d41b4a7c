"""Labels every value of a graph against one group of axes: sharded, whole, or partial.

A value is *sharded* when one of its axes is in the group; where a node contracts that axis its
result is *partial* until a reduce joins the shards; a node that blocks the axis needs its operand
*gathered* first. Rounds count the joins on the way: between two joins lies one task a shard.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pullback_graph.axis_groups import AxisGroups, AxisOf
from pullback_graph.graph import Graph
from pullback_graph.op import Axes


class Kind(Enum):
    """How a value stands to the shards."""

    WHOLE = "whole"
    SHARDED = "sharded"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Label:
    """A value's kind, its sharded axis (or -1), the row joining partials, and its round."""

    kind: Kind
    round: int
    axis: int = -1
    join: str = ""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a graph for one group of axes whose length is `length`.

    Attributes:
        values: a label per value.
        sharded_nodes: per node, whether it runs once a shard.
        node_rounds: per node, the round it runs in.
        gathered: values that some whole node needs joined end to end.
        cut_operands: per node, the positions of whole operands it wants a block of: those whose
            axis in the group is the factor it runs along. A whole operand that it blocks or
            contracts otherwise stays whole.
        group_axes: per value, its axis in the group or -1.
    """

    values: tuple[Label, ...]
    sharded_nodes: tuple[bool, ...]
    node_rounds: tuple[int, ...]
    gathered: frozenset[int]
    cut_operands: tuple[frozenset[int], ...]
    group_axes: tuple[int, ...]
    length: int


def label(graph: Graph, groups: AxisGroups, root: AxisOf, length: int) -> Labels | None:
    """Labels for the group of `root`; None where the group cannot be cut.

    It cannot when a value has two axes in it, when sizes are no multiple of `length`, or when one
    node meets it along two different factors.
    """
    axes = _axes_in_group(graph, groups, root, length)
    if axes is None:
        return None
    labels: list[Label] = []
    for value in range(len(graph.inputs) + len(graph.constants)):
        labels.append(_given(axes[value]))
    sharded, rounds, gathered, cuts = [], [], set(), []
    for first, node, node_axes in zip(graph.first_results, graph.nodes, groups.axes, strict=True):
        factors = _factors(node.operands, axes, labels, node_axes)
        if len(factors - {None}) > 1:
            return None
        blocked = None in factors
        factor = next(iter(factors - {None}), None)
        runs_sharded = not blocked and (factor is not None or _creates(first, node_axes, axes))
        joined = {i for i in node.operands if blocked and labels[i].kind is Kind.SHARDED}
        if joined and factor is not None:
            return None
        gathered |= joined
        round = max((_ready_round(labels[i], i in joined) for i in node.operands), default=0)
        for offset in range(len(node.types)):
            axis = axes[first + offset]
            own = node_axes.results[offset][axis] if axis >= 0 else None
            along = own is not None and (factor is None or own == factor)
            labels.append(_result(axis if along else -1, node_axes, factor, round, runs_sharded))
        sharded.append(runs_sharded)
        rounds.append(round)
        cuts.append(_cut_operands(node.operands, axes, labels, node_axes, factor))
    return Labels(
        tuple(labels),
        tuple(sharded),
        tuple(rounds),
        frozenset(gathered),
        tuple(cuts),
        tuple(axes),
        length,
    )


def _axes_in_group(graph: Graph, groups: AxisGroups, root: AxisOf, length: int) -> list[int] | None:
    """Per value, its one axis in the group or -1; None where there are two or sizes do not fit."""
    result = []
    for value, type in enumerate(graph.types):
        own = [a for a in range(type.rank) if groups.root(AxisOf(value, a)) == root]
        if len(own) > 1 or any(type.shape[a] % length for a in own):
            return None
        result.append(own[0] if own else -1)
    return result


def _given(axis: int) -> Label:
    """The label of an input or a constant."""
    return Label(Kind.WHOLE, 0) if axis < 0 else Label(Kind.SHARDED, 0, axis)


def _factors(
    operands: tuple[int, ...], axes: list[int], labels: list[Label], node_axes: Axes
) -> set[int | None]:
    """The factors along which the node meets sharded operands (None: it blocks one)."""
    met = {
        own[axes[i]]
        for i, own in zip(operands, node_axes.operands, strict=True)
        if labels[i].kind is Kind.SHARDED
    }
    kept = {factor for own in node_axes.results for factor in own}
    return {f if f in kept or f in node_axes.reduce else None for f in met}


def _cut_operands(
    operands: tuple[int, ...],
    axes: list[int],
    labels: list[Label],
    node_axes: Axes,
    factor: int | None,
) -> frozenset[int]:
    """Positions of the whole operands whose axis in the group is the factor the node runs along."""
    return frozenset(
        k
        for k, i in enumerate(operands)
        if factor is not None
        and labels[i].kind is not Kind.SHARDED
        and axes[i] >= 0
        and node_axes.operands[k][axes[i]] == factor
    )


def _creates(first: int, node_axes: Axes, axes: list[int]) -> bool:
    """Whether the node makes the group's axis itself, its content the same at every position."""
    kept = {factor for own in node_axes.operands for factor in own} | {None}
    return any(
        axes[first + k] >= 0 and own[axes[first + k]] not in kept
        for k, own in enumerate(node_axes.results)
    )


def _ready_round(label: Label, gathered: bool) -> int:
    """The round in which a value can be read: after its join, if it needs one."""
    return label.round + (label.kind is Kind.PARTIAL or gathered)


def _result(
    axis: int, node_axes: Axes, factor: int | None, round: int, runs_sharded: bool
) -> Label:
    """The label of a node's result; `axis` is its own along which the node runs, or -1.

    A result may have an axis in the group that the node does not run along: a partial sum over the
    group's axis whose shape has that axis again, say. Once joined it is whole, and cut where read.
    """
    if not runs_sharded:
        return Label(Kind.WHOLE, round)
    if axis >= 0:
        return Label(Kind.SHARDED, round, axis)
    if factor is not None and factor in node_axes.reduce:
        return Label(Kind.PARTIAL, round, join=node_axes.reduce[factor])
    return Label(Kind.WHOLE, round)
