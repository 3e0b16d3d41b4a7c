"""Sums of many terms: trees of additions and subtractions, and their terms added anew by lane.

A tree is what one root adds up through nodes that nothing else reads. Regrouped, each lane adds its
own terms in their order, and neighbouring lanes' sums are then added pair by pair: a fixed tree, so
that the result depends on the lanes alone and never on who computes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pullback_graph.builder import Builder, copy_inputs
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref
from pullback_graph.table import OPS
from pullback_server.planner.extract import results_of

TRUNK = -1
"""The lane of what belongs to no lane."""

_SIGNS = {OPS["add"]: (1, 1), OPS["subtract"]: (1, -1)}
"""The rows that sum their operands, with each one's sign."""


class Sum(NamedTuple):
    """A tree of additions.

    Attributes:
        root: position of the node that gives the sum.
        nodes: positions of all its additions.
        terms: values added, in order, each with its sign.
    """

    root: int
    nodes: tuple[int, ...]
    terms: tuple[tuple[int, int], ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The values added."""
        return tuple([value for value, _ in self.terms])


def sums_of(graph: Graph) -> dict[int, Sum]:
    """The maximal sums of more than two terms, by the position of their root."""
    readers = _readers(graph)
    additions = {
        results_of(graph, position)[0]: position
        for position, node in enumerate(graph.nodes)
        if _is_addition(graph, position)
    }
    inner = {
        i
        for position in additions.values()
        for i in graph.nodes[position].operands
        if i in additions and readers[i] == 1
    }
    found = {}
    for value, position in additions.items():
        if value not in inner:
            made = _tree(graph, position, additions, inner)
            if len(made.terms) > 2:
                found[position] = made
    return found


def _is_addition(graph: Graph, position: int) -> bool:
    node = graph.nodes[position]
    return node.op in _SIGNS and all(graph.types[i] == node.types[0] for i in node.operands)


def _readers(graph: Graph) -> list[int]:
    """How often each value is read, by nodes and as an output."""
    readers = [0] * len(graph.types)
    for node in graph.nodes:
        for i in node.operands:
            readers[i] += 1
    for item in graph.outputs:
        readers[item.value] += 1
    return readers


def _tree(graph: Graph, root: int, additions: Mapping[int, int], inner: set[int]) -> Sum:
    nodes, terms, open_terms = [root], [], [*_terms(graph, root, 1)][::-1]
    while open_terms:
        value, sign = open_terms.pop()
        if value in inner:
            nodes.append(additions[value])
            open_terms += [*_terms(graph, additions[value], sign)][::-1]
        else:
            terms.append((value, sign))
    return Sum(root, tuple(nodes), tuple(terms))


def _terms(graph: Graph, position: int, sign: int) -> Iterator[tuple[int, int]]:
    node = graph.nodes[position]
    for value, own in zip(node.operands, _SIGNS[node.op], strict=True):
        yield value, sign * own


# --- regrouping -----------------------------------------------------------------------------------


class Regrouped(NamedTuple):
    """A graph whose sums over several lanes are added by lane.

    Attributes:
        lanes: per node, its lane or TRUNK; a node that joins lanes has a lane of its own above
            them, shared by all that join the same ones.
        homes: per lane, those that join included, the lane whose worker it belongs to.
    """

    graph: Graph
    lanes: list[int]
    homes: list[int]


class _Regrouping:
    def __init__(self, graph: Graph, count: int) -> None:
        self.graph = graph
        self.builder = Builder()
        self.lanes: list[int] = []
        self.homes = list(range(count))
        self._joins: dict[tuple[int, int, int], int] = {}
        refs = copy_inputs(self.builder, graph)
        refs += [self.builder.constant(array) for array in graph.constants]
        self.refs: dict[int, Ref] = dict(enumerate(refs))

    def replay(self, position: int, lane: int) -> None:
        """A node as it was."""
        node = self.graph.nodes[position]
        operands = tuple([self.refs[i].index for i in node.operands])
        results = self.builder.replay(node, operands)
        self.lanes.append(lane)
        for value, index in zip(results_of(self.graph, position), results, strict=True):
            self.refs[value] = Ref(self.builder, index)

    def add(self, own: Sum, lane_of: Mapping[int, int]) -> None:
        """A sum by lanes; terms of no lane come last."""
        by_lane: dict[int, list[tuple[Ref, int]]] = {}
        for value, sign in own.terms:
            by_lane.setdefault(lane_of.get(value, TRUNK), []).append((self.refs[value], sign))
        last = by_lane.pop(TRUNK, [])
        level = [(lane, self._summed(by_lane[lane], lane)) for lane in sorted(by_lane)]
        height = 0
        while len(level) > 1:
            above = []
            for (left, x), (right, y) in zip(level[::2], level[1::2], strict=False):
                above.append((left, self._node("add", x, y, self._join(height, left, right))))
            level, height = above + level[len(level) - len(level) % 2 :], height + 1
        total = self._summed([(level[0][1], 1), *last], TRUNK)
        self.refs[results_of(self.graph, own.root)[0]] = total

    def _join(self, height: int, left: int, right: int) -> int:
        """The lane of what joins two lanes' sums at one height."""
        key = height, left, right
        if key not in self._joins:
            self._joins[key] = len(self.homes)
            self.homes.append(left)
        return self._joins[key]

    def _summed(self, terms: Sequence[tuple[Ref, int]], lane: int) -> Ref:
        """Terms added in their order, in one lane."""
        total, sign = terms[0]
        if sign < 0:
            total = self._node("negative", total, None, lane)
        for ref, sign in terms[1:]:
            total = self._node("add" if sign > 0 else "subtract", total, ref, lane)
        return total

    def _node(self, name: str, x: Ref, y: Ref | None, lane: int) -> Ref:
        self.lanes.append(lane)
        made: Ref = self.builder.add(name, x, *([] if y is None else [y]))
        return made


def regrouped(
    graph: Graph, sums: Mapping[int, Sum], lanes: Sequence[int], lane_of: Mapping[int, int]
) -> Regrouped:
    """The graph with every sum over terms of several lanes added by lane.

    Args:
        lanes: per node, its lane or TRUNK.
        lane_of: the lane of each value that a node in a lane gives.
    """
    made = _Regrouping(graph, max(lanes) + 1)
    wide = {
        root: own
        for root, own in sums.items()
        if len({lane_of.get(value, TRUNK) for value in own.values} - {TRUNK}) > 1
    }
    dropped = {position for own in wide.values() for position in own.nodes}
    for position in range(len(graph.nodes)):
        if position in wide:
            made.add(wide[position], lane_of)
        elif position not in dropped:
            made.replay(position, lanes[position])
    outputs = [(item.name, made.refs[item.value]) for item in graph.outputs]
    built = made.builder.build(outputs, prune=False)
    return Regrouped(built, made.lanes, made.homes)
