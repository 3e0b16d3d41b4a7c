"""Where NaN or infinity came from: the first node, forward or backward, that made one.

Runs after a result turned out not to be finite, never before: the graph is walked again, node by
node on NumPy, which takes about as long as its numpy program and a little more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback_graph.bad_node import BadNode, ValueRange
from pullback_graph.derivative import traced
from pullback_graph.graph import Graph, Node
from pullback_graph.memory import last_uses
from pullback_graph.want import Value, Want
from pullback_worker.executor import NDArray
from pullback_worker.numpy_executor import fold
from pullback_worker.watched_bodies import bad_inside, is_finite, makes_bad


def first_bad_node(
    graph: Graph,
    want: Want,
    arrays: Sequence[NDArray],
    check: Callable[[], None] | None = None,
) -> BadNode | None:
    """The first node whose result is not finite although its operands are; None where all are.

    Where a job's own nodes are all right its derivative's are looked at; a loop is looked into.

    Args:
        graph: as it was before it was differentiated.
        arrays: the job's inputs, then its seeds.
        check: called before each node; what it raises ends the search.
    """
    if graph.depth and not isinstance(want, Value):
        # what keeps residuals for a derivative supersedes the loop that the job names
        found = _first(graph, Value(), arrays[: len(graph.inputs)], check)
        if found is not None:
            return found
    return _first(graph, want, arrays, check)


def _first(
    graph: Graph, want: Want, arrays: Sequence[NDArray], check: Callable[[], None] | None
) -> BadNode | None:
    """The first node of what computes a want."""
    whole, origins = traced(graph, want, check)
    for name, array in zip(whole.input_names, arrays, strict=True):
        if not is_finite(array):
            return BadNode("input", 0, name, "", ())
    values: list[Any] = [*arrays, *whole.constants] + [None] * sum(
        len(node.types) for node in whole.nodes
    )
    last, needed = last_uses(whole), _needed(whole)
    for position, (first, node) in enumerate(zip(whole.first_results, whole.nodes, strict=True)):
        if check is not None:
            check()
        if not needed[position]:
            continue
        operands = [values[i] for i in node.operands]
        results = fold(node.op, operands, node.attributes)
        if makes_bad(operands, results):
            phase, at = origins[position] if origins else ("", 0)
            return _bad_node(graph, phase, at, node, operands, check)
        values[first : first + len(results)] = results
        for index in node.operands:
            if last[index] == position:
                values[index] = None
    return None


def _needed(graph: Graph) -> list[bool]:
    """Per node, whether an output depends on it: a graph that keeps track keeps the others too."""
    wanted = {output.value for output in graph.outputs}
    needed = [False] * len(graph.nodes)
    for position in range(len(graph.nodes) - 1, -1, -1):
        node, first = graph.nodes[position], graph.first_results[position]
        if not wanted.isdisjoint(range(first, first + len(node.types))):
            needed[position] = True
            wanted.update(node.operands)
    return needed


def _bad_node(
    graph: Graph,
    phase: str,
    at: int,
    node: Node,
    operands: Sequence[NDArray],
    check: Callable[[], None] | None,
) -> BadNode:
    op = graph.nodes[at].op.name if phase else ""
    inside = bad_inside(node, operands, check)
    if inside is None:
        return BadNode(phase, at, op, node.op.name, tuple([_range(x) for x in operands]))
    ranges = tuple([_range(x) for x in inside.operands])
    return BadNode(phase, at, op, inside.ran, ranges, inside.text(numbered=phase == "forward"))


def _range(array: NDArray) -> ValueRange:
    """The least and the greatest element of an operand, as floats; of no element, NaN."""
    known = np.abs(array) if array.dtype.kind == "c" else array
    low, high = (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
    return ValueRange(f"{array.dtype.name}{list(array.shape)}", low, high)
