"""The linear part of a derivative as a graph of its own: from seeds to tangents or cotangents.

Its inputs are the values of the graph that was differentiated, then the seeds. So it can be mapped
over many seeds at once, while what does not depend on them is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pullback_graph.builder import Builder, Origin
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.reverse import pull
from pullback_graph.graph import Graph
from pullback_graph.memory import last_uses
from pullback_graph.op import Cost
from pullback_graph.ref import Ref
from pullback_graph.vmap import Mapped, replay_mapped

OVERHEAD_BYTES = 10_000
"""Bytes that could be moved while one call of a row gets under way."""


@dataclass(frozen=True)
class LinearPart:
    """A linear map between the tangents (or cotangents) of some values.

    Attributes:
        graph: inputs are values, then seeds; outputs are the images of those of `results` that are
            not zero.
        given: the values that are inputs, by number in the graph that was differentiated.
        seeds: the values that have a seed.
        results: the values whose images are wanted.
        images: per entry of `results`, which output of `graph` it is, or None where it is zero.
    """

    graph: Graph
    given: tuple[int, ...]
    seeds: tuple[int, ...]
    results: tuple[int, ...]
    images: tuple[int | None, ...]
    origins: tuple[Origin, ...]
    adjoints: int

    @cached_property
    def depends(self) -> tuple[bool, ...]:
        """Per node, whether it depends on a seed."""
        graph = self.graph
        mapped = [i >= len(self.given) for i in range(len(graph.inputs))]
        mapped += [False] * len(graph.constants)
        flags = []
        for node in graph.nodes:
            flags.append(any([mapped[i] for i in node.operands]))
            mapped += [flags[-1]] * len(node.types)
        return tuple(flags)

    @cached_property
    def seed_cost(self) -> Cost:
        """What one seed costs."""
        costs = [c for c, flag in zip(self.graph.node_costs, self.depends, strict=True) if flag]
        return Cost(sum([c.flops for c in costs]), sum([c.size_bytes for c in costs]))

    @cached_property
    def seed_bytes(self) -> int:
        """Bytes alive at the fullest moment for each seed."""
        graph, last = self.graph, last_uses(self.graph)
        types = graph.types
        alive = peak = sum([types[i].size_bytes for i in range(len(self.given), len(graph.inputs))])
        own: set[int] = set()
        for position, node in enumerate(graph.nodes):
            if not self.depends[position]:
                continue
            first = graph.first_results[position]
            for number in range(first, first + len(node.types)):
                own.add(number)
                alive += types[number].size_bytes
            peak = max(peak, alive)
            done = {i for i in node.operands if i in own and last[i] == position}
            alive -= sum([types[i].size_bytes for i in done])
            own -= done
        return max(peak, 1)

    def work(self, seeds: int) -> float:
        """About how long so many seeds take, in bytes that could be moved meanwhile."""
        each = self.seed_cost
        return seeds * (each.flops + each.size_bytes) + OVERHEAD_BYTES * len(self.graph.nodes)

    def apply(self, values: Sequence[Ref], seeds: Sequence[Ref], size: int) -> list[Ref | None]:
        """The images for `size` seeds at once.

        Args:
            values: the Ref of every value of the graph that was differentiated, by number.
            seeds: an array of shape (size, *shape) for each value with a seed.

        Returns:
            Per entry of `results` an array of shape (size, *shape), or None where it is zero.
        """
        builder = seeds[0].builder
        inputs = [Mapped(values[number], False) for number in self.given]
        inputs += [Mapped(seed, True) for seed in seeds]
        found = replay_mapped(builder, self.graph, inputs, size, self.origins)
        builder.adjoints_finished += self.adjoints
        outputs = self.graph.outputs
        return [
            None if image is None else found[outputs[image].value].whole(size)
            for image in self.images
        ]


def pushed(graph: Graph, seeds: Sequence[int], results: Sequence[int]) -> LinearPart:
    """From tangents of the values `seeds` to tangents of the values `results`.

    Raises:
        NotDifferentiable: a row without a derivative is on the path.
    """
    start = _Start.of(graph, seeds)
    found = push(start.builder, graph, start.values, start.seeds)
    return start.part([found[number] for number in results], results)


def pulled(graph: Graph, seeds: Sequence[int], results: Sequence[int]) -> LinearPart:
    """From cotangents of the values `seeds` to cotangents of the values `results`.

    Raises:
        NotDifferentiable: a row without a derivative is on the path.
    """
    start = _Start.of(graph, seeds)
    found = pull(start.builder, graph, start.values, start.seeds, results)
    return start.part(found, results)


@dataclass(frozen=True, slots=True)
class _Start:
    """A builder whose inputs stand for the values of a graph, and for the seeds."""

    builder: Builder
    values: list[Ref]
    given: tuple[int, ...]
    seeds: Mapping[int, Ref]

    @classmethod
    def of(cls, graph: Graph, seeds: Sequence[int]) -> _Start:
        builder = Builder(track=True)
        first = len(graph.inputs)
        constants = dict(enumerate(graph.constants, first))
        values, given = [], []
        for number, type in enumerate(graph.types):
            if number in constants:
                values.append(builder.constant(constants[number]))
            else:
                given.append(number)
                values.append(builder.input(f"%{number}", type))
        own = {n: builder.input(f"seed:{n}", graph.types[n]) for n in dict.fromkeys(seeds)}
        return cls(builder, values, tuple(given), own)

    def part(self, found: Sequence[Ref | None], results: Sequence[int]) -> LinearPart:
        images: list[int | None] = []
        outputs: list[tuple[str, Ref]] = []
        for ref in found:
            images.append(None if ref is None else len(outputs))
            if ref is not None:
                outputs.append((f"image:{len(outputs)}", ref))
        if not outputs:  # a graph has an output: of no meaning, as no image names it
            outputs.append(("none", next(iter(self.seeds.values()))))
        graph = self.builder.build(outputs)
        return LinearPart(
            graph,
            self.given,
            tuple(self.seeds),
            tuple(results),
            tuple(images),
            self.builder.origins,
            self.builder.adjoints_finished,
        )
