"""One stretch of a loop forward, keeping what the way back needs, and that way back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pullback_graph.builder import Builder
from pullback_graph.derivative.bodies import add_inputs, as_tuple, build, replay_needed
from pullback_graph.derivative.linear_space import zeros
from pullback_graph.derivative.linearized import Linearized
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref

if TYPE_CHECKING:
    from pullback_graph.derivative.scan import Layout


@dataclass(frozen=True, slots=True)
class Back:
    """A scan to be gone back through.

    Attributes:
        line: its body taken apart.
        flags: per input of the body, whether it carries a derivative.
        reached: the carries (by their order) that have a cotangent.
    """

    builder: Builder
    body: Graph
    parts: Layout
    line: Linearized
    flags: Sequence[bool]
    reached: Sequence[int]
    sums: int
    reverse: bool

    def forward(self, operands: Sequence[Ref], length: int) -> tuple[Sequence[Ref], Sequence[Ref]]:
        """What is kept of every step, and the scan's results; neither where nothing is kept."""
        if not self.line.kept:
            return (), ()
        results = self.run(self.line.forward, operands, length, self.sums)
        last = len(results) - self.sums - self.line.kept
        kept = results[last : last + self.line.kept]
        return kept, [*results[:last], *results[last + self.line.kept :]]

    def advance(self, operands: Sequence[Ref], length: int) -> Sequence[Ref]:
        """The carries after the steps, and nothing else."""
        inner = self.builder.inner()
        refs = add_inputs(inner, [(item.name, item.type) for item in self.body.inputs])
        numbers = [self.body.outputs[k].value for k in self.parts.next]
        known = dict(enumerate(refs))
        carried = build(inner, replay_needed(inner, self.body, known, numbers))
        return self.run(carried, operands, length, 0)

    def run(self, body: Graph, operands: Sequence[Ref], length: int, sums: int) -> tuple[Ref, ...]:
        """A scan laid out as this one."""
        return as_tuple(
            self.builder.add(
                "scan",
                *operands,
                body=body,
                consts=len(self.parts.consts),
                carries=len(self.parts.carries),
                sums=sums,
                length=-1 if self.parts.entries else length,
                reverse=self.reverse,
            )
        )

    def backward(
        self,
        g: Sequence[Ref | None],
        z: Sequence[Ref],
        operands: Sequence[Ref],
        kept: Sequence[Ref],
        steps: int,
    ) -> dict[int, Ref]:
        """Cotangents of operands, by position, of cotangents of results."""
        line, parts = self.line, self.parts
        stacks: dict[Hashable, Ref] = dict(enumerate(operands))
        stacks.update({("y", k): z[k] for k in parts.stacked})
        stacks.update({("kept", k): x for k, x in enumerate(kept)})
        consts = [*line.invariants, *self._given(g, parts.sums)]
        carried = [
            g[k] or zeros(self.builder, operands[parts.carries[k]].type) for k in self.reached
        ]
        entries = [*[stacks[key] for key in line.entries], *self._given(g, parts.stacked)]
        if not (consts or carried or entries):
            return {}
        results = as_tuple(
            self.builder.add(
                "scan",
                *consts,
                *carried,
                *entries,
                body=line.backward,
                consts=len(consts),
                carries=len(carried),
                sums=len(line.to_consts),
                length=-1 if entries else steps,
                reverse=not self.reverse,
            )
        )
        order = [*[parts.carries[k] for k in self.reached], *line.to_entries, *line.to_consts]
        return dict(zip(order, results, strict=True))

    def _given(self, g: Sequence[Ref | None], group: range) -> list[Ref]:
        """The cotangents from outside that the step back reads, of one group of results."""
        return [g_k for k in group if self.line.seeded[k] and (g_k := g[k]) is not None]
