"""The derivative's graph with the origin of every node: what a fault in it is traced back with.

It is built without simplification, since a node that several origins share has none of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from pullback_graph.builder import Builder, Check, Origin
from pullback_graph.derivative.lower import differentiated
from pullback_graph.graph import Graph
from pullback_graph.want import Want


class Traced(NamedTuple):
    """A graph that computes what is wanted, and what each of its nodes is there for.

    Attributes:
        origins: per node, phase and position in the graph that was given: `forward` is that very
            node, `tangent` and `adjoint` are part of its derivative; an empty phase is neither.
    """

    graph: Graph
    origins: tuple[Origin, ...]


def traced(graph: Graph, want: Want, check: Check | None = None) -> Traced:
    """Differentiate `graph` for `want`, keeping track.

    Raises:
        NotDifferentiable, InputError, LimitExceeded: as `lower`.
    """
    builders: list[Builder] = []

    def make_builder() -> Builder:
        builders.append(Builder(check=check, track=True))
        return builders[-1]

    made = differentiated(graph, want, make_builder).graph
    origins = builders[0].origins
    for builder in builders[1:]:  # a second derivative: its nodes point into the first
        origins = tuple([_through(origin, origins) for origin in builder.origins])
    return Traced(made, origins if len(origins) == len(made.nodes) else ())


def _through(origin: Origin, first: tuple[Origin, ...]) -> Origin:
    """An origin in the first derivative's graph as one in the graph it was made of."""
    phase, position = origin
    if not phase or position >= len(first):
        return "", 0
    phase_there, position_there = first[position]
    return (phase if phase_there == "forward" else phase_there), position_there
