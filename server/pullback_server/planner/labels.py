"""Labels every value of a graph against one group of axes: sharded, whole, or partial.

A value is *sharded* when one of its axes is in the group; where a node contracts that axis its
result is *partial* until a reduce joins the shards, and what only joins partial values is so in its
turn: each shard adds its own. A node that blocks the axis needs its operand *gathered* first.
Rounds count the joins on the way: between two joins lies one task a shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from math import gcd

from pullback_graph.axis_groups import AxisGroups, AxisOf
from pullback_graph.graph import Graph, Node
from pullback_graph.op import Axes, Factors
from pullback_graph.types import ArrayType


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
        gathered: values that some node needs joined end to end.
        joined: partial values that are read as a whole: by later nodes, or as outputs.
        gathered_operands: per node, the positions of operands that it needs so: sharded ones that
            it blocks, or meets along another factor than the one it runs along.
        cut_operands: per node, the positions of whole operands it wants a block of, with the axis:
            those with an axis in the group that is the factor it runs along. A whole operand that
            it blocks or contracts otherwise stays whole.
    """

    values: tuple[Label, ...]
    sharded_nodes: tuple[bool, ...]
    node_rounds: tuple[int, ...]
    gathered: frozenset[int]
    joined: frozenset[int]
    gathered_operands: tuple[frozenset[int], ...]
    cut_operands: tuple[Mapping[int, int], ...]
    length: int


def label(graph: Graph, groups: AxisGroups, root: AxisOf, least: int) -> Labels | None:
    """Labels for the group of `root`; None where its sizes have no common divisor of `least`.

    Where a reshape splits an axis of 10 into 5 pairs, blocks are of whole pairs: the length is 5.
    A value is cut along one axis, even if the group holds two of its own: similarities of all pairs
    are rows by whole, and what is met along the other axis is gathered. Values that nodes without
    operands make (unit seeds, say) are whole, and the nodes that read them take the shard's block.
    """
    axes = _axes_in_group(graph, groups, root)
    sizes = [type.shape[a] for type, own in zip(graph.types, axes, strict=True) for a in own]
    length = gcd(*sizes)
    if length < least:
        return None
    given = len(graph.inputs) + len(graph.constants)
    labels = [_given(axes[value]) for value in range(given)]
    made: set[int] = set()
    sharded, rounds, gathered, whole, cuts = [], [], set(), [], []
    for first, node, node_axes in zip(graph.first_results, graph.nodes, groups.axes, strict=True):
        met = _met(node.operands, axes, labels, node_axes, made)
        factor = _factor(met, node_axes)
        results = range(first, first + len(node.types))
        join = _join(node, graph.types, labels)
        creates = not met and not join and _created(axes, results, node_axes) is not None
        runs_sharded = factor is not None or creates or bool(join)
        if not node.operands and not runs_sharded:
            made.update(results)
        joined = frozenset(k for k, own in met.items() if factor is None or own != factor)
        waits = [
            _ready_round(labels[i], k in joined and i >= given) for k, i in enumerate(node.operands)
        ]
        round = labels[node.operands[0]].round if join else max(waits, default=0)
        for offset, value in enumerate(results):
            own_axes = node_axes.results[offset]
            along = [a for a in axes[value] if factor is not None and own_axes[a] == factor]
            if creates:
                along = _created_axes(axes[value], own_axes, node_axes)
            axis = along[0] if along else -1
            made_here = _result(axis, node_axes, factor, round, runs_sharded)
            labels.append(Label(Kind.PARTIAL, round, join=join) if join else made_here)
        gathered |= {node.operands[k] for k in joined}
        sharded.append(runs_sharded)
        rounds.append(round)
        whole.append(joined)
        cuts.append(_cut_operands(node.operands, axes, labels, node_axes, factor, joined))
    return Labels(
        tuple(labels),
        tuple(sharded),
        tuple(rounds),
        frozenset(gathered),
        _joined(graph, labels, rounds),
        tuple(whole),
        tuple(cuts),
        length,
    )


