"""Register allocation: which slot holds which value of a graph, and when a slot is free again.

A value gives its register back after its last use; the next result takes the one freed last.
"""

from __future__ import annotations

from typing import NamedTuple

from pullback_graph.graph import Graph
from pullback_graph.memory import last_uses

_DROPPED_BYTES = 1 << 12
"""Size from which a dead value is dropped at once, not when its register is next written."""


class Places(NamedTuple):
    """Registers of one node: its operands, its results, and those to drop after it."""

    operands: tuple[int, ...]
    results: tuple[int, ...]
    dead: tuple[int, ...]


class Registers:
    """The allocation for one graph.

    Attributes:
        of: the register of every value, by number; inputs and constants keep their own numbers.
        places: the registers of every node, in order.
        count: how many there are.
    """

    def __init__(self, graph: Graph) -> None:
        held = len(graph.inputs) + len(graph.constants)
        self.of = [*range(held), *([-1] * (len(graph.types) - held))]
        self.count = held
        self.places: list[Places] = []
        self._free: list[int] = []
        types, last = graph.types, last_uses(graph)
        for position, (first, node) in enumerate(
            zip(graph.first_results, graph.nodes, strict=True)
        ):
            operands = tuple([self.of[i] for i in node.operands])
            dying = [i for i in dict.fromkeys(node.operands) if i >= held and last[i] == position]
            self._free += [self.of[i] for i in dying]
            results = tuple([self._take() for _ in node.types])
            self.of[first : first + len(results)] = results
            unread = [i for i in range(first, first + len(results)) if last[i] < 0]
            self._free += [self.of[i] for i in unread]
            large = [self.of[i] for i in dying if types[i].size_bytes >= _DROPPED_BYTES]
            self.places.append(
                Places(operands, results, tuple([r for r in large if r not in results]))
            )

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        self.count += 1
        return self.count - 1
