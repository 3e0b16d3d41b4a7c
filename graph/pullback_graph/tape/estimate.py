"""How many nodes a graph's tape would have, and what running it would cost: without making it."""

from __future__ import annotations

from math import prod

from pullback_graph.graph import Graph, Node
from pullback_graph.tape.of_graph import ROWS
from pullback_graph.tape.rows import ROW_NUMBERS
from pullback_graph.types import BOOL, FLOAT32, FLOAT64, ArrayType

_NODE_S = 12e-9
_CALL_S = 12e-6
_NUMPY_NODE_S = 0.8e-6
_NUMPY_ELEMENT_S = 1e-9


def tape_nodes(graph: Graph) -> int | None:
    """How many nodes the tape of a graph would have; None where it has none.

    A glance at every node: an upper bound, and a graph it lets pass may still be refused.
    """
    sides = [item.type.dtype for item in graph.inputs]
    sides += [graph.types[item.value].dtype for item in graph.outputs]
    if len(set(sides)) != 1 or sides[0] not in (FLOAT64, FLOAT32):
        return None
    total, types = 0, graph.types
    for node in graph.nodes:
        if node.op.name not in ROWS or node.types[0].dtype not in (sides[0], BOOL):
            return None
        total += _node_count(node, types)
    return total


def suits(graph: Graph) -> bool:
    """Whether the tape is estimated the cheaper executor of a graph, before differentiation."""
    seconds = tape_s(graph, sweeps=2.0)
    return seconds is not None and seconds < numpy_s(graph, sweeps=2.0)


def tape_s(graph: Graph, sweeps: float = 1.0) -> float | None:
    """Estimated seconds of `sweeps` forward (a gradient is about two) of a graph as a tape.

    None where it has no tape.
    """
    nodes = tape_nodes(graph)
    return None if nodes is None else _CALL_S + nodes * _NODE_S * sweeps


def numpy_s(graph: Graph, sweeps: float = 1.0) -> float:
    """Estimated seconds of the same by the NumPy executor, once differentiated and compiled."""
    elements = sum([node.types[0].size for node in graph.nodes])
    return sweeps * (len(graph.nodes) * _NUMPY_NODE_S + elements * _NUMPY_ELEMENT_S)


def _node_count(node: Node, types: tuple[ArrayType, ...]) -> int:
    """Nodes of a tape that one of a graph becomes; at most."""
    name = node.op.name
    if name in ROW_NUMBERS:
        return node.types[0].size
    if name in ("matmul", "einsum"):
        return 2 * _product_count(node, [types[i] for i in node.operands])
    if name in ("sum", "prod", "any", "all", "unslice"):
        return sum([types[i].size for i in node.operands])
    return 0


def _product_count(node: Node, operands: list[ArrayType]) -> int:
    """Products of a contraction."""
    if node.op.name == "matmul":
        return node.types[0].size * operands[0].shape[-1]
    terms = node.attributes["subscripts"].split("->")[0].split(",")
    sizes = {
        index: size
        for term, type in zip(terms, operands, strict=True)
        for index, size in zip(term, type.shape, strict=True)
    }
    return prod(sizes.values()) * (len(terms) - 1 or 1)
