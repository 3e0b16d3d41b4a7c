"""Graph -> Plan: estimates, looks for an axis to shard along, and decides by the cost table."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from pullback_graph.axis_groups import AxisGroups, AxisOf
from pullback_graph.errors import LimitExceeded, PullbackError, RequestError, UnsupportedError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.memory import peak_bytes
from pullback_server.planner.cost_table import COST_TABLE, Estimate, estimate
from pullback_server.planner.labels import Kind, Label, Labels, label
from pullback_server.planner.plan import JobInput, Phase, Plan, Source, Task, TaskOutput
from pullback_server.planner.shard import ShardSplit, blocks

FORCED_SHARDS = 4
"""Shards of a forced `shard` split without a count, for work too small to tell."""
MOST_LABELLED_NODES = 2_000_000
"""Nodes that the search for an axis labels in all: it tries those that touch the most work."""
MOST_CANDIDATES = 64
MOST_TASK_NODES = 2_000_000
"""Nodes of all tasks of a forced split together."""
LEAST_SHARDED_SHARE = 0.5
"""A split is worth it when at least this share of the work is sharded."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An axis group that can be cut: its labels and its sharded and whole seconds."""

    labels: Labels
    sharded_s: float
    whole_s: float
    title: str


def make_plan(graph: Graph, options: Options, *, differentiated: bool = True) -> Plan:
    """The plan of a lowered graph: one task, or shards with their reductions.

    Args:
        differentiated: whether the graph holds forward and backward work (phase FUSED).

    Raises:
        UnsupportedError: the split asked for is not offered.
        RequestError: a shard split was forced and the graph has no axis to cut.
    """
    phase = Phase.FUSED if differentiated else Phase.FORWARD
    cost = estimate(graph)
    kind, count = options.split.kind, options.split.count
    if kind in ("branch", "stage"):
        raise UnsupportedError(
            f"split {kind!r} is not offered yet; use auto, none or shard", field="options.split"
        )
    if kind == "none":
        return _one_task(graph, cost, phase, "split none was asked for")
    if kind == "auto" and cost.total_s < 2 * COST_TABLE.shard_s:
        return _one_task(graph, cost, phase, f"{cost.total_s * 1e3:.3g} ms is too little to split")
    best = _best(_candidates(graph))
    if kind == "shard":
        if best is None:
            raise RequestError(
                "split shard: no input has an axis along which this graph can be cut; "
                "use split none",
                field="options.split",
            )
        return _sharded(graph, cost, phase, best, _forced_count(best, count))
    shards = 0 if best is None else _shard_count(best)
    if best is None or shards < 2:
        return _one_task(graph, cost, phase, "no axis carries enough of the work to shard")
    try:
        return _sharded(graph, cost, phase, best, shards)
    except PullbackError as error:
        return _one_task(graph, cost, phase, f"sharding along {best.title} failed: {error}")


def _one_task(graph: Graph, cost: Estimate, phase: Phase, reason: str) -> Plan:
    work = graph.cost
    task = Task(
        graph=graph,
        operands=tuple(JobInput(i) for i in range(len(graph.inputs))),
        phase=phase,
        flops=work.flops,
        size_bytes=work.size_bytes,
        peak_bytes=peak_bytes(graph),
    )
    results: tuple[Source, ...] = tuple(TaskOutput(0, k) for k in range(len(graph.outputs)))
    return Plan(
        graph.inputs, (task,), results, Split("none"), reason, cost.total_s, cost.largest_call_s
    )


def _sharded(graph: Graph, cost: Estimate, phase: Phase, best: _Candidate, count: int) -> Plan:
    ranges = blocks(best.labels.length, count)
    split = ShardSplit(graph, best.labels, ranges, phase)
    results = split.build()
    share = best.sharded_s / max(best.sharded_s + best.whole_s, 1e-12)
    reason = f"{share:.0%} of the work runs along {best.title} of length {best.labels.length}"
    return Plan(
        graph.inputs,
        tuple(split.tasks),
        results,
        Split("shard", count),
        reason,
        cost.total_s,
        cost.largest_call_s,
    )


