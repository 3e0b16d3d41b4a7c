"""The stage split: a long graph cut where few bytes cross, each part's backward work beside it.

Forward nodes are cut in their order into stages of about equal work. A derivative node folds back:
it goes to the earliest stage whose values it needs, so that backward stages run in reverse where
their residuals are. Where derivatives run along with the values (forward mode), they go to the
latest stage they need instead; of the two, that with the lesser largest stage is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pullback_graph.graph import Graph
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.extract import results_of
from pullback_server.planner.groups import Group
from pullback_server.planner.phases import phase_of
from pullback_server.planner.shard import Stages

WINDOW = 0.4
"""A cut may lie this part of a stage's work to either side of where stages were equal."""


class StageSplit(NamedTuple):
    """A graph's parts in order, and of how many stages they are."""

    parts: Stages
    stages: int

    def groups(self, graph: Graph, forward: Sequence[bool]) -> list[Group]:
        """A group a part."""
        own: list[list[int]] = [[] for _ in self.parts.homes]
        for position in range(len(graph.nodes)):
            own[self.parts.of[position]].append(position)
        return [
            Group(nodes, phase_of(nodes, forward), home)
            for nodes, home in zip(own, self.parts.homes, strict=True)
            if nodes
        ]


def stage_split(graph: Graph, forward: Sequence[bool], count: int) -> StageSplit | None:
    """The graph in `count` stages; None where its forward part cannot be cut that often."""
    stages = _forward_stages(graph, forward, count)
    if stages is None:
        return None
    if all(forward):
        return StageSplit(Stages([stages[p] for p in range(len(graph.nodes))], range(count)), count)
    folded, along = _folded(graph, forward, stages, count), _along(graph, stages)
    back = [*range(count), *range(count - 1, -1, -1)]
    if _largest_s(graph, folded, back) <= _largest_s(graph, along, range(count)):
        return StageSplit(Stages(folded, back), count)
    return StageSplit(Stages(along, range(count)), count)


def _forward_stages(graph: Graph, forward: Sequence[bool], count: int) -> dict[int, int] | None:
    """The stage of each forward node."""
    nodes = [position for position, own in enumerate(forward) if own]
    work = np.cumsum([0.0, *[COST_TABLE.seconds(graph.node_costs[p]) for p in nodes]])
    crossing = _crossing_bytes(graph, nodes)
    bounds = [0]
    for number in range(1, count):
        low = int(np.searchsorted(work, work[-1] * (number - WINDOW) / count))
        high = int(np.searchsorted(work, work[-1] * (number + WINDOW) / count, side="right"))
        low, high = max(low, bounds[-1] + 1), min(high, len(nodes) - count + number + 1)
        if low >= high:
            low, high = bounds[-1] + 1, bounds[-1] + 2
        if low >= len(nodes):
            return None
        bounds.append(low + int(np.argmin(crossing[low:high])))
    bounds.append(len(nodes))
    return {
        position: stage
        for stage in range(count)
        for position in nodes[bounds[stage] : bounds[stage + 1]]
    }


def _crossing_bytes(
    graph: Graph, nodes: Sequence[int]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Per place in `nodes`, the bytes that those from it on read of those before it."""
    change = np.zeros(len(nodes) + 2, np.int64)
    made: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, position in enumerate(nodes):
        made.update(dict.fromkeys(results_of(graph, position), place))
        last.update(dict.fromkeys(graph.nodes[position].operands, place))
    for value, place in made.items():
        end = last.get(value, place)
        change[place + 1] += graph.types[value].size_bytes
        change[end + 1] -= graph.types[value].size_bytes
    return np.cumsum(change)[: len(nodes) + 1]


def _folded(graph: Graph, forward: Sequence[bool], stages: dict[int, int], count: int) -> list[int]:
    """The part of each node: stages in order, then what is theirs of the derivative in reverse."""
    held = len(graph.inputs) + len(graph.constants)
    there: dict[int, int] = {}  # per value, the latest stage that has it
    for position, stage in stages.items():
        for value in graph.nodes[position].operands:
            there[value] = max(there.get(value, 0), stage)
        there.update({v: max(there.get(v, 0), stage) for v in results_of(graph, position)})
    parts = []
    for position, node in enumerate(graph.nodes):
        if forward[position]:
            parts.append(stages[position])
            continue
        made = [there[i] for i in node.operands if i >= held]
        stage = min(made, default=count - 1)
        there.update(dict.fromkeys(results_of(graph, position), stage))
        parts.append(2 * count - 1 - stage)
    return _with_readers(graph, forward, parts)


def _with_readers(graph: Graph, forward: Sequence[bool], parts: list[int]) -> list[int]:
    """Derivative nodes of job inputs and constants alone go where they are first read."""
    made = {v for p, own in enumerate(forward) if own for v in results_of(graph, p)}
    for position, node in enumerate(graph.nodes):
        if not forward[position] and not made.isdisjoint(node.operands):
            made.update(results_of(graph, position))
    first: dict[int, int] = {}
    for position in range(len(graph.nodes) - 1, -1, -1):
        own = results_of(graph, position)
        if not forward[position] and made.isdisjoint(own):
            parts[position] = min((first[v] for v in own if v in first), default=parts[position])
        for value in graph.nodes[position].operands:
            first[value] = min(first.get(value, parts[position]), parts[position])
    return parts


def _along(graph: Graph, stages: dict[int, int]) -> list[int]:
    """The part of each node where derivatives go to the latest stage they need."""
    there: dict[int, int] = {}
    parts = []
    for position, node in enumerate(graph.nodes):
        needs = max((there.get(i, 0) for i in node.operands), default=0)
        stage = stages.get(position, needs)
        there.update(dict.fromkeys(results_of(graph, position), stage))
        parts.append(stage)
    return parts


def _largest_s(graph: Graph, parts: Sequence[int], homes: Sequence[int]) -> float:
    """The seconds of the stage with the most work."""
    spent = [0.0] * len(homes)
    for part, cost in zip(parts, graph.node_costs, strict=True):
        spent[homes[part]] += COST_TABLE.seconds(cost)
    return max(spent)
