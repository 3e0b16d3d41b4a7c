"""Jacobians, by the mode that is estimated to be the cheapest: forward, reverse, or sparse."""

from __future__ import annotations

from pullback_graph.builder import Builder
from pullback_graph.derivative import dense
from pullback_graph.derivative.blocks import Blocks, Problem
from pullback_graph.derivative.draft import (
    Derivative,
    Differentiated,
    Draft,
    MakeBuilder,
    Mode,
    wrt_indices,
)
from pullback_graph.derivative.located import not_scalar
from pullback_graph.errors import LimitExceeded
from pullback_graph.graph import Graph
from pullback_graph.want import DerivativeKey, Names

MAX_JACOBIAN_ELEMENTS = 1 << 28
"""Elements of all blocks of a dense Jacobian together."""

CLEAR = 8
"""How many times as many seeds make a mode the dearer one without a look at the passes."""


def jacobian(
    graph: Graph, wrt: Names, outputs: Names = (), make_builder: MakeBuilder = Builder
) -> Differentiated:
    """Jacobians of outputs by inputs, each of shape output.shape + input.shape.

    The dtype is the output's, in any mode.

    Raises:
        NotDifferentiable: an output or an input is not floating, or a row has no derivative.
        LimitExceeded: the blocks have more than MAX_JACOBIAN_ELEMENTS elements, or the graph takes
            too many passes for its size.
    """
    names = outputs or tuple(o.name for o in graph.outputs if graph.types[o.value].is_floating)
    values = []
    for name in names:
        value = graph.outputs[graph.output_index(name)].value
        if not graph.types[value].is_floating:
            raise not_scalar(name, graph.types[value])
        values.append(value)
    indices = wrt_indices(graph, wrt)
    problem = Problem(graph, tuple(dict.fromkeys(values)), tuple(indices))
    _check_size(problem)
    draft = Draft.of(graph, make_builder)
    blocks, mode = _blocks(draft, problem)
    derivatives = [
        Derivative(
            DerivativeKey(out, name), blocks.get((value, index)), problem.block_type(value, index)
        )
        for out, value in zip(names, values, strict=True)
        for name, index in zip(wrt, indices, strict=True)
    ]
    return draft.finish(derivatives, mode)


def _check_size(problem: Problem) -> None:
    """Refuse a Jacobian that no reply could carry."""
    if problem.rows * problem.columns > MAX_JACOBIAN_ELEMENTS:
        raise LimitExceeded(
            f"the Jacobian has {problem.rows} rows and {problem.columns} columns, over "
            f"{MAX_JACOBIAN_ELEMENTS} elements; ask for a vjp or jvp with the seeds you need"
        )


def _blocks(draft: Draft, problem: Problem) -> tuple[Blocks, Mode]:
    """The blocks, by the mode that is estimated to be the cheapest."""
    rows, columns = problem.rows, problem.columns
    counted = f"{columns} columns, {rows} rows"
    if columns * CLEAR <= rows:
        return dense.forward(draft, problem, problem.ahead()), Mode("forward", counted)
    if rows * CLEAR <= columns:
        return dense.reverse(draft, problem, problem.back()), Mode("reverse", counted)
    ahead, back = problem.ahead(), problem.back()
    costs = [
        sum([part.work(dense.seed_count(part, problem)) for part in parts])
        for parts in (ahead, back)
    ]
    reason = f"{counted}: forward is estimated at {costs[0]:.2g}, reverse at {costs[1]:.2g}"
    if costs[0] <= costs[1]:
        return dense.forward(draft, problem, ahead), Mode("forward", reason)
    return dense.reverse(draft, problem, back), Mode("reverse", reason)
