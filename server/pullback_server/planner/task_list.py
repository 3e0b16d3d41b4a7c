"""Tasks under construction: equal graphs are one object, measured once and compiled once."""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.memory import peak_bytes
from pullback_server.planner.plan import Phase, Source, Task, TaskOutput


class TaskList:
    """Tasks in topological order.

    Attributes:
        tasks: those so far.
    """

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self._known: dict[str, tuple[Graph, int]] = {}

    def add(self, graph: Graph, operands: Sequence[Source], phase: Phase, shard: int = -1) -> int:
        """Add a task; its number."""
        if graph.fingerprint not in self._known:
            self._known[graph.fingerprint] = graph, peak_bytes(graph)
        graph, peak = self._known[graph.fingerprint]
        cost = graph.cost
        self.tasks.append(
            Task(graph, tuple(operands), phase, cost.flops, cost.size_bytes, peak, shard=shard)
        )
        return len(self.tasks) - 1

    def constant(self, graph: Graph, value: int) -> TaskOutput:
        """A constant of a graph as a result of its own task."""
        builder = Builder()
        ref = builder.constant(graph.constants[value - len(graph.inputs)])
        return TaskOutput(self.add(builder.build({"v": ref}), (), Phase.FORWARD, 0), 0)
