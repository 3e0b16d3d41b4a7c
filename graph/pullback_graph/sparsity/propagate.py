"""The structure of a Jacobian, carried from the inputs through the nodes to the outputs.

It is a superset of what differs from zero, and a function of the graph and its constants: an index
that is an input leaves an axis dense.

Source: Griewank & Walther 2008, section 7.1 (index domains).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pullback_graph.graph import Graph, Node
from pullback_graph.memory import last_uses
from pullback_graph.op import Axes, Zero
from pullback_graph.pattern import Pattern, pattern_of
from pullback_graph.sparsity.bodies import Given
from pullback_graph.sparsity.products import Pairs
from pullback_graph.sparsity.relation import MOVEMENTS, Evaluate, Known, Relation, Relations, kept
from pullback_graph.sparsity.sets import Dependence, Members, Sets, TooDense, check_size, union
from pullback_graph.types import ArrayType

MAX_ENTRIES = 1 << 25
"""Entries that the sets of one value may come to hold."""

MAX_KNOWN_ELEMENTS = 1 << 24
"""Elements of what is computed ahead to learn where a row moves elements."""
MAX_KNOWN_NODES = 1000
"""Nodes that are run for it."""
MAX_VISITED_NODES = 20_000
"""Nodes of bodies that are followed, counted at every step of a loop."""


def structure(
    graph: Graph,
    inputs: Sequence[int],
    values: Sequence[int],
    evaluate: Evaluate | None = None,
    limit: int = MAX_ENTRIES,
) -> Pattern:
    """Which elements of `values` depend on which of `inputs` (by number): rows and columns in turn.

    Args:
        evaluate: runs rows that move elements; without it, `axes` alone is asked.

    Raises:
        TooDense: some value's sets hold more than `limit` entries, or it has too many elements.
    """
    found = _Propagation(graph, evaluate, limit, [MAX_VISITED_NODES])
    first = 0
    for number in inputs:
        size = graph.types[number].size
        check_size(first + size, limit)
        found.of[number] = Dependence(np.arange(1, size + 1), Sets.singletons(first, size))
        first += size
    found.run(values)
    return _pattern([found.given(value) for value in values], first, limit)


def _pattern(parts: Sequence[Dependence], columns: int, limit: int) -> Pattern:
    """The rows of all parts one below the other."""
    counts, entries, total = [], [], 0
    for part in parts:
        own = part.sets.starts[part.numbers + 1] - part.sets.starts[part.numbers]
        total += int(own.sum())
        if total > limit:
            raise TooDense(f"over {limit} places may differ from zero")
        counts.append(own)
        entries.append(part.sets.entries(part.numbers)[1])
    lengths = np.concatenate(counts) if counts else np.zeros(0, np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    found = np.concatenate(entries) if entries else np.zeros(0, np.int64)
    return pattern_of(rows, found, (len(lengths), columns))


class _Propagation:
    """The dependence of every value so far that depends on an input; those used up are dropped.

    Args:
        visits: how many nodes of bodies may still be followed: one number, shared with them.
    """

    def __init__(
        self, graph: Graph, evaluate: Evaluate | None, limit: int, visits: list[int]
    ) -> None:
        self.graph = graph
        self.of: dict[int, Dependence] = {}
        self._evaluate = evaluate
        self._limit = limit
        self._visits = visits
        self._known: dict[int, Any] = dict(enumerate(graph.constants, len(graph.inputs)))
        self._maker = {
            first + k: position
            for position, (first, node) in enumerate(
                zip(graph.first_results, graph.nodes, strict=True)
            )
            for k in range(len(node.types))
        }

    def given(self, value: int) -> Dependence:
        """The dependence of a value, be it on nothing."""
        found = self.of.get(value)
        size = self.graph.types[value].size
        return found or Dependence(np.zeros(size, np.int64), Sets.singletons(0, 0))

    def run(self, wanted: Sequence[int]) -> None:
        """Every node in turn."""
        graph, last, kept_values = self.graph, last_uses(self.graph), set(wanted)
        for position, (first, node) in enumerate(
            zip(graph.first_results, graph.nodes, strict=True)
        ):
            if type(node.op.derivative) is Zero or not any([i in self.of for i in node.operands]):
                continue
            self._node(first, node)
            for i in {*node.operands, *range(first, first + len(node.types))}:
                if last[i] <= position and i not in kept_values:
                    self.of.pop(i, None)

    def _node(self, first: int, node: Node) -> None:
        for made in node.types:
            check_size(made.size, self._limit)
        types = [self.graph.types[i] for i in node.operands]
        if node.op.follow is not None:
            found = node.op.follow(self._given(node, types), self, **node.attributes)
            if found is not None:
                self.of.update({first + k: x for k, x in enumerate(found) if x is not None})
                return
        active = [i in self.of for i in node.operands]
        moved = self._moved(node, types, active)
        relations: Relations = moved or [None] * len(types)
        axes = node.op.axes(types, node.types, **node.attributes) if None in relations else None
        for place, made in enumerate(node.types):
            if not made.is_floating:
                continue
            parts: list[Members] = []
            for k, number in enumerate(node.operands):
                if active[k]:
                    own = relations[k]
                    if own is None:
                        own = [_by_axes(axes, k, place, types[k], made)]
                    parts += [self._members(self.of[number], one, made.size) for one in own]
            self.of[first + place] = union(parts, made.size, self._limit)

    def _given(self, node: Node, types: Sequence[ArrayType]) -> list[Given]:
        """The operands of a row with bodies."""
        return [
            Given(
                type,
                self.of.get(i) if type.is_floating else None,
                None if i in self.of or self._evaluate is None else self._known_value(i),
            )
            for i, type in zip(node.operands, types, strict=True)
        ]

    # --- what a rule of a row with bodies may ask -------------------------------------------------

    def body(self, graph: Graph, operands: Sequence[Given]) -> list[Dependence | None]:
        """What the outputs of a body depend on."""
        inner = _Propagation(graph, self._evaluate, self._limit, self._visits)
        for number, operand in enumerate(operands):
            if operand.dependence is not None:
                inner.of[number] = operand.dependence
            if operand.array is not None:
                inner._known[number] = operand.array
        wanted = [output.value for output in graph.outputs]
        inner.run(wanted)
        return [inner.of.get(value) for value in wanted]

    def may_visit(self, nodes: int) -> bool:
        """Whether so many nodes of bodies may still be followed; they count from then on."""
        if nodes > self._visits[0]:
            return False
        self._visits[0] -= nodes
        return True

    def joined(self, parts: Sequence[Members], count: int) -> Dependence | None:
        """The union of members; None where it is of nothing."""
        found = union(parts, count, self._limit)
        return found if found.numbers.any() else None

    # --- rows without bodies ----------------------------------------------------------------------

    def _moved(
        self, node: Node, types: Sequence[ArrayType], active: Sequence[bool]
    ) -> Relations | None:
        if node.op.moves is None or self._evaluate is None:
            return None
        known: Known = self._known_value
        return MOVEMENTS[node.op.moves](node, types, active, known, self._evaluate)

    def _members(self, own: Dependence, relation: Relation | Pairs, size: int) -> Members:
        """What an operand brings to each element of a result."""
        if isinstance(relation, Pairs):
            return Members(relation.targets, own.numbers[relation.elements], own.sets)
        of_operand, of_result, count = relation
        if of_result is None:
            targets = np.arange(size) if of_operand is None else of_operand
            return Members(targets, own.numbers, own.sets)
        if of_operand is not None:
            own = union([Members(of_operand, own.numbers, own.sets)], count, self._limit)
        targets = np.flatnonzero(of_result >= 0)
        return Members(targets, own.numbers[of_result[targets]], own.sets)

    def _known_value(self, value: int) -> Any | None:
        """The array of a value that depends on no input, computed once; None where it does."""
        if value not in self._known:
            if self.graph.types[value].size > MAX_KNOWN_ELEMENTS or not self._is_fixed[value]:
                return None
            positions = self._needed(value)
            self._known[value] = None
            for position in positions or ():
                node, first = self.graph.nodes[position], self.graph.first_results[position]
                assert self._evaluate is not None, "rows are followed by running them alone"
                arrays = [self._known[i] for i in node.operands]
                found = self._evaluate(node.op, arrays, node.attributes)
                self._known.update(enumerate(found, first))
        return self._known[value]

    @cached_property
    def _is_fixed(self) -> list[bool]:
        """Per value, whether it follows from constants and known arrays alone."""
        fixed = [number in self._known for number in range(len(self.graph.inputs))]
        fixed += [True] * len(self.graph.constants)
        for node in self.graph.nodes:
            own = all([fixed[i] for i in node.operands]) and not node.op.graphs
            fixed += [own] * len(node.types)
        return fixed

    def _needed(self, value: int) -> list[int] | None:
        """The nodes to run for a value, in order; None where it takes an input, or too much."""
        graph, needed, waiting = self.graph, set[int](), [value]
        while waiting:
            number = waiting.pop()
            if self._known.get(number) is not None:
                continue
            position = self._maker.get(number)
            if position is None or len(needed) > MAX_KNOWN_NODES:
                return None
            node = graph.nodes[position]
            if node.op.graphs or graph.types[number].size > MAX_KNOWN_ELEMENTS:
                return None
            if position not in needed:
                needed.add(position)
                waiting += node.operands
        return sorted(needed)


def _by_axes(
    axes: Axes | None, operand: int, result: int, own: ArrayType, made: ArrayType
) -> Relation:
    assert axes is not None, "a row that does not move is known by its axes"
    return kept(axes, operand, result, (own, made))


__all__ = ["MAX_ENTRIES", "Evaluate", "TooDense", "structure"]
