"""Runs a graph node by node on any kernels: the plainest executor, for tests of the rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback_graph.graph import Graph
from pullback_graph.kernels import Kernels
from pullback_graph.op import Op
from pullback_worker.numpy_kernels import NUMPY


def evaluate(graph: Graph, arrays: Sequence[Any], kernels: Kernels = NUMPY) -> list[Any]:
    """The outputs of `graph` for its inputs, in order."""
    values = [*arrays, *graph.constants]
    for node in graph.nodes:
        values += run_row(node.op, [values[i] for i in node.operands], node.attributes, kernels)
    return [values[output.value] for output in graph.outputs]


def run_row(op: Op, arrays: Sequence[Any], attributes: Any, kernels: Kernels = NUMPY) -> list[Any]:
    """The results of one row, always as a list."""
    with np.errstate(all="ignore"):
        results = op.run(kernels, **attributes)(*arrays)
    return list(results) if isinstance(results, tuple) else [results]
