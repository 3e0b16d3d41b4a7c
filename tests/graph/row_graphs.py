"""A graph per row of the operator table and example: what must survive every encoding."""

from __future__ import annotations

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.table import OPS
from tests.graph.drawing import Case, cases, operand_types

ROW_CASES: tuple[Case, ...] = tuple(case for op in OPS.values() for case in cases(op))


def graph_of(case: Case) -> Graph:
    """One node of the case's row on inputs of its own."""
    builder = Builder()
    types = operand_types(case)
    refs = [builder.input(f"x{i}", type) for i, type in enumerate(types)]
    made = builder.add(case.op.name, *refs, **case.attributes)
    results = made if isinstance(made, tuple) else (made,)
    return builder.build([(f"z{i}", ref) for i, ref in enumerate(results)], prune=False)
