"""Hessians: the Jacobian of a gradient."""

from __future__ import annotations

from dataclasses import replace

from pullback_graph.builder import Builder
from pullback_graph.derivative.draft import Differentiated, MakeBuilder, Mode, without_first
from pullback_graph.derivative.jacobian import Search, jacobian
from pullback_graph.derivative.transforms import gradient
from pullback_graph.graph import Graph
from pullback_graph.op import Both
from pullback_graph.want import DerivativeKey, Names


def hessian(
    graph: Graph,
    wrt: Names,
    output: str = "",
    make_builder: MakeBuilder = Builder,
    *,
    sparse: bool = False,
    search: Search | None = None,
) -> Differentiated:
    """The Hessian of one scalar output: the Jacobian of its gradient, a block per pair of `wrt`.

    It is taken to be symmetric, but where the graph brings derivatives of its own.

    Raises:
        NotDifferentiable: the output is no floating scalar, or a `wrt` is not floating.
        LimitExceeded: as in `jacobian`.
    """
    first = gradient(graph, wrt, output, make_builder)
    titles = first.graph.output_names[first.value_count :]
    search = replace(search or Search(), symmetric=not _has_given(graph))
    second = jacobian(first.graph, wrt, titles, make_builder, sparse=sparse, search=search)
    keys = tuple(
        DerivativeKey(key.output, key.input, second_input)
        for key in first.keys
        for second_input in wrt
    )
    mode = Mode(f"{second.mode.name} over reverse", second.mode.reason)
    return without_first(second, first, keys, mode)


def _has_given(graph: Graph) -> bool:
    """Whether a row of the graph, or of a body in it, has a derivative that the graph brings."""
    rules = [node.op.derivative for node in graph.nodes]
    own = any([isinstance(rule, Both) and rule.given for rule in rules])
    return own or any([_has_given(body) for body in graph.bodies])