def _candidates(graph: Graph) -> list[_Candidate]:
    """The groups of axes that hold an input's axis and can be cut, the best among them."""
    groups = AxisGroups(graph)
    members: dict[AxisOf, list[AxisOf]] = {}
    for index, item in enumerate(graph.inputs):
        for axis in range(item.type.rank):
            member = AxisOf(index, axis)
            members.setdefault(groups.root(member), []).append(member)
    found = []
    most = max(4, min(MOST_CANDIDATES, MOST_LABELLED_NODES // max(len(graph.nodes), 1)))
    touched = _touched_s(graph, groups)
    best_s = -inf
    for root, own in sorted(members.items(), key=lambda item: -touched.get(item[0], 0.0))[:most]:
        if touched.get(root, 0.0) <= best_s:
            break  # nothing from here on can be better
        length = min(graph.types[m.value].shape[m.axis] for m in own)
        if length < 2:
            continue
        labels = label(graph, groups, root, length)
        if labels is not None and any(labels.sharded_nodes):
            title = ", ".join(_titled(graph, member) for member in own[:8])
            found.append(_candidate(graph, labels, title))
            best_s = max(best_s, found[-1].sharded_s - found[-1].whole_s)
    return found


def _titled(graph: Graph, member: AxisOf) -> str:
    return f"axis {member.axis} of {graph.inputs[member.value].name[:80]!r}"


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


def _candidate(graph: Graph, labels: Labels, title: str) -> _Candidate:
    sharded_s = whole_s = 0.0
    for cost, runs_sharded in zip(graph.node_costs, labels.sharded_nodes, strict=True):
        if runs_sharded:
            sharded_s += COST_TABLE.seconds(cost)
        else:
            whole_s += COST_TABLE.seconds(cost)
    moved = sum(
        graph.types[value].size_bytes
        for value, label in enumerate(labels.values)
        if _moves_whole(graph, label, value, labels)
    )
    whole_s += moved / COST_TABLE.transfer_bytes_per_s
    return _Candidate(labels, sharded_s, whole_s, title)


def _moves_whole(graph: Graph, label: Label, value: int, labels: Labels) -> bool:
    """Whether all of a value moves: partial sums, what is gathered, inputs every shard needs."""
    if label.kind is Kind.PARTIAL or value in labels.gathered:
        return True
    return value < len(graph.inputs) and label.kind is Kind.WHOLE


def _best(candidates: list[_Candidate]) -> _Candidate | None:
    """The candidate with the most sharded and the least other work; the first of equals."""
    return max(candidates, key=lambda c: c.sharded_s - c.whole_s, default=None)


def _shard_count(best: _Candidate) -> int:
    """Shards for an unforced split: a power of two, each worth its overhead; 0 for none."""
    if best.sharded_s < LEAST_SHARDED_SHARE * (best.sharded_s + best.whole_s):
        return 0
    most = min(COST_TABLE.most_shards, best.labels.length, best.sharded_s / COST_TABLE.shard_s)
    return 1 << int(most).bit_length() - 1 if most >= 2 else 0


def _forced_count(best: _Candidate, count: int) -> int:
    if count > best.labels.length:
        raise RequestError(
            f"split shard({count}): {best.title} has only {best.labels.length} elements; "
            "use fewer shards",
            field="options.split",
        )
    if count * len(best.labels.sharded_nodes) > MOST_TASK_NODES:
        raise LimitExceeded(
            f"split shard({count}) of {len(best.labels.sharded_nodes)} nodes; all shards together "
            f"may have {MOST_TASK_NODES}: use fewer shards",
            field="options.split",
        )
    return count or min(_shard_count(best) or FORCED_SHARDS, best.labels.length)
