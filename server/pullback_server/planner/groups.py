"""Tasks from groups of nodes: each group reads only those before it, and repeats what is cheap.

Every node has one group that owns it and gives its values to others; a group may run nodes it does
not own for itself, which then cross to it from nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback_graph.graph import Graph
from pullback_server.planner.extract import Piece, needed, piece, results_of, whole
from pullback_server.planner.plan import JobInput, Phase, Source, TaskOutput
from pullback_server.planner.task_list import TaskList


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes of one task.

    Attributes:
        owned: positions whose values the group gives to others, ascending.
        repeated: positions it runs for itself where it needs them, ascending.
        shard: the group's home: neighbours share a worker.
    """

    owned: Sequence[int]
    phase: Phase
    shard: int
    repeated: Sequence[int] = ()


def tasks_of(graph: Graph, groups: Sequence[Group], made: TaskList) -> tuple[Source, ...]:
    """Add a task per group that gives anything; a source per output of the graph."""
    sources: dict[int, Source] = {value: JobInput(value) for value in range(len(graph.inputs))}
    for group, part in zip(groups, _pieces(graph, groups), strict=True):
        if not part.exports:
            continue
        operands = [sources[value] for value in part.boundary]
        task = made.add(whole(graph, part), operands, group.phase, group.shard)
        sources.update({value: TaskOutput(task, k) for k, value in enumerate(part.exports)})
    constants = range(len(graph.inputs), len(graph.inputs) + len(graph.constants))
    return tuple(
        made.constant(graph, item.value) if item.value in constants else sources[item.value]
        for item in graph.outputs
    )


def _pieces(graph: Graph, groups: Sequence[Group]) -> list[Piece]:
    """What each group runs, reads and gives: found from the last one, which only outputs read."""
    read = {item.value for item in graph.outputs}
    pieces = []
    for group in reversed(groups):
        exports = [v for p in group.owned for v in results_of(graph, p) if v in read]
        nodes = needed(graph, sorted([*group.owned, *group.repeated]), exports)
        pieces.append(piece(graph, nodes, exports))
        read.update(pieces[-1].boundary)
    return pieces[::-1]
