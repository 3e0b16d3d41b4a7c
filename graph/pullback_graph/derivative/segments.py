"""A loop as a loop over segments of itself, so that the reverse pass keeps one segment at a time.

The outer loop keeps the carries at the start of each segment; its backward step runs the segment
again, this time keeping what it needs. With segments of about √n steps, n of them take the memory
of 2√n and one more run of the body. Griewank & Walther 2008, chapter 12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback_graph.builder import Builder
from pullback_graph.derivative.bodies import add_inputs, as_tuple, build
from pullback_graph.graph import Graph
from pullback_graph.ops.leading import cut
from pullback_graph.ref import Ref, do
from pullback_graph.types import ArrayType


def segmented(
    body: Graph,
    operands: Sequence[ArrayType],
    steps: int,
    segment: int,
    attributes: Mapping[str, Any],
) -> Graph:
    """The graph of a scan over `steps` as loops over segments, and the rest of the steps.

    Args:
        attributes: consts, carries, sums and reverse of the scan.
    """
    return _Segmented(body, operands, steps, segment, attributes).graph()


class _Segmented:
    """The scan being taken apart."""

    def __init__(
        self,
        body: Graph,
        operands: Sequence[ArrayType],
        steps: int,
        segment: int,
        attributes: Mapping[str, Any],
    ) -> None:
        self.body, self.operands, self.segment = body, operands, segment
        self.attributes = dict(attributes)
        self.first = attributes["consts"] + attributes["carries"]
        self.whole, self.rest = divmod(steps, segment)

    def graph(self) -> Graph:
        builder = Builder()
        refs = add_inputs(builder, [(f"x{i}", type) for i, type in enumerate(self.operands)])
        stacked = refs[self.first :]
        covered = self.whole * self.segment
        start = self.rest if self.attributes["reverse"] else 0
        parts = [cut(x, start, start + covered) for x in stacked]
        folded = [do.reshape(x, shape=(self.whole, self.segment, *x.shape[1:])) for x in parts]
        results = as_tuple(
            builder.add(
                "scan",
                *refs[: self.first],
                *folded,
                body=self.inner(),
                length=-1 if stacked else self.whole,
                segment=1,
                **self.attributes,
            )
        )
        carries, ys, sums = self.apart(results)
        ys = [do.reshape(y, shape=(covered, *y.shape[2:])) for y in ys]
        if not self.rest:
            return build(builder, [*carries, *ys, *sums])
        start = 0 if self.attributes["reverse"] else covered
        parts = [cut(x, start, start + self.rest) for x in stacked]
        consts = refs[: self.attributes["consts"]]
        more = self.apart(self.run(builder, [*consts, *carries, *parts], self.rest))
        pairs = list(zip(ys, more[1], strict=True))
        ys = [
            do.concat(*(pair[::-1] if self.attributes["reverse"] else pair), axis=0)
            for pair in pairs
        ]
        sums = [a + b for a, b in zip(sums, more[2], strict=True)]
        return build(builder, [*more[0], *ys, *sums])

    def inner(self) -> Graph:
        """One segment as a body: the scan itself, over fewer steps."""
        builder = Builder()
        types = list(self.operands[: self.first])
        for x in self.operands[self.first :]:
            types.append(x._replace(shape=(self.segment, *x.shape[1:])))
        refs = add_inputs(builder, [(f"x{i}", type) for i, type in enumerate(types)])
        return build(builder, self.run(builder, refs, self.segment))

    def run(self, builder: Builder, operands: Sequence[Ref], steps: int) -> tuple[Ref, ...]:
        return as_tuple(
            builder.add(
                "scan",
                *operands,
                body=self.body,
                length=-1 if len(operands) > self.first else steps,
                **self.attributes,
            )
        )

    def apart(self, results: Sequence[Ref]) -> tuple[list[Ref], list[Ref], list[Ref]]:
        """Carries, stacked results and sums."""
        carries, last = self.attributes["carries"], len(results) - self.attributes["sums"]
        return list(results[:carries]), list(results[carries:last]), list(results[last:])
