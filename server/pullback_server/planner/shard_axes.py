"""The axes along which a graph can be cut, and how many shards are worth their overhead."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf

from pullback_graph.axis_groups import AxisGroups, AxisOf
from pullback_graph.errors import LimitExceeded, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import Split
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.labels import Kind, Label, Labels, label

FORCED_SHARDS = 4
"""Shards of a forced `shard` split without a count, for work too small to tell."""
MOST_LABELLED_NODES = 2_000_000
"""Nodes that the search for an axis labels in all: it tries those that touch the most work."""
MOST_CANDIDATES = 64
MOST_TASK_NODES = 2_000_000
"""Nodes of all tasks of a forced split together."""
_PLURALS = {"shard": "shards", "branch": "branches", "stage": "stages"}
LEAST_SHARDED_SHARE = 0.5
"""A split is worth it when at least this share of the work is sharded."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An axis group that can be cut.

    Attributes:
        sharded_s: work that every shard does its part of.
        whole_s: work done once, and values moved once.
        calls_s: what every shard spends on its nodes however short it is.
        joined_bytes: partial values of each shard, to be joined.
    """

    labels: Labels
    sharded_s: float
    whole_s: float
    title: str
    calls_s: float = 0.0
    joined_bytes: int = 0

    @property
    def share(self) -> float:
        """The part of the work that is sharded."""
        return self.sharded_s / max(self.sharded_s + self.whole_s, 1e-12)

    def shards_s(self, count: int, workers: int) -> float:
        """About how long so many shards take: some behind one another, then joined two by two."""
        rounds = max(self.labels.node_rounds, default=0) + 1
        shard_s = self.calls_s + (self.sharded_s - self.calls_s) / count
        join_s = 3 * self.joined_bytes / COST_TABLE.bytes_per_s  # two are read and one written
        own_s = -(-count // workers) * (shard_s + join_s + 2 * rounds * COST_TABLE.call_s)
        levels = (min(count, workers) - 1).bit_length()
        waits_s = levels * (join_s + COST_TABLE.move_s(self.joined_bytes))
        return self.whole_s + own_s + waits_s + (rounds - 1) * (levels > 0) * COST_TABLE.task_s


def candidates(graph: Graph, least: int = 2) -> list[Candidate]:
    """The groups of axes that begin with an input, or with what is made here, and can be cut.

    Args:
        least: how long the axis is to be.
    """
    groups = AxisGroups(graph)
    members: dict[AxisOf, list[AxisOf]] = {}
    for value in _sources(graph):
        for axis in range(graph.types[value].rank):
            member = AxisOf(value, axis)
            members.setdefault(groups.root(member), []).append(member)
    found = []
    most = max(4, min(MOST_CANDIDATES, MOST_LABELLED_NODES // max(len(graph.nodes), 1)))
    touched = _touched_s(graph, groups)
    best_s = -inf
    for root, own in sorted(members.items(), key=lambda item: -touched.get(item[0], 0.0))[:most]:
        if touched.get(root, 0.0) <= best_s:
            break  # nothing from here on can be better
        labels = label(graph, groups, root, least)
        if labels is not None and any(labels.sharded_nodes):
            title = ", ".join(dict.fromkeys(_titled(graph, member) for member in own[:8]))
            found.append(_candidate(graph, labels, title))
            best_s = max(best_s, found[-1].sharded_s - found[-1].whole_s)
    return found


def _sources(graph: Graph) -> list[int]:
    """Values that depend on none: inputs, constants, what nodes without operands make."""
    made = [
        first + k
        for first, node in zip(graph.first_results, graph.nodes, strict=True)
        if not node.operands
        for k in range(len(node.types))
    ]
    return [*range(len(graph.inputs) + len(graph.constants)), *made]


def _titled(graph: Graph, member: AxisOf) -> str:
    if member.value < len(graph.inputs):
        return f"axis {member.axis} of {graph.inputs[member.value].name[:80]!r}"
    return f"axis {member.axis} of seeds and constants made in the graph"


def _touched_s(graph: Graph, groups: AxisGroups) -> dict[AxisOf, float]:
    """Seconds of the nodes that keep or contract an axis of each group."""
    touched: dict[AxisOf, float] = {}
    for first, node, axes, cost in zip(
        graph.first_results, graph.nodes, groups.axes, graph.node_costs, strict=True
    ):
        values = (*node.operands, *range(first, first + len(node.types)))
        roots = {
            groups.root(AxisOf(value, axis))
            for value, own in zip(values, (*axes.operands, *axes.results), strict=True)
            for axis, factor in enumerate(own)
            if factor is not None
        }
        for root in roots:
            touched[root] = touched.get(root, 0.0) + COST_TABLE.seconds(cost)
    return touched


def _candidate(graph: Graph, labels: Labels, title: str) -> Candidate:
    sharded_s = whole_s = calls_s = 0.0
    for cost, runs_sharded in zip(graph.node_costs, labels.sharded_nodes, strict=True):
        if runs_sharded:
            sharded_s += COST_TABLE.seconds(cost)
            calls_s += COST_TABLE.node_s * cost.calls
        else:
            whole_s += COST_TABLE.seconds(cost)
    moved = sum(
        graph.types[value].size_bytes
        for value, label in enumerate(labels.values)
        if _moves_whole(graph, label, value, labels)
    )
    whole_s += moved / COST_TABLE.transfer_bytes_per_s
    joined = sum(graph.types[value].size_bytes for value in labels.joined)
    return Candidate(labels, sharded_s, whole_s, title, calls_s, joined)


def _moves_whole(graph: Graph, label: Label, value: int, labels: Labels) -> bool:
    """Whether all of a value moves: partial sums, what is gathered, inputs every shard needs."""
    if value in labels.joined or value in labels.gathered:
        return True
    return value < len(graph.inputs) and label.kind is Kind.WHOLE


def best_of(candidates: list[Candidate]) -> Candidate | None:
    """The candidate with the most sharded and the least other work; the first of equals."""
    return max(candidates, key=lambda c: c.sharded_s - c.whole_s, default=None)


def shard_count(best: Candidate) -> int:
    """Shards for an unforced split: the power of two that suits all numbers of workers; 0 for none.

    More are for more workers, but each costs its overhead, and a partial value to join; on one
    worker they are not to take much longer than the same work in one task.
    """
    if best.share < LEAST_SHARDED_SHARE:
        return 0
    most = min(COST_TABLE.most_shards, best.labels.length, best.sharded_s / COST_TABLE.shard_s)
    counts = [1 << power for power in range(1, max(int(most), 1).bit_length())]
    most_s = COST_TABLE.aimed_longer * (best.sharded_s + best.whole_s)
    counts = [n for n in counts if n == 2 or best.shards_s(n, 1) <= most_s]
    typical_s = COST_TABLE.typical_s
    return min(counts, key=lambda n: typical_s(partial(best.shards_s, n)), default=0)


def forced_count(best: Candidate, count: int) -> int:
    """Shards of a forced split; a count of 0 leaves it to the work.

    Raises:
        RequestError: there are fewer elements.
        LimitExceeded: it would make too many nodes.
    """
    if count > best.labels.length:
        raise RequestError(
            f"split shard({count}): {best.title} has only {best.labels.length} elements; "
            "use fewer shards",
            field="options.split",
        )
    check_nodes(Split("shard", count), count * len(best.labels.sharded_nodes))
    return count or min(shard_count(best) or FORCED_SHARDS, best.labels.length)


def check_nodes(split: Split, nodes: int) -> None:
    """Refuse a forced split into more nodes than any machine should hold.

    Raises:
        LimitExceeded: it would make too many.
    """
    if nodes > MOST_TASK_NODES:
        raise LimitExceeded(
            f"split {split} would make {nodes} nodes, all tasks together; {MOST_TASK_NODES} are "
            f"allowed: use fewer {_PLURALS[split.kind]}",
            field="options.split",
        )
