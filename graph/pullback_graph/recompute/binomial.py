"""Recomputation on a chain by treeverse: few states are kept, the rest is computed again.

Source: Griewank (1992), Achieving logarithmic growth of temporal and spatial complexity in reverse
automatic differentiation; Griewank & Walther (2000), algorithm 799: revolve.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import comb

from pullback_graph.builder import Builder, copy_inputs
from pullback_graph.graph import Graph
from pullback_graph.recompute.blocks import Chain
from pullback_graph.ref import Ref

Values = dict[int, Ref]


def treeverse(graph: Graph, chain: Chain, kept: int) -> Graph:
    """The same outputs, with at most `kept` states of the chain alive besides the first."""
    return _Writer(graph, chain).write(kept)


class _Writer:
    """Writes the nodes of a chain in the order of a schedule."""

    def __init__(self, graph: Graph, chain: Chain) -> None:
        self.graph, self.chain = graph, chain
        self.builder = Builder()
        self.values: Values = dict(enumerate(copy_inputs(self.builder, graph)))
        constants = [self.builder.constant(array) for array in graph.constants]
        self.values.update(enumerate(constants, len(self.values)))

    def write(self, kept: int) -> Graph:
        self._reverse(0, self.chain.length, kept, {})
        outputs = [(item.name, self.values[item.value]) for item in self.graph.outputs]
        return self.builder.build(outputs)

    def _reverse(self, start: int, stop: int, kept: int, state: Values) -> None:
        """Serve the blocks from `stop` down to `start`, whose state is there.

        Written as a loop over the left parts, so that its depth is at most `kept` states.
        """
        while stop - start > 1:
            middle = start + split(stop - start, kept)
            ahead = state
            for block in range(start, middle):
                ahead = self._run(block, ahead)
            needed = self.chain.states[middle]
            ahead = {i: ref for i, ref in ahead.items() if i in needed}
            self._reverse(middle, stop, max(kept - 1, 0), ahead)
            stop = middle
        residuals = self._run(start, state)
        for position in self.chain.served[start]:
            self._add(position, residuals, self.values)

    def _run(self, block: int, state: Values) -> Values:
        """What is there after a block: what was before, and its own values."""
        after = dict(state)
        for position in range(self.chain.bounds[block], self.chain.bounds[block + 1]):
            self._add(position, after, after)
        for index in self.chain.pinned:
            if index in after:
                self.values.setdefault(index, after[index])
        return after

    def _add(self, position: int, known: Values, results: Values) -> None:
        node, pinned = self.graph.nodes[position], self.values
        operands = [pinned[i] if i in pinned else known[i] for i in node.operands]
        numbers = self.builder.replay(node, tuple([ref.index for ref in operands]))
        first = self.graph.first_results[position]
        for offset, number in enumerate(numbers):
            results[first + offset] = Ref(self.builder, number)


@cache
def split(length: int, kept: int) -> int:
    """How many blocks of a chain of `length` to leave on the left of the next state kept.

    With `kept` states and r sweeps over any block, C(kept + r, kept) blocks can be reversed; the
    left part may take a sweep less, the right part has a state less.
    """
    if kept <= 0:
        return length - 1
    sweeps = 1
    while comb(kept + sweeps, kept) < length:
        sweeps += 1
    left = comb(kept + sweeps - 1, kept)
    right = comb(kept + sweeps - 2, kept - 1)
    return max(1, min(left, length - right, length - 1))


@cache
def runs(length: int, kept: int) -> tuple[int, ...]:
    """How often each block of a chain runs under the schedule, by block."""
    if length == 1:
        return (1,)
    left = split(length, kept)
    ahead = [n + 1 for n in runs(left, kept)]
    return (*ahead, *runs(length - left, max(kept - 1, 0)))


def stacked(state_bytes: Sequence[int], kept: int) -> int:
    """Bytes of states alive when most are, given those of each block's state."""
    best = 0
    waiting = [(0, len(state_bytes), kept, 0)]
    while waiting:
        start, stop, free, below = waiting.pop()
        total = below + state_bytes[start]
        best = max(best, total)
        if stop - start > 1:
            middle = start + split(stop - start, free)
            waiting.append((middle, stop, max(free - 1, 0), total))
            waiting.append((start, middle, free, below))
    return best
