"""Many seeds at once: a linear part mapped over a leading axis of seeds, in chunks that fit.

A chunk is as many seeds as keep the values alive at once within PASS_BYTES.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from pullback_graph.derivative.linear_part import LinearPart
from pullback_graph.errors import LimitExceeded
from pullback_graph.ref import Ref, do

PASS_BYTES = 1 << 28
"""Bytes of all values that one pass of many seeds may hold at once."""

MAX_PASSED_NODES = 2_000_000
"""Nodes that all passes of one derivative visit together: passes times nodes."""

Seeds: TypeAlias = "Callable[[int, int], list[Ref]]"
"""`(start, stop)` -> for each value with a seed, the seeds from `start` to `stop`, stacked."""


def apply_to_many(
    part: LinearPart, values: Sequence[Ref], count: int, seeds: Seeds
) -> list[Ref | None]:
    """The images of `count` seeds, each of shape (count, *shape), or None where it is zero.

    Raises:
        LimitExceeded: it takes too many passes over too many nodes.
    """
    size = chunk_size(part, count)
    starts = range(0, count, size) or range(1)
    check_passes(len(starts), len(part.graph.nodes))
    chunks = []
    for start in starts:
        stop = min(start + size, count)
        chunks.append(part.apply(values, seeds(start, stop), stop - start))
    return [_joined(column) for column in zip(*chunks, strict=True)]


def chunk_size(part: LinearPart, count: int) -> int:
    """How many seeds one pass takes."""
    return max(1, min(count, PASS_BYTES // part.seed_bytes))


def check_passes(passes: int, nodes: int) -> None:
    """Refuse what would visit too many nodes, before the first pass.

    Raises:
        LimitExceeded: it would.
    """
    if passes * nodes > MAX_PASSED_NODES:
        raise LimitExceeded(
            f"{passes} passes over {nodes} nodes; at most {MAX_PASSED_NODES} visits are made for "
            "one job: ask for fewer seeds, rows or columns at once"
        )


def _joined(chunks: Sequence[Ref | None]) -> Ref | None:
    """The chunks one after the other; a part is zero for all of them or for none."""
    given = [chunk for chunk in chunks if chunk is not None]
    if len(given) < 2:
        return given[0] if given else None
    whole: Ref = do.concat(*given, axis=0)
    return whole
