"""All subgraphs of a graph as one flat table: what the wire and the text write instead of nesting.

An entry holds no entries but earlier ones, so a table that is read in order can hold no cycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pullback_graph.graph import Graph


class Subgraphs(NamedTuple):
    """The subgraphs at every depth, each once however often it is held; what one holds first."""

    graphs: tuple[Graph, ...]
    positions: Mapping[str, int]
    """Fingerprint -> position."""

    def at(self, value: Any) -> int | tuple[int, ...]:
        """Where the graph, or each of the graphs, that an attribute holds stands."""
        if isinstance(value, Graph):
            return self.positions[value.fingerprint]
        return tuple([self.positions[item.fingerprint] for item in value])


def subgraphs(graph: Graph) -> Subgraphs:
    """The table of a graph."""
    if not graph.bodies:
        return _NONE
    found: dict[str, Graph] = {}
    _collect(graph.bodies, found)
    return Subgraphs(tuple(found.values()), {name: i for i, name in enumerate(found)})


_NONE = Subgraphs((), {})


def _collect(bodies: Sequence[Graph], found: dict[str, Graph]) -> None:
    for body in bodies:
        if body.fingerprint not in found:
            _collect(body.bodies, found)
            found[body.fingerprint] = body
