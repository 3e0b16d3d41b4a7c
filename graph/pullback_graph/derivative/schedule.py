"""A loop gone back through with few of its carries held at a time: binomial checkpointing.

The steps are units of a segment each. From a carry that is held, the loop runs ahead to the next
one to hold; a unit whose later ones are done runs once more, keeping what it needs, and is gone
back through. Griewank & Walther 2000, algorithm 799 (revolve).
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.derivative.loop_back import Back
from pullback_graph.ops.leading import cut
from pullback_graph.recompute.binomial import split
from pullback_graph.ref import Ref, do

MAX_UNITS = 2048
"""Units of one loop: each is a few nodes. Segments are lengthened so that there are no more."""


def scheduled(
    loop: Back,
    g: Sequence[Ref | None],
    z: Sequence[Ref],
    operands: Sequence[Ref],
    steps: int,
    segment: int,
    slots: int,
) -> dict[int, Ref]:
    """Cotangents of the operands, by position, with the carries of `slots` units held at most."""
    segment = max(segment, -(-steps // MAX_UNITS))
    return _Schedule(loop, g, z, operands, steps, segment).run(slots)


class _Schedule:
    """The schedule under way: cotangents of the carries at the unit it has come back to."""

    def __init__(
        self,
        loop: Back,
        g: Sequence[Ref | None],
        z: Sequence[Ref],
        operands: Sequence[Ref],
        steps: int,
        segment: int,
    ) -> None:
        self.loop, self.z, self.operands = loop, z, operands
        self.steps, self.segment = steps, segment
        self.units = -(-steps // segment)
        self.g = list(g)
        self.totals: dict[int, Ref] = {}
        self.pieces: dict[int, list[Ref]] = {}

    def run(self, slots: int) -> dict[int, Ref]:
        parts = self.loop.parts
        first = [self.operands[i] for i in parts.carries]
        self.back(0, self.units, slots, first)
        found = dict(self.totals)
        for k in self.loop.reached:
            cotangent = self.g[k]
            if cotangent is not None:
                found[parts.carries[k]] = cotangent
        for i, pieces in self.pieces.items():
            ordered = pieces if self.loop.reverse else pieces[::-1]
            found[i] = do.concat(*ordered, axis=0) if len(ordered) > 1 else ordered[0]
        return found

    def back(self, start: int, stop: int, slots: int, state: Sequence[Ref]) -> None:
        """Go back from unit `stop` to `start`, at whose beginning the carries are `state`."""
        while stop - start > 1:
            middle = start + split(stop - start, slots)
            ahead = self.loop.advance(*self.stretch(start, middle, state))
            self.back(middle, stop, max(slots - 1, 0), ahead)
            stop = middle
        self.unit(start, state)

    def unit(self, unit: int, state: Sequence[Ref]) -> None:
        """Run one unit again and go back through it."""
        loop, parts = self.loop, self.loop.parts
        operands, steps = self.stretch(unit, unit + 1, state)
        kept, _ = loop.forward(operands, steps)
        stacked = {k: self.entries(self.z[k], unit, unit + 1) for k in parts.stacked}
        z = [stacked.get(k, x) for k, x in enumerate(self.z)]
        g = [
            self.entries(x, unit, unit + 1) if x is not None and k in parts.stacked else x
            for k, x in enumerate(self.g)
        ]
        found = loop.backward(g, z, operands, kept, steps)
        for k in loop.reached:
            self.g[k] = found[parts.carries[k]]
        for i in loop.line.to_consts:
            self.totals[i] = self.totals[i] + found[i] if i in self.totals else found[i]
        for i in loop.line.to_entries:
            self.pieces.setdefault(i, []).append(found[i])

    def stretch(self, start: int, stop: int, state: Sequence[Ref]) -> tuple[list[Ref], int]:
        """The operands of the scan over some units, and how many steps it takes."""
        parts = self.loop.parts
        consts = [self.operands[i] for i in parts.consts]
        entries = [self.entries(self.operands[i], start, stop) for i in parts.entries]
        a, b = self.bounds(start, stop)
        return [*consts, *state, *entries], b - a

    def entries(self, x: Ref, start: int, stop: int) -> Ref:
        """What of a stacked array belongs to some units."""
        a, b = self.bounds(start, stop)
        return cut(x, self.steps - b, self.steps - a) if self.loop.reverse else cut(x, a, b)

    def bounds(self, start: int, stop: int) -> tuple[int, int]:
        """The steps of some units, in the loop's order."""
        return start * self.segment, min(stop * self.segment, self.steps)
