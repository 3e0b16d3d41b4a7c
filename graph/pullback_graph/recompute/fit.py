"""Fits a graph into a memory cap: by single values where that is enough, by treeverse where not.

Every graph tried is measured by the same profile as the plain one; the one with the fewest FLOPs
among those that fit is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from pullback_graph.errors import LimitExceeded
from pullback_graph.graph import Graph
from pullback_graph.memory import held_bytes, last_uses, peak_bytes, profile
from pullback_graph.recompute.binomial import runs, stacked, treeverse
from pullback_graph.recompute.blocks import Chain, chain, turning_point
from pullback_graph.recompute.greedy import drop_cheapest

_BLOCKS = (8, 16, 32, 64, 128, 256)
_KEPT = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)
"""Lengths of chains, and numbers of states kept, that are weighed."""
_TRIES = 12
"""Schedules that are written out and measured."""


class Recomputed(NamedTuple):
    """A graph of the same outputs in less memory.

    Attributes:
        factor: its work over that of the graph as it was, by the rows' estimates.
        peak_bytes: estimated bytes alive at its fullest moment.
        method: `none`, `values` (single ones computed again) or `treeverse`.
    """

    graph: Graph
    factor: float
    peak_bytes: int
    method: str


def fit(graph: Graph, cap_bytes: int) -> Recomputed:
    """The graph, or the cheapest one found that needs at most `cap_bytes`.

    Raises:
        LimitExceeded: none that was tried fits; the message says how little is enough.
    """
    peak = peak_bytes(graph)
    best = Recomputed(graph, 1.0, peak, "none")
    if peak <= cap_bytes:
        return best
    least = least_bytes(graph)
    fitting: list[Recomputed] = []
    for tried in _tried(graph, cap_bytes) if least <= cap_bytes else ():
        best = min(best, tried, key=lambda item: item.peak_bytes)
        if tried.peak_bytes <= cap_bytes:
            fitting.append(tried)
    if fitting:
        return min(fitting, key=lambda item: item.factor)
    reachable = (
        f"inputs, outputs and the widest node alone take {least}"
        if least > cap_bytes
        else f"by computing values again {best.peak_bytes} would do"
    )
    raise LimitExceeded(
        f"the job needs {peak} bytes, its memory cap is {cap_bytes}, and {reachable}; raise the "
        "cap, or split the job",
        field="options.memory_cap_bytes",
    )


def least_bytes(graph: Graph) -> int:
    """A bound from below: inputs, constants, and outputs; any one node with what it reads."""
    held = len(graph.inputs) + len(graph.constants)
    outputs = {item.value for item in graph.outputs if item.value >= held}
    results = sum([graph.types[i].size_bytes for i in outputs])
    last = last_uses(graph)
    widest = 0
    for node in graph.nodes:
        own = {i for i in node.operands if i >= held and last[i] >= 0}
        read = sum([graph.types[i].size_bytes for i in own])
        widest = max(widest, read + sum([t.size_bytes for t in node.types]))
    return held_bytes(graph) + max(results, widest)


def _tried(graph: Graph, cap_bytes: int) -> Iterator[Recomputed]:
    """What single values give; then, where they do not fit, schedules of a chain."""
    work = max(graph.cost.work, 1.0)
    fits = False
    for made in drop_cheapest(graph, cap_bytes):
        tried = Recomputed(made, made.cost.work / work, peak_bytes(made), "values")
        fits = tried.peak_bytes <= cap_bytes
        yield tried
    if not fits:
        yield from _schedules(graph, cap_bytes, work)


class _Schedule(NamedTuple):
    """A chain and how many of its states to keep, with estimates of what that takes."""

    work: float
    chain: Chain
    kept: int
    size_bytes: int


def _schedules(graph: Graph, cap_bytes: int, work: float) -> Iterator[Recomputed]:
    """Treeverse by rising estimate of its work, till a schedule fits; last, the smallest one."""
    alive = profile(graph)
    weighed = [item for turn in _turns(alive) for item in _weighed(graph, alive, turn)]
    likely = sorted(
        [item for item in weighed if item.size_bytes <= cap_bytes], key=lambda item: item.work
    )
    smallest = sorted(weighed, key=lambda item: item.size_bytes)
    for schedule in [*likely[:_TRIES], *smallest[:1]]:
        made = treeverse(graph, schedule.chain, schedule.kept)
        tried = Recomputed(made, made.cost.work / work, peak_bytes(made), "treeverse")
        yield tried
        if tried.peak_bytes <= cap_bytes:
            return


def _turns(alive: Sequence[int]) -> list[int]:
    """Where the part to be recomputed may end: at the turning point, or before it."""
    turn = turning_point(alive)
    return sorted({turn * quarter // 4 for quarter in (1, 2, 3, 4)} - {0})


def _weighed(graph: Graph, alive: Sequence[int], turn: int) -> Iterator[_Schedule]:
    """Schedules of the first `turn` nodes: their work, and about what is alive at most."""
    forward = Graph(graph.inputs, graph.constants, graph.nodes[:turn], graph.outputs)
    before = alive[turn - 1] - held_bytes(graph)
    for blocks in _BLOCKS:
        if blocks > 2 * turn:
            break
        cut = chain(graph, turn, blocks)
        spent = _spent(cut, forward)
        states = [sum([graph.types[i].size_bytes for i in state]) for state in cut.states]
        rest = max(alive) - before + before // cut.length
        for kept in sorted({min(kept, cut.length) for kept in _KEPT}):
            work = sum([n * w for n, w in zip(runs(cut.length, kept), spent, strict=True)])
            size_bytes = rest + stacked(states, kept)
            yield _Schedule(work - sum(spent), cut, kept, size_bytes)


def _spent(cut: Chain, forward: Graph) -> list[float]:
    """The work of each block's nodes."""
    work = [cost.work for cost in forward.node_costs]
    return [sum(work[a:b]) for a, b in pairwise(cut.bounds)]
