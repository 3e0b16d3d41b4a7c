"""One LU for several solutions with a matrix: a gradient's adjoint solve, its transpose and so on.

The last step of lowering, since a solution is cheaper to differentiate than its factors. Small
matrices are left alone: for them a call costs more than a factorisation.
"""

from __future__ import annotations

from collections import Counter

from pullback_graph.builder import Builder, copy_inputs
from pullback_graph.graph import Graph, Node
from pullback_graph.ops.factorization import rows_of, triangular_solve
from pullback_graph.ref import Ref, do

LEAST_SIZE = 48
"""Rows of a matrix whose factorisation is worth sharing."""


def with_shared_factors(graph: Graph) -> Graph:
    """The same graph, where matrices that several nodes solve with are factored once."""
    uses = Counter([node.operands[0] for node in graph.nodes if node.op.name == "solve"])
    if not uses:
        return graph
    types = graph.types
    shared = {a for a, count in uses.items() if count > 1 and types[a].shape[-1] >= LEAST_SIZE}
    return _rebuilt(graph, shared) if shared else graph


def _rebuilt(graph: Graph, shared: set[int]) -> Graph:
    builder = Builder()
    values = copy_inputs(builder, graph) + [builder.constant(array) for array in graph.constants]
    factors: dict[int, tuple[Ref, Ref]] = {}
    for node in graph.nodes:
        operands = [values[i] for i in node.operands]
        if node.op.name == "solve" and node.operands[0] in shared:
            a = node.operands[0]
            if a not in factors:
                factors[a] = builder.add("lu", operands[0])
            values.append(_solved(factors[a], operands[1], node))
        else:
            replayed = builder.replay(node, tuple([operand.index for operand in operands]))
            values += [Ref(builder, index) for index in replayed]
    return builder.build([(item.name, values[item.value]) for item in graph.outputs], prune=False)


def _solved(factors: tuple[Ref, Ref], b: Ref, node: Node) -> Ref:
    """What a `solve` node gives, from the factors of its matrix."""
    lu, order = factors
    shape = node.types[0].shape
    if b.shape != shape:
        b = do.broadcast_to(b, shape=shape)
    if node.attributes["transpose"]:
        half_way = triangular_solve(lu, b, lower=False, transpose=True)
        z = triangular_solve(lu, half_way, lower=True, transpose=True, unit_diagonal=True)
        return rows_of(do.argsort(order, axis=len(order.shape) - 1), z)
    half_way = triangular_solve(lu, rows_of(order, b), lower=True, unit_diagonal=True)
    return triangular_solve(lu, half_way, lower=False)