def _join(node: Node, types: Sequence[ArrayType], labels: Sequence[Label]) -> str:
    """The row a node is where it joins the partial values of one round as reduces will; or ""."""
    met = {labels[i] for i in node.operands}
    if len(met) != 1 or any(types[i] != node.types[0] for i in node.operands):
        return ""
    (own,) = met
    return own.join if own.kind is Kind.PARTIAL and own.join == node.op.name else ""


def _joined(graph: Graph, labels: Sequence[Label], rounds: Sequence[int]) -> frozenset[int]:
    """The partial values that nodes of later rounds read, or that are outputs."""
    read = {item.value for item in graph.outputs}
    for node, round in zip(graph.nodes, rounds, strict=True):
        read.update([i for i in node.operands if labels[i].round < round])
    return frozenset([i for i in read if labels[i].kind is Kind.PARTIAL])


def _axes_in_group(graph: Graph, groups: AxisGroups, root: AxisOf) -> list[tuple[int, ...]]:
    """Per value, its axes in the group."""
    return [
        tuple([a for a in range(type.rank) if groups.root(AxisOf(value, a)) == root])
        for value, type in enumerate(graph.types)
    ]


def _given(axes: Sequence[int]) -> Label:
    """The label of an input or a constant."""
    return Label(Kind.SHARDED, 0, axes[0]) if axes else Label(Kind.WHOLE, 0)


def _met(
    operands: tuple[int, ...],
    axes: Sequence[Sequence[int]],
    labels: Sequence[Label],
    node_axes: Axes,
    made: Set[int],
) -> dict[int, int | None]:
    """Per position of a sharded operand, the factor the node meets it along; None if it blocks it.

    What nodes without operands `made` is whole: meeting it along a factor counts, blocking it not.
    """
    kept = {factor for own in node_axes.results for factor in own}
    found: dict[int, int | None] = {}
    for k, (i, own) in enumerate(zip(operands, node_axes.operands, strict=True)):
        if labels[i].kind is Kind.SHARDED:
            factor = own[labels[i].axis]
            found[k] = factor if factor in kept or factor in node_axes.reduce else None
        elif i in made:
            runs = [f for f in (own[a] for a in axes[i]) if f in kept or f in node_axes.reduce]
            if runs and runs[0] is not None:
                found[k] = runs[0]
    return found


def _factor(met: Mapping[int, int | None], node_axes: Axes) -> int | None:
    """The factor a node runs along: of those it meets, the first that a result keeps, or any."""
    factors = [factor for factor in met.values() if factor is not None]
    kept = {factor for own in node_axes.results for factor in own}
    return next((f for f in factors if f in kept), factors[0] if factors else None)


def _cut_operands(
    operands: tuple[int, ...],
    axes: Sequence[Sequence[int]],
    labels: Sequence[Label],
    node_axes: Axes,
    factor: int | None,
    joined: Set[int],
) -> Mapping[int, int]:
    """Positions of operands that are there whole and have the factor the node runs along: where."""
    cut: dict[int, int] = {}
    for k, i in enumerate(operands):
        if factor is not None and (labels[i].kind is not Kind.SHARDED or k in joined):
            for axis in axes[i]:
                if node_axes.operands[k][axis] == factor:
                    cut.setdefault(k, axis)
    return cut


def _created(axes: Sequence[Sequence[int]], results: range, node_axes: Axes) -> int | None:
    """The first result with an axis of the group that the node makes itself, or None.

    Its content is the same at every position of such an axis.
    """
    for offset, value in enumerate(results):
        if _created_axes(axes[value], node_axes.results[offset], node_axes):
            return value
    return None


def _created_axes(axes: Sequence[int], own: Factors, node_axes: Axes) -> list[int]:
    """Of a result's axes in the group, those that no operand has."""
    kept = {factor for operand in node_axes.operands for factor in operand} | {None}
    return [axis for axis in axes if own[axis] not in kept]


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
