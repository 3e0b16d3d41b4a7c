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
from pullback_graph.graph import Graph
from pullback_graph.memory import last_uses
from pullback_graph.want import Want
from pullback_worker.executor import NDArray
from pullback_worker.numpy_executor import fold


def first_bad_node(
    graph: Graph,
    want: Want,
    arrays: Sequence[NDArray],
    check: Callable[[], None] | None = None,
) -> BadNode | None:
    """The first node whose result is not finite although its operands are; None where all are.

    Args:
        graph: as it was before it was differentiated.
        arrays: the job's inputs, then its seeds.
        check: called before each node; what it raises ends the search.
    """
    whole, origins = traced(graph, want, check)
    values: list[Any] = [*arrays, *whole.constants] + [None] * sum(
        len(node.types) for node in whole.nodes
    )
    names = [*whole.input_names, *("constant" for _ in whole.constants)]
    for name, array in zip(names, values, strict=False):
        if not _is_finite(array):
            return BadNode("input", 0, name, "", ())
    last = last_uses(whole)
    for position, (first, node) in enumerate(zip(whole.first_results, whole.nodes, strict=True)):
        if check is not None:
            check()
        operands = [values[i] for i in node.operands]
        results = fold(node.op, operands, node.attributes)
        if not all([_is_finite(result) for result in results]):
            phase, at = origins[position] if origins else ("", 0)
            op = graph.nodes[at].op.name if phase else ""
            return BadNode(phase, at, op, node.op.name, tuple([_range(x) for x in operands]))
        values[first : first + len(results)] = results
        for index in node.operands:
            if last[index] == position:
                values[index] = None
    return None


def _is_finite(array: NDArray) -> bool:
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def _range(array: NDArray) -> ValueRange:
    """The least and the greatest element of an operand, as floats; of no element, NaN."""
    known = np.abs(array) if array.dtype.kind == "c" else array
    low, high = (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
    return ValueRange(f"{array.dtype.name}{list(array.shape)}", low, high)
