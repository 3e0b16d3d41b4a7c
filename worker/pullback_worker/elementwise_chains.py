"""Which elementwise nodes run together, a block of their arrays at a time: the chains of a graph.

A chain's nodes have results of one shape, and stand one after the other in an order of the graph
that is found here. What passes between them then stays in the cache. A chain holds its operands
until it ends; chains that would take more memory than the graph's own order are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pullback_graph import memory
from pullback_graph.graph import Graph, Node
from pullback_graph.types import ArrayType, Shape

ROW_BYTES = 1 << 17
"""Rows of the leading axis up to this size are taken several at a time; longer ones make none."""

Functions = Sequence[Callable[..., Any]]


class Span(NamedTuple):
    """The nodes start:stop of a graph, which run together.

    Attributes:
        shape: of their results.
        flat: whether each operand has that shape or one element, so that axes do not matter.
    """

    start: int
    stop: int
    shape: Shape
    flat: bool


class Chained(NamedTuple):
    """A graph with its nodes in an order of chains.

    Attributes:
        positions: per node, where it stood.
        spans: the chains, in order.
    """

    graph: Graph
    positions: list[int]
    spans: list[Span]


@dataclass(slots=True)
class _Open:
    """A chain that is being gathered."""

    shape: Shape
    flat: bool
    rows: bool
    members: list[int] = field(default_factory=list)
    values: set[int] = field(default_factory=set)


def chained(graph: Graph, functions: Functions, least_bytes: int) -> Chained | None:
    """The graph in an order of chains; None where there are none worth it.

    Args:
        functions: what each node runs.
        least_bytes: size of results from which they are.
    """
    if max([type.size_bytes for type in graph.types], default=0) < least_bytes:
        return None
    order, groups = _gathered(graph, functions, least_bytes)
    spans, place = [], {position: i for i, position in enumerate(order)}
    for group in groups:
        if len(group.members) > 1:
            start = place[group.members[0]]
            spans.append(Span(start, start + len(group.members), group.shape, group.flat))
    if not spans:
        return None
    return Chained(_reordered(graph, order), order, spans)


def is_elementwise(function: Callable[..., Any]) -> bool:
    """Whether a function gives each element of its one, new result from those at its place."""
    if isinstance(function, np.ufunc):
        return function.signature is None and function.nout == 1
    return getattr(function, "is_elementwise", False)


def live_in(graph: Graph, span: Span) -> list[int]:
    """The values that a span reads and does not make, in the order of their first reads."""
    nodes = graph.nodes[span.start : span.stop]
    first, count = graph.first_results[span.start], len(nodes)
    read = dict.fromkeys([value for node in nodes for value in node.operands])
    return [value for value in read if not first <= value < first + count]


def live_out(graph: Graph, last: Sequence[int], span: Span) -> list[int]:
    """The values of a span that are read after it."""
    firsts = graph.first_results
    return [firsts[i] for i in range(span.start, span.stop) if last[firsts[i]] >= span.stop]


def written_over(
    graph: Graph, last: Sequence[int], span: Span, targets: Sequence[int]
) -> list[int]:
    """Per value read after a span, the value from before it whose array it may take, or -1.

    Args:
        targets: per node, the value that its result may be written over, or -1.
    """
    first, taken = graph.first_results[span.start], set[int]()
    found = []
    for value in live_out(graph, last, span):
        target = targets[span.start + value - first]
        found.append(target if 0 <= target < first and target not in taken else -1)
        taken.add(target)
    return found


def within(made: Chained, targets: Sequence[int], limit_bytes: int) -> list[Span]:
    """The chains that take no more than so many bytes with all that is alive meanwhile.

    Args:
        targets: as `written_over` takes them.
    """
    graph = made.graph
    sizes, last = [type.size_bytes for type in graph.types], memory.last_uses(graph)
    held = len(graph.inputs) + len(graph.constants)
    kept = []
    for span in made.spans:
        before = range(graph.first_results[span.start])
        alive = sum([sizes[v] for v in before if v < held or last[v] >= span.start])
        over = written_over(graph, last, span, targets)
        new = zip(live_out(graph, last, span), over, strict=True)
        if alive + sum([sizes[v] for v, taken in new if taken < 0]) <= limit_bytes:
            kept.append(span)
    return kept


# --- gathering ------------------------------------------------------------------------------------


def _gathered(
    graph: Graph, functions: Functions, least_bytes: int
) -> tuple[list[int], list[_Open]]:
    """An order of the nodes, and the chains in it: what a chain does not need waits for no part."""
    order: list[int] = []
    groups: list[_Open] = []
    current: _Open | None = None
    for position, node in enumerate(graph.nodes):
        mine = None
        if is_elementwise(functions[position]) and node.types[0].size_bytes >= least_bytes:
            mine = _modes(graph.types, node)
        if current is not None and not _joins(current, mine):
            if mine is None and current.values.isdisjoint(node.operands):
                order.append(position)
                continue
            order += current.members
            current = None
        if mine is None:
            order.append(position)
            continue
        if current is None:
            current = mine
            groups.append(current)
        current.flat &= mine.flat
        current.rows &= mine.rows
        current.members.append(position)
        current.values.add(graph.first_results[position])
    return order + (current.members if current is not None else []), groups


def _modes(types: Sequence[ArrayType], node: Node) -> _Open | None:
    """How a node alone could be run in blocks; None where not at all."""
    shape = node.types[0].shape
    if not node.types[0].size or not shape:
        return None
    operands = [types[i] for i in node.operands]
    if any([type.dtype.kind == "c" for type in (*operands, *node.types)]):
        return None  # NumPy rounds the last elements of a complex array in another way
    flat = all([type.shape == shape or type.size == 1 for type in operands])
    row_bytes = node.types[0].size_bytes // shape[0]
    rows = len(shape) > 1 and shape[0] > 1 and row_bytes <= ROW_BYTES
    return _Open(shape, flat, rows) if flat or rows else None


def _joins(current: _Open, mine: _Open | None) -> bool:
    return (
        mine is not None
        and mine.shape == current.shape
        and ((mine.flat and current.flat) or (mine.rows and current.rows))
    )


def _reordered(graph: Graph, order: Sequence[int]) -> Graph:
    """The same graph, its nodes in another order."""
    number = len(graph.inputs) + len(graph.constants)
    numbers = list(range(number))
    numbers += [-1] * (len(graph.types) - number)
    nodes = []
    for position in order:
        node = graph.nodes[position]
        for offset in range(len(node.types)):
            numbers[graph.first_results[position] + offset] = number
            number += 1
        nodes.append(node._replace(operands=tuple([numbers[i] for i in node.operands])))
    outputs = tuple([item._replace(value=numbers[item.value]) for item in graph.outputs])
    return Graph(graph.inputs, graph.constants, tuple(nodes), outputs)
