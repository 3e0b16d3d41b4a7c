"""A derivative under construction: a builder with a graph's values in it, and what comes of it.

Every derivative gives the graph's own inputs (then seeds), the graph's outputs (then derivatives).
Derivative outputs are named `d(output)/d(input)`, with `@k` after seed number k where seeds are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pullback_graph.builder import Builder, copy_inputs, copy_values, distinct
from pullback_graph.derivative.linear_space import zeros
from pullback_graph.derivative.located import integer_wrt, not_scalar
from pullback_graph.errors import InputError
from pullback_graph.graph import Graph
from pullback_graph.pattern import Pattern
from pullback_graph.ref import Ref
from pullback_graph.types import ArrayType
from pullback_graph.want import DerivativeKey, Names, seed_name

MakeBuilder: TypeAlias = Callable[[], Builder]


@dataclass(frozen=True, slots=True)
class Mode:
    """How a derivative is computed, and why so.

    Attributes:
        name: `forward`, `reverse`, `forward over reverse`, `sparse forward`, ...; empty for values.
        reason: in words, with the numbers that decided.
    """

    name: str
    reason: str


VALUES = Mode("", "")
"""Of a graph that holds no derivative."""


@dataclass(frozen=True, slots=True)
class Differentiated:
    """A graph with derivatives: its first `value_count` outputs are values, the rest `keys`.

    Attributes:
        patterns: of sparse derivatives, whose outputs are the values at their places; else empty.
    """

    graph: Graph
    value_count: int
    keys: tuple[DerivativeKey, ...]
    independent: Names = ()
    adjoints: int = 0
    mode: Mode = VALUES
    patterns: tuple[Pattern, ...] = ()


@dataclass(slots=True)
class Derivative:
    """One derivative output: which it is, the array (None for zero), and its type."""

    key: DerivativeKey
    ref: Ref | None
    type: ArrayType


@dataclass(slots=True)
class Draft:
    """A builder with a graph's values in it, collecting derivative outputs."""

    builder: Builder
    graph: Graph
    values: list[Ref]

    @classmethod
    def of(cls, graph: Graph, make_builder: MakeBuilder) -> Draft:
        """The graph copied into a new builder."""
        builder = make_builder()
        inputs = copy_inputs(builder, graph)
        return cls(builder, graph, copy_values(builder, graph, inputs))

    def seed(self, number: int, name: str, value: int) -> Ref:
        """The input that brings seed `number` for a value."""
        return self.builder.input(seed_name(number, name), self.values[value].type)

    def finish(
        self,
        derivatives: Sequence[Derivative],
        mode: Mode,
        keep: Sequence[int] | None = None,
        patterns: tuple[Pattern, ...] = (),
    ) -> Differentiated:
        """Build: the values at positions `keep` (all where None), then the derivatives."""
        kept = range(len(self.graph.outputs)) if keep is None else keep
        outputs = [
            (self.graph.outputs[i].name, self.values[self.graph.outputs[i].value]) for i in kept
        ]
        reached = {item.key.input for item in derivatives if item.ref is not None}
        named = tuple(dict.fromkeys(item.key.input for item in derivatives if item.key.input))
        zero = {
            type: zeros(self.builder, type)
            for type in dict.fromkeys(item.type for item in derivatives if item.ref is None)
        }
        outputs += [
            (item.key.title, zero[item.type] if item.ref is None else item.ref)
            for item in derivatives
        ]
        names, refs = distinct([name for name, _ in outputs]), [ref for _, ref in outputs]
        return Differentiated(
            graph=self.builder.build(zip(names, refs, strict=True)),
            value_count=len(kept),
            keys=tuple(item.key for item in derivatives),
            independent=tuple(name for name in named if name not in reached),
            adjoints=self.builder.adjoints_finished,
            mode=mode,
            patterns=patterns,
        )


def wrt_indices(graph: Graph, wrt: Names) -> list[int]:
    """Numbers of the named inputs, each checked to be floating.

    Raises:
        InputError: none is named, or one twice, or there is none of that name.
        NotDifferentiable: one is not floating.
    """
    if not wrt:
        raise InputError("no input named to differentiate with respect to", field="wrt")
    if len(set(wrt)) != len(wrt):
        raise InputError(f"an input is named twice in {list(wrt)}", field="wrt")
    indices = [graph.input_index(name) for name in wrt]
    for name, index in zip(wrt, indices, strict=True):
        if not graph.types[index].is_floating:
            raise integer_wrt(graph, name)
    return indices


def scalar_output(graph: Graph, name: str) -> tuple[int, str]:
    """Position and name of the output to differentiate: the named one, or the first scalar.

    Raises:
        NotDifferentiable: it is no real floating scalar.
        InputError: there is no output of that name.
    """
    position = graph.output_index(name) if name else 0
    type = graph.output_type(position)
    if type.shape != () or not type.is_floating or type.is_complex:
        raise not_scalar(graph.outputs[position].name, type)
    return position, graph.outputs[position].name


def without_first(
    second: Differentiated, first: Differentiated, keys: tuple[DerivativeKey, ...], mode: Mode
) -> Differentiated:
    """`second` without the first derivatives among its values, nor what only they needed."""
    graph, builder = second.graph, Builder()
    values = copy_values(builder, graph, copy_inputs(builder, graph))
    outputs = graph.outputs[: first.value_count] + graph.outputs[second.value_count :]
    return Differentiated(
        graph=builder.build([(item.name, values[item.value]) for item in outputs]),
        value_count=first.value_count,
        keys=keys,
        independent=first.independent,
        adjoints=first.adjoints + second.adjoints,
        mode=mode,
        patterns=second.patterns,
    )
