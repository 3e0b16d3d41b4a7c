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
        last: per value, the position of the last node that reads it (see `memory.last_uses`).
        size_bytes: per value, its size.
        of: the register of every value, by number; inputs and constants keep their own numbers.
        places: the registers of every node, in order.
        count: how many there are.
    """

    def __init__(self, graph: Graph) -> None:
        held = len(graph.inputs) + len(graph.constants)
        self.last = last_uses(graph)
        self.size_bytes = [type.size_bytes for type in graph.types]
        self.of = [*range(held), *([-1] * (len(graph.types) - held))]
        self.count = held
        self.places: list[Places] = []
        self._free: list[int] = []
        of, last, places = self.of, self.last, self.places
        for position, (first, node) in enumerate(
            zip(graph.first_results, graph.nodes, strict=True)
        ):
            operands = tuple([of[i] for i in node.operands])
            dying = [i for i in node.operands if last[i] == position and i >= held]
            large: list[int] = self._release(dying) if dying else []
            results = tuple([self._take() for _ in node.types])
            of[first : first + len(results)] = results
            dead = tuple([r for r in large if r not in results]) if large else ()
            places.append(Places(operands, results, dead))
            for i in range(first, first + len(results)):
                if last[i] < 0:  # nobody reads it
                    self._free.append(of[i])

    def _release(self, dying: list[int]) -> list[int]:
        """Free the registers of dying values; those to drop at once."""
        distinct = dict.fromkeys(dying) if len(dying) > 1 else dying
        self._free += [self.of[i] for i in distinct]
        return [self.of[i] for i in distinct if self.size_bytes[i] >= _DROPPED_BYTES]

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        self.count += 1
        return self.count - 1
