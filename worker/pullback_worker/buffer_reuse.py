"""Which nodes may write their result over an operand: those whose operand nobody else can see.

A NumPy ufunc returns a new array and keeps no view of its operands, and so do kernels marked
`fresh`. An array that one of these made, and that these alone have read, is visible through its own
value only; when an elementwise ufunc reads that value for the last time, its result can take the
array's place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import numpy as np

from pullback_graph.graph import Graph
from pullback_worker.registers import Registers

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def fresh(kernel: Kernel) -> Kernel:
    """The kernel, marked: it returns a new array, and keeps no view of its operands."""
    kernel.is_fresh = True  # type: ignore[attr-defined]  # functions take attributes
    return kernel


def elementwise(kernel: Kernel) -> Kernel:
    """The kernel, marked `fresh`, and as giving each element from those at its place alone."""
    kernel.is_elementwise = True  # type: ignore[attr-defined]  # functions take attributes
    return fresh(kernel)


def overwritten(
    graph: Graph,
    functions: Sequence[Callable[..., Any]],
    registers: Registers,
    least_bytes: int,
    spare: Collection[int] = (),
) -> list[int]:
    """Per node, the number of the value its result is written over, or -1.

    Args:
        functions: what each node runs.
        least_bytes: size from which an array is worth it.
        spare: inputs that nobody wants any more either.
    """
    last, sizes, types = registers.last, registers.size_bytes, graph.types
    visible = _seen_by_others(graph, functions, spare)
    chosen = []
    for position, (first, node) in enumerate(zip(graph.first_results, graph.nodes, strict=True)):
        choice = -1
        result = types[first]
        if sizes[first] >= least_bytes and result.shape and _is_elementwise(functions[position]):
            for i in node.operands:
                if last[i] == position and not visible[i] and types[i] == result:
                    choice = i
                    break
        chosen.append(choice)
    return chosen


def _seen_by_others(
    graph: Graph, functions: Sequence[Callable[..., Any]], spare: Collection[int]
) -> list[bool]:
    """Per value, whether something else than the value itself may share its memory."""
    visible = [value not in spare for value in range(len(graph.types))]
    for first, node, function in zip(graph.first_results, graph.nodes, functions, strict=True):
        if isinstance(function, np.ufunc) or getattr(function, "is_fresh", False):
            for offset in range(len(node.types)):
                visible[first + offset] = False
        else:
            for i in node.operands:
                visible[i] = True
    return visible


def _is_elementwise(function: Callable[..., Any]) -> bool:
    return isinstance(function, np.ufunc) and function.signature is None and function.nout == 1
