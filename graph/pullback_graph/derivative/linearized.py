"""A loop's body taken apart for the reverse pass: what to keep of a step, and the linear rest.

The body and its pullback are built as one graph. Values that depend on no cotangent and are read by
something that does are what the backward step needs: those that are not at hand are kept, or, where
that is cheaper, computed again. What depends on constants alone is computed once, outside.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pullback_graph.builder import Builder, copy_values
from pullback_graph.derivative.bodies import (
    add_inputs,
    build,
    dependent,
    needed_nodes,
    replay_needed,
)
from pullback_graph.derivative.linear_space import zeros
from pullback_graph.derivative.reverse import pull
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref

if TYPE_CHECKING:
    from pullback_graph.derivative.scan import Layout

_NODE_S = 0.5e-6
_KEPT_S = 0.4e-6
_FLOPS_PER_S = 4e9
_BYTES_PER_S = 6e9


@dataclass(frozen=True, slots=True)
class Linearized:
    """A step forward that keeps what a step back needs, and the step back.

    Attributes:
        forward: the body, with what is `kept` (so many values) among its stacked results, last.
        backward: inputs are invariants, cotangents of sums; cotangents of carries; entries,
            cotangents of stacked results. Outputs: cotangents of carries, of entries, of constants.
        invariants: values outside the loop that every step back reads.
        entries: what it reads step by step: an operand's position, `("y", k)` for a result of the
            loop, `("kept", k)`.
        to_entries, to_consts: the operands whose cotangents it gives.
        seeded: per output of the body, whether it has a cotangent from outside.
    """

    forward: Graph
    backward: Graph
    kept: int
    invariants: tuple[Ref, ...]
    entries: tuple[Hashable, ...]
    to_entries: tuple[int, ...]
    to_consts: tuple[int, ...]
    seeded: tuple[bool, ...]


def linearized(
    builder: Builder,
    body: Graph,
    parts: Layout,
    flags: Sequence[bool],
    seeded: Sequence[bool],
    reached: Sequence[int],
    *,
    keep: bool,
    operands: Sequence[Ref],
) -> Linearized:
    """Take a body apart.

    Args:
        flags: per input, whether it carries a derivative.
        reached: the carries that have a cotangent.
        keep: keep values from inside a step; else only carries, and compute the rest again.
        operands: the loop's; what every step reads alike is computed beside them.
    """
    pullback = _Pullback(builder.inner(), body, parts, flags, seeded, reached)
    return _Split(builder, body, parts, pullback, keep, operands).linearized()


class _Pullback:
    """The body and its pullback as one graph: the body's inputs, then cotangents.

    Attributes:
        cotangents: the numbers of the inputs that are cotangents, by group.
        outputs: the numbers of the body's outputs.
        adjoints: the numbers of the cotangents it gives, by group.
    """

    def __init__(
        self,
        builder: Builder,
        body: Graph,
        parts: Layout,
        flags: Sequence[bool],
        seeded: Sequence[bool],
        reached: Sequence[int],
    ) -> None:
        numbers = [item.value for item in body.outputs]
        stacked = [k for k in parts.stacked if seeded[k]]
        sums = [k for k in parts.sums if seeded[k]]
        order = [*sums, *reached, *stacked]
        wanted = [(item.name, item.type) for item in body.inputs]
        wanted += [(f"g({body.outputs[k].name})", body.output_type(k)) for k in order]
        refs = add_inputs(builder, wanted)
        count = len(body.inputs)
        values = copy_values(builder, body, refs[:count])
        seeds: dict[int, Ref] = {}
        for k, g in zip(order, refs[count:], strict=True):
            seeds[numbers[k]] = seeds[numbers[k]] + g if numbers[k] in seeds else g
        active = [i for i, flag in enumerate(flags) if flag]
        found = dict(zip(active, pull(builder, body, values, seeds, active), strict=True))
        carried = [
            found.get(parts.carries[k]) or zeros(builder, values[parts.carries[k]].type)
            for k in reached
        ]
        self.to_entries = tuple([i for i in parts.entries if found.get(i) is not None])
        self.to_consts = tuple([i for i in parts.consts if found.get(i) is not None])
        adjoints = [*carried, *[found[i] for i in (*self.to_entries, *self.to_consts)]]
        outputs = [values[i] for i in numbers]
        self.graph = build(builder, [*outputs, *[x for x in adjoints if x is not None]])
        made = [item.value for item in self.graph.outputs]
        self.outputs, self.adjoints = made[: len(outputs)], made[len(outputs) :]
        ends = (count + len(sums), count + len(sums) + len(reached))
        self.cotangents = (
            range(count, ends[0]),
            range(ends[0], ends[1]),
            range(ends[1], len(refs)),
        )
        self.seeded = tuple([k in order for k in range(len(numbers))])


class _Split:
    """The cut through a pullback between what a step forward gives and what a step back does."""

    def __init__(
        self,
        builder: Builder,
        body: Graph,
        parts: Layout,
        pullback: _Pullback,
        keep: bool,
        operands: Sequence[Ref],
    ) -> None:
        self.builder, self.body, self.parts = builder, body, parts
        self.pullback, self.graph, self.operands = pullback, pullback.graph, operands
        graph = self.graph
        linear = dependent(graph, [i for group in pullback.cotangents for i in group])
        varying = dependent(graph, [*parts.carries, *parts.entries])
        back = [p for p in needed_nodes(graph, pullback.adjoints) if linear[graph.first_results[p]]]
        read = {i for p in back for i in graph.nodes[p].operands} | set(pullback.adjoints)
        self.held = range(len(graph.inputs), len(graph.inputs) + len(graph.constants))
        primal = sorted([i for i in read if not linear[i] and i not in self.held])
        self.invariant = [i for i in primal if not varying[i]]
        free = set(parts.entries) | {pullback.outputs[k] for k in parts.stacked}
        self.at_hand: dict[int, Hashable] = {pullback.outputs[k]: ("y", k) for k in parts.stacked}
        self.at_hand.update({i: i for i in parts.entries})
        chosen = self.cheapest([i for i in primal if varying[i]], free, keep)
        self.entries = [i for i in chosen if i in self.at_hand]
        self.kept = [i for i in chosen if i not in self.at_hand]
        self.varying = varying
        self.more_invariants(linear)

    def cheapest(self, read: list[int], free: set[int], keep: bool) -> list[int]:
        """Values that are enough to compute all that is `read`."""
        graph, parts = self.graph, self.parts
        if not keep:
            inputs = {*parts.carries, *parts.entries}
            nodes = needed_nodes(graph, read, inputs)
            used = {i for p in nodes for i in graph.nodes[p].operands} | set(read)
            return sorted(used & inputs)
        chosen = set(read)
        node_of = {
            first + k: p
            for p, first in enumerate(graph.first_results)
            for k in range(len(graph.nodes[p].types))
        }
        varying = dependent(graph, [*parts.carries, *parts.entries])
        for value in sorted(read, reverse=True):
            if value in free or value not in node_of:
                continue
            node = graph.nodes[node_of[value]]
            operands = {i for i in node.operands if varying[i]}
            if operands <= chosen | free and self.again_s(node_of[value]) < self.keep_s(value):
                chosen = (chosen - {value}) | operands
        return sorted(chosen)

    def again_s(self, position: int) -> float:
        """About the seconds to compute a node again."""
        cost = self.graph.node_costs[position]
        if not cost.flops and not cost.size_bytes:
            return 0.0  # a view
        work_s = cost.flops / _FLOPS_PER_S + cost.size_bytes / _BYTES_PER_S
        return cost.calls * _NODE_S + work_s

    def keep_s(self, value: int) -> float:
        """About the seconds to write a value down and read it again."""
        return _KEPT_S + 2 * self.graph.types[value].size_bytes / _BYTES_PER_S

    def more_invariants(self, linear: list[bool]) -> None:
        """Find what every step back reads alike, that of values computed again included."""
        graph = self.graph
        known = {*self.entries, *self.kept}
        nodes = needed_nodes(graph, self.pullback.adjoints, known)
        outer = {
            i
            for p in nodes
            if self.varying[graph.first_results[p]] or linear[graph.first_results[p]]
            for i in graph.nodes[p].operands
        } | set(self.pullback.adjoints)
        self.invariant = sorted(
            [i for i in outer if not self.varying[i] and not linear[i] and i not in self.held]
        )

    def linearized(self) -> Linearized:
        """The two bodies."""
        pullback, parts = self.pullback, self.parts
        known = {i: self.operands[i] for i in parts.consts}
        outside = replay_needed(self.builder, self.graph, known, self.invariant)
        backward = self.backward()
        forward = self.forward() if self.kept else self.body
        kept = {value: ("kept", k) for k, value in enumerate(self.kept)}
        entries = [self.at_hand.get(i) for i in self.entries] + [kept[i] for i in self.kept]
        return Linearized(
            forward=forward,
            backward=backward,
            kept=len(self.kept),
            invariants=tuple(outside),
            entries=tuple(entries),
            to_entries=pullback.to_entries,
            to_consts=pullback.to_consts,
            seeded=pullback.seeded,
        )

    def backward(self) -> Graph:
        graph, inner = self.graph, self.builder.inner()
        sums, carried, stacked = self.pullback.cotangents
        order = [*self.invariant, *sums, *carried, *self.entries, *self.kept, *stacked]
        refs = add_inputs(inner, [(f"v{i}", graph.types[i]) for i in order])
        known = dict(zip(order, refs, strict=True))
        return build(inner, replay_needed(inner, graph, known, self.pullback.adjoints))

    def forward(self) -> Graph:
        """The body with what is kept among its stacked results, before the sums."""
        inside = any([i not in self.parts.carries for i in self.kept])
        graph = self.graph if inside else self.body
        numbers = self.pullback.outputs if inside else [o.value for o in self.body.outputs]
        last = self.parts.sums.start
        inner = self.builder.inner()
        refs = add_inputs(inner, [(item.name, item.type) for item in self.body.inputs])
        wanted = [*numbers[:last], *self.kept, *numbers[last:]]
        return build(inner, replay_needed(inner, graph, dict(enumerate(refs)), wanted))
