"""A straight line of nodes as a chain: forward blocks, and the backward nodes each block serves.

The line turns where most is alive: what is computed before and used after are the residuals. The
forward part is cut into blocks; every later node belongs to the block whose residuals it needs
last, in an order that never goes back to a block once a lower one has begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pullback_graph.graph import Graph


@dataclass(frozen=True, slots=True)
class Chain:
    """A graph's nodes, cut.

    Attributes:
        turn: nodes before it are forward.
        bounds: position of each block's first node, and `turn` at the end.
        served: per block, the later nodes that run while its residuals are there, in order.
        states: per block, the numbers of the values from before it that it or what comes after it
            in the forward part needs, or that the nodes served by it or by later blocks need.
        pinned: values of the forward part that are kept from their first computation on: outputs,
            and residuals that are needed again after the blocks below theirs have begun.
    """

    turn: int
    bounds: tuple[int, ...]
    served: tuple[tuple[int, ...], ...]
    states: tuple[frozenset[int], ...]
    pinned: frozenset[int]

    @property
    def length(self) -> int:
        """How many blocks there are."""
        return len(self.served)


def turning_point(alive: Sequence[int]) -> int:
    """The position at which most bytes are alive, by a graph's profile."""
    return int(np.argmax(alive)) if alive else 0


def chain(graph: Graph, turn: int, blocks: int) -> Chain:
    """The graph's nodes with the first `turn` of them cut into at most `blocks` blocks."""
    bounds = _bounds(graph, turn, blocks)
    held = len(graph.inputs) + len(graph.constants)
    block_of: dict[int, int] = {}
    for block in range(len(bounds) - 1):
        for position in range(bounds[block], bounds[block + 1]):
            block_of.update(dict.fromkeys(_results(graph, position), block))
    pinned = {output.value for output in graph.outputs if output.value in block_of}
    served: list[list[int]] = [[] for _ in range(len(bounds) - 1)]
    lowest = len(bounds) - 2
    for position in range(turn, len(graph.nodes)):
        needed = [i for i in graph.nodes[position].operands if i in block_of and i not in pinned]
        pinned.update(i for i in needed if block_of[i] > lowest)
        lowest = min(lowest, max((block_of[i] for i in needed), default=lowest))
        served[lowest].append(position)
    return Chain(
        turn=turn,
        bounds=bounds,
        served=tuple(map(tuple, served)),
        states=_states(graph, bounds, served, held),
        pinned=frozenset(pinned),
    )


def _results(graph: Graph, position: int) -> range:
    first = graph.first_results[position]
    return range(first, first + len(graph.nodes[position].types))


def _bounds(graph: Graph, turn: int, blocks: int) -> tuple[int, ...]:
    """Cuts that give the blocks about equally many bytes of residuals, where few bytes cross."""
    after = {i for node in graph.nodes[turn:] for i in node.operands}
    own = [
        sum([graph.types[i].size_bytes for i in _results(graph, p) if i in after])
        for p in range(turn)
    ]
    total = np.cumsum([0, *own])
    crossing = _crossing_bytes(graph, turn)
    bounds = [0]
    for number in range(1, blocks):
        low = int(np.searchsorted(total, total[-1] * (number - 0.25) / blocks))
        high = int(np.searchsorted(total, total[-1] * (number + 0.25) / blocks, side="right"))
        low, high = max(low, bounds[-1] + 1), min(high, turn - 1)
        if low <= high:
            bounds.append(low + int(np.argmin(crossing[low : high + 1])))
    return (*bounds, turn)


def _crossing_bytes(graph: Graph, turn: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Per position up to `turn`, the bytes of values from before it that nodes from it on read."""
    change = np.zeros(turn + 2, np.int64)
    last: dict[int, int] = {}
    for position, node in enumerate(graph.nodes[:turn]):
        for index in node.operands:
            last[index] = position
    for position in range(turn):
        for index in _results(graph, position):
            end = last.get(index, position)
            change[position + 1] += graph.types[index].size_bytes
            change[end + 1] -= graph.types[index].size_bytes
    return np.cumsum(change)[: turn + 1]


def _states(
    graph: Graph, bounds: Sequence[int], served: Sequence[Iterable[int]], held: int
) -> tuple[frozenset[int], ...]:
    """Per block, what must be there when it begins: found from the last block to the first."""
    states: list[frozenset[int]] = []
    needed: set[int] = set()
    for block in reversed(range(len(bounds) - 1)):
        positions = [*range(bounds[block], bounds[block + 1]), *served[block]]
        for position in positions:
            needed.update(graph.nodes[position].operands)
        start = graph.first_results[bounds[block]]
        needed = {i for i in needed if i < start}
        states.append(frozenset(i for i in needed if i >= held))
    return tuple(reversed(states))
