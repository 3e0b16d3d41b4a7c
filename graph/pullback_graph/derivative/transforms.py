"""Derivatives as Graph -> Graph: gradients, and products with seeds.

What is built can be differentiated again. Seeds that cover the same names are taken in one pass,
mapped over a leading axis.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.builder import Builder
from pullback_graph.derivative.draft import (
    Derivative,
    Differentiated,
    Draft,
    MakeBuilder,
    Mode,
    scalar_output,
    without_first,
    wrt_indices,
)
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.linear_part import pulled, pushed
from pullback_graph.derivative.linear_space import filled
from pullback_graph.derivative.located import integer_output
from pullback_graph.derivative.many_seeds import apply_to_many, check_passes
from pullback_graph.derivative.reverse import pull
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.want import DerivativeKey, Names

MANY_SEEDS = 4
"""Seeds over the same names from which one pass takes them all."""


def vjp(
    graph: Graph, wrt: Names, seeds: Sequence[Names], make_builder: MakeBuilder = Builder
) -> Differentiated:
    """Cotangents of `wrt` for each seed: cotangents of the outputs it names.

    Raises:
        NotDifferentiable: an output with a seed, or a `wrt`, is not floating.
        LimitExceeded: there are too many seeds for a graph of that size.
    """
    indices = wrt_indices(graph, wrt)
    for name in dict.fromkeys([name for names in seeds for name in names]):
        type = graph.output_type(graph.output_index(name))
        if not type.is_floating:
            raise integer_output(name, type)
    products = _Products(Draft.of(graph, make_builder), seeds, indices, forward=False)
    derivatives = [
        Derivative(
            DerivativeKey(names[0] if len(names) == 1 else "", name, seed=number),
            products.of(number)[i],
            graph.types[index],
        )
        for number, names in enumerate(seeds)
        for i, (name, index) in enumerate(zip(wrt, indices, strict=True))
    ]
    return products.draft.finish(derivatives, Mode("reverse", f"{len(seeds)} seed(s)"))


def gradient(
    graph: Graph, wrt: Names, output: str = "", make_builder: MakeBuilder = Builder
) -> Differentiated:
    """The gradient of one scalar output.

    Raises:
        NotDifferentiable: the output is no floating scalar, or a `wrt` is not floating.
    """
    position, name = scalar_output(graph, output)
    indices = wrt_indices(graph, wrt)
    draft = Draft.of(graph, make_builder)
    value = graph.outputs[position].value
    one = filled(draft.builder, draft.values[value].type, 1.0)
    pulled_back = pull(draft.builder, graph, draft.values, {value: one}, indices)
    return draft.finish(
        [
            Derivative(DerivativeKey(name, w), adjoint, graph.types[i])
            for w, i, adjoint in zip(wrt, indices, pulled_back, strict=True)
        ],
        Mode("reverse", "a scalar output"),
    )


def jvp(
    graph: Graph,
    seeds: Sequence[Names],
    make_builder: MakeBuilder = Builder,
    outputs: Sequence[int] | None = None,
) -> Differentiated:
    """Tangents of the outputs (all floating ones, or those at given positions) for each seed.

    Raises:
        NotDifferentiable: an input with a seed is not floating.
        LimitExceeded: there are too many seeds for a graph of that size.
    """
    for names in dict.fromkeys(seeds):
        wrt_indices(graph, names)
    chosen = [
        item
        for position, item in enumerate(graph.outputs)
        if (outputs is None or position in outputs) and graph.types[item.value].is_floating
    ]
    values = [item.value for item in chosen]
    products = _Products(Draft.of(graph, make_builder), seeds, values, forward=True)
    derivatives = [
        Derivative(
            DerivativeKey(item.name, seed=number), products.of(number)[i], graph.types[item.value]
        )
        for number in range(len(seeds))
        for i, item in enumerate(chosen)
    ]
    return products.draft.finish(derivatives, Mode("forward", f"{len(seeds)} seed(s)"))


def hvp(
    graph: Graph,
    wrt: Names,
    seeds: Sequence[Names],
    output: str = "",
    make_builder: MakeBuilder = Builder,
) -> Differentiated:
    """The Hessian of one scalar output times directions: forward over reverse."""
    first = gradient(graph, wrt, output, make_builder)
    positions = range(first.value_count, len(first.graph.outputs))
    second = jvp(first.graph, seeds, make_builder, outputs=positions)
    count = len(first.keys)
    keys = tuple(first.keys[i % count]._replace(seed=key.seed) for i, key in enumerate(second.keys))
    mode = Mode("forward over reverse", second.mode.reason)
    return without_first(second, first, keys, mode)


class _Products:
    """The images of a job's seeds, those over the same names made together.

    Args:
        results: the values whose images are wanted, by number.
        forward: from tangents of inputs, else from cotangents of outputs.
    """

    def __init__(
        self, draft: Draft, seeds: Sequence[Names], results: Sequence[int], *, forward: bool
    ) -> None:
        self.draft = draft
        self._results = results
        self._forward = forward
        self._images: dict[int, list[Ref | None]] = {}
        groups: dict[Names, list[int]] = {}
        for number, names in enumerate(seeds):
            groups.setdefault(tuple(names), []).append(number)
        lone = sum([len(g) for g in groups.values() if len(g) < MANY_SEEDS])
        check_passes(lone, len(draft.graph.nodes))
        given = [self._given(number, names) for number, names in enumerate(seeds)]
        for numbers in groups.values():
            if len(numbers) < MANY_SEEDS:
                self._images.update({number: self._one(given[number]) for number in numbers})
            else:
                self._images.update(self._many(numbers, [given[i] for i in numbers]))

    def of(self, number: int) -> list[Ref | None]:
        """The images of one seed, in the order of the results."""
        return self._images[number]

    def _given(self, number: int, names: Names) -> dict[int, Ref]:
        """One seed's inputs by value; two outputs of one value add up."""
        graph = self.draft.graph
        given: dict[int, Ref] = {}
        for name in names:
            value = (
                graph.input_index(name)
                if self._forward
                else graph.outputs[graph.output_index(name)].value
            )
            seed = self.draft.seed(number, name, value)
            given[value] = given[value] + seed if value in given else seed
        return given

    def _one(self, given: dict[int, Ref]) -> list[Ref | None]:
        draft = self.draft
        if self._forward:
            tangents = push(draft.builder, draft.graph, draft.values, given)
            return [tangents[value] for value in self._results]
        return pull(draft.builder, draft.graph, draft.values, given, self._results)

    def _many(
        self, numbers: Sequence[int], given: Sequence[dict[int, Ref]]
    ) -> dict[int, list[Ref | None]]:
        """The images of seeds over the same values: stacked, mapped, and taken apart again."""
        make = pushed if self._forward else pulled
        part = make(self.draft.graph, tuple(given[0]), self._results)

        def seeds(start: int, stop: int) -> list[Ref]:
            own = given[start:stop]
            return [do.stack(*[seed[value] for seed in own], axis=0) for value in part.seeds]

        found = apply_to_many(part, self.draft.values, len(given), seeds)
        return {
            number: [None if image is None else _at(image, place) for image in found]
            for place, number in enumerate(numbers)
        }


def _at(x: Ref, place: int) -> Ref:
    """What stands at a place of the leading axis."""
    rest = x.shape[1:]
    part = do.slice(
        x,
        starts=(place, *[0] * len(rest)),
        stops=(place + 1, *rest),
        steps=(1,) * len(x.shape),
    )
    taken: Ref = do.reshape(part, shape=rest)
    return taken


__all__ = [
    "Differentiated",
    "MakeBuilder",
    "gradient",
    "hvp",
    "jvp",
    "scalar_output",
    "vjp",
]
