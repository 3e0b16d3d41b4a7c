"""Recomputation of single values, the cheapest for their bytes first, on a graph of any form.

A value that is alive where most is alive, although nothing near reads it, need not be: its node
runs again before its next use, provided that what it reads is still there then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from pullback_graph.builder import Builder, copy_inputs
from pullback_graph.graph import Graph
from pullback_graph.memory import last_uses, profile
from pullback_graph.ref import Ref

ROUNDS = 24
_MOST_NODES = 6
"""Nodes that run again for the sake of one value, itself included."""
_BATCH = 8
"""A round takes candidates for what is missing, and at least one in so many of those there are."""


class Candidate(NamedTuple):
    """A node that could run again.

    Attributes:
        effort: work of its second run, and of those it needs, per byte it frees.
        nodes: it and what it reads that is gone by then, which would run again as well.
        next_use: the position before which they would run.
    """

    effort: float
    nodes: tuple[int, ...]
    next_use: int
    size_bytes: int


def drop_cheapest(graph: Graph, cap_bytes: int) -> Iterator[Graph]:
    """Graphs of the same outputs, each with more values computed again, until one fits the cap."""
    again: dict[int, int] = {}
    whole = _Graph(graph)
    for _ in range(ROUNDS):
        made, origins = whole.write(again)
        alive = profile(made)
        if not alive:
            return
        peak = max(range(len(alive)), key=alive.__getitem__)
        if again:
            yield made
        if alive[peak] <= cap_bytes:
            return
        candidates = sorted(whole.candidates(origins[peak], again))
        missing = alive[peak] - cap_bytes
        if not candidates:
            return
        for number, candidate in enumerate(candidates):
            if missing <= 0 and number * _BATCH > len(candidates):
                break
            for node in candidate.nodes:
                again.setdefault(node, candidate.next_use)
            missing -= candidate.size_bytes


class _Graph:
    """A graph with what the choice asks of it again and again."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.last = last_uses(graph)
        self.held = len(graph.inputs) + len(graph.constants)
        self.uses: list[list[int]] = [[] for _ in graph.types]
        self.made_by: dict[int, int] = {}
        for position, (first, node) in enumerate(
            zip(graph.first_results, graph.nodes, strict=True)
        ):
            for index in node.operands:
                self.uses[index].append(position)
            self.made_by.update(dict.fromkeys(range(first, first + len(node.types)), position))
        self.outputs = {output.value for output in graph.outputs}

    def results(self, position: int) -> range:
        """The numbers of a node's results."""
        first = self.graph.first_results[position]
        return range(first, first + len(self.graph.nodes[position].types))

    def candidates(self, peak: int, again: dict[int, int]) -> Iterator[Candidate]:
        """The nodes before `peak` whose results nothing reads near it, and that could run again."""
        graph, costs = self.graph, self.graph.node_costs
        near = max(1, len(graph.nodes) // 64)
        for position in range(peak):
            results = self.results(position)
            if position in again or any([i in self.outputs for i in results]):
                continue
            later = [self._next_use(i, peak) for i in results]
            next_use = min(later)
            if not peak < next_use < len(graph.nodes) or next_use - peak < min(near, 2):
                continue
            nodes = self._gone(position, next_use, again)
            if nodes is None:
                continue
            size_bytes = sum([graph.types[i].size_bytes for i in results])
            effort = sum([costs[i].work for i in nodes])
            yield Candidate(effort / max(size_bytes, 1), nodes, next_use, size_bytes)

    def _gone(self, node: int, at: int, again: dict[int, int]) -> tuple[int, ...] | None:
        """The node and those before it that must run again too; None where they are too many."""
        found, waiting = [node], [node]
        while waiting:
            for index in self.graph.nodes[waiting.pop()].operands:
                if self._is_there(index, at, again) or self.made_by[index] in found:
                    continue
                if len(found) == _MOST_NODES:
                    return None
                found.append(self.made_by[index])
                waiting.append(self.made_by[index])
        return tuple(found)

    def _next_use(self, index: int, after: int) -> int:
        uses = self.uses[index]
        found = bisect_left(uses, after)
        return uses[found] if found < len(uses) else len(self.graph.nodes)

    def _is_there(self, index: int, position: int, again: dict[int, int]) -> bool:
        """Whether a value is alive at a position, or made again by then."""
        if index < self.held or index in self.outputs:
            return True
        node = self.made_by[index]
        return again[node] <= position if node in again else self.last[index] >= position

    def write(self, again: dict[int, int]) -> tuple[Graph, list[int]]:
        """The graph in which the nodes of `again` run a second time, before those positions.

        Also the position in the given graph that each node of the new one stands at.
        """
        graph, builder = self.graph, Builder()
        inputs = copy_inputs(builder, graph)
        values: list[Ref | None] = [*inputs, *map(builder.constant, graph.constants)]
        values += [None] * (len(graph.types) - len(values))
        second: dict[int, Ref] = {}
        at: list[int] = []

        def operand(index: int, position: int) -> int:
            node = self.made_by.get(index, -1)
            if again.get(node, position + 1) > position:
                ref = values[index]
                assert ref is not None, "an operand comes before its node"
                return ref.index
            if index not in second:
                run(node, position, second)
            return second[index].index

        def run(node: int, position: int, into: dict[int, Ref]) -> None:
            row = graph.nodes[node]
            operands = tuple([operand(i, position) for i in row.operands])
            numbers = builder.replay(row, operands)
            at.append(position)
            for index, number in zip(self.results(node), numbers, strict=True):
                into[index] = Ref(builder, number)

        for position in range(len(graph.nodes)):
            own: dict[int, Ref] = {}
            run(position, position, own)
            for index, ref in own.items():
                values[index] = ref
        outputs = [(item.name, values[item.value]) for item in graph.outputs]
        pairs = [(name, ref) for name, ref in outputs if ref is not None]
        return builder.build(pairs, prune=False), at
