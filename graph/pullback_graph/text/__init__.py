"""The text form of a graph: readable, single assignment, and exact, so that it parses back.

    graph(x: float64[3], w: float64[2,3]) {
      %2 = constant float64[] 2.0
      %3 = multiply(x, %2) : float64[3]
      %4 = sum(%3, axes=(0,), keepdims=false) : float64[]
      return result = %4
    }

Inputs go by their names (quoted where they are no identifiers), everything else by its number.
Subgraphs come first, one after the other: `@0 = graph(...) {...}`; attributes name them: `body=@0`.
"""

from __future__ import annotations

from pullback_graph.text.parser import parse
from pullback_graph.text.printer import excerpt, to_text

__all__ = ["excerpt", "parse", "to_text"]
