"""Hessians: the Jacobian of a gradient."""

from __future__ import annotations

from pullback_graph.builder import Builder
from pullback_graph.derivative.draft import Differentiated, MakeBuilder, Mode, without_first
from pullback_graph.derivative.jacobian import jacobian
from pullback_graph.derivative.transforms import gradient
from pullback_graph.graph import Graph
from pullback_graph.want import DerivativeKey, Names


def hessian(
    graph: Graph, wrt: Names, output: str = "", make_builder: MakeBuilder = Builder
) -> Differentiated:
    """The Hessian of one scalar output: the Jacobian of its gradient, a block per pair of `wrt`.

    Raises:
        NotDifferentiable: the output is no floating scalar, or a `wrt` is not floating.
        LimitExceeded: as in `jacobian`.
    """
    first = gradient(graph, wrt, output, make_builder)
    titles = first.graph.output_names[first.value_count :]
    second = jacobian(first.graph, wrt, titles, make_builder)
    keys = tuple(
        DerivativeKey(key.output, key.input, second_input)
        for key in first.keys
        for second_input in wrt
    )
    mode = Mode(f"{second.mode.name} over reverse", second.mode.reason)
    return without_first(second, first, keys, mode)
