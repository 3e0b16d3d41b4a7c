"""How many nodes a graph's tape would have, and what running it would cost: without making it."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import NamedTuple

from pullback_graph.graph import Graph, Node
from pullback_graph.tape.flops import ROW_FLOPS
from pullback_graph.tape.of_graph import ROWS
from pullback_graph.tape.points import Pointwise
from pullback_graph.tape.rows import ROW_NUMBERS
from pullback_graph.types import BOOL, FLOAT32, FLOAT64, ArrayType
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Names, Value, Vjp, Want

NODE_S, CALL_S = 12e-9, 5e-6
"""Estimated seconds of a sweep through a node of a tape, and of a run beside its sweeps."""
_GENERAL_CALL_S = 30e-6
"""Of what takes more than a sweep forward and one back."""
_NUMPY_NODE_S = 0.8e-6
_NUMPY_ELEMENT_S = 1e-9
_LEAST_GAIN = 1.5
"""A tape must be estimated to be so many times faster: estimates are rough."""


_ARITHMETIC_FLOPS = 4.0
_LANE_S = {"moves": 0.0, "arithmetic": 0.2e-9, "function": 5e-9}
_VECTOR_S = {"moves": 0.5e-9, "arithmetic": 0.35e-9, "function": 2.5e-9}
"""Of a node and point, on the tape machine's lanes and in NumPy's vectors."""


class Sweeps(NamedTuple):
    """What a want takes, in forward runs of the graph.

    Attributes:
        tape: sweeps of the tape machine.
        calls: NumPy's calls a node, once differentiated.
        lanes: how many elements each of those has for one of the graph's: rows of a matrix.
        call_s: of a run on the tape machine, beside its sweeps.
    """

    tape: float
    calls: float
    lanes: int = 1
    call_s: float = _GENERAL_CALL_S


class Estimate(NamedTuple):
    """Estimated seconds of a run on either, once prepared."""

    tape_s: float
    numpy_s: float

    @property
    def suits(self) -> bool:
        """Whether the tape is the cheaper by enough."""
        return self.tape_s * _LEAST_GAIN < self.numpy_s


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


def estimate(graph: Graph, want: Want) -> Estimate | None:
    """What a want of a graph would cost as a tape and on NumPy; None where it has no tape."""
    nodes = tape_nodes(graph)
    if nodes is None:
        return None
    sweeps = _sweeps(graph, want)
    elements = sum([node.types[0].size for node in graph.nodes])
    calls_s = len(graph.nodes) * _NUMPY_NODE_S + elements * sweeps.lanes * _NUMPY_ELEMENT_S
    return Estimate(sweeps.call_s + nodes * NODE_S * sweeps.tape, sweeps.calls * calls_s)


def estimate_points(graph: Graph, points: Pointwise) -> Estimate:
    """What a pointwise graph's values would cost, one point's tape run at all points, and on NumPy.

    It has a tape: as `estimate` found.
    """
    count, kinds = points.count, Counter([_kind(node) for node in graph.nodes])
    lane_s = sum([_LANE_S[kind] * number for kind, number in kinds.items()])
    element_s = sum([_VECTOR_S[kind] * number for kind, number in kinds.items()])
    nodes = len(graph.nodes)
    tape_s = 2.0 * CALL_S + (nodes * NODE_S if count else 0.0) + count * lane_s
    return Estimate(tape_s, nodes * _NUMPY_NODE_S + count * element_s)


def _kind(node: Node) -> str:
    """Whether a row moves elements, does arithmetic on them, or calls a function for each."""
    row = ROW_NUMBERS.get(node.op.name)
    if row is None:
        return "moves"
    return "arithmetic" if ROW_FLOPS[row] <= _ARITHMETIC_FLOPS else "function"


def suits(graph: Graph, want: Want) -> bool:
    """Whether the tape is estimated the cheaper executor of a job."""
    found = estimate(graph, want)
    return found is not None and found.suits


def _sweeps(graph: Graph, want: Want) -> Sweeps:
    match want:
        case Value():
            return Sweeps(1.0, 1.0, call_s=CALL_S)
        case Gradient():
            return Sweeps(2.0, 2.5, call_s=CALL_S)
        case Vjp(_, seeds) | Jvp(seeds):
            return Sweeps(1.0 + len(seeds), 1.0 + 1.5 * len(seeds))
        case Hvp(_, seeds, _):
            return Sweeps(3.0 + 3.0 * len(seeds), 3.0 + 4.0 * len(seeds))
        case Jacobian(wrt, outputs):
            rows = min(_inputs(graph, wrt), _outputs(graph, outputs))
            return Sweeps(1.0 + rows, 2.5, rows)
        case Hessian(wrt, _):
            rows = _inputs(graph, wrt)
            return Sweeps(3.0 + 3.0 * rows, 8.0, rows)


def _inputs(graph: Graph, names: Names) -> int:
    """Elements of the inputs named."""
    return sum([item.type.size for item in graph.inputs if item.name in names])


def _outputs(graph: Graph, names: Names) -> int:
    """Elements of the outputs named; of all, where none is."""
    wanted = names or graph.output_names
    return sum([graph.types[item.value].size for item in graph.outputs if item.name in wanted])


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
