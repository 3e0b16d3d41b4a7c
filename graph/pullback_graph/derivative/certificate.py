"""The certificate of a derivative: <v, J u> by forward mode against <J' v, u> by reverse mode.

Both are outputs of the one graph that computes the job, on the very derivatives that are returned:
a derivative that one mode got wrong shows as two numbers that differ. Directions that the job does
not give are inputs, drawn at random by whoever runs it (`draw`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.builder import Builder, copy_inputs, copy_values
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.linear_space import filled, zeros
from pullback_graph.derivative.reverse import pull
from pullback_graph.derivative.transforms import (
    Differentiated,
    MakeBuilder,
    gradient,
    scalar_output,
)
from pullback_graph.errors import InputError
from pullback_graph.graph import Graph
from pullback_graph.pattern import Pattern
from pullback_graph.ref import Ref, do
from pullback_graph.types import COMPLEX128, ArrayType
from pullback_graph.want import (
    Gradient,
    Hessian,
    Hvp,
    Jacobian,
    Jvp,
    Names,
    Value,
    Vjp,
    Want,
    seed_name,
)

OUTPUTS = ("certificate:pushed", "certificate:pulled", "certificate:scale")
"""The outputs it adds, after all others: <v, J u>, <J' v, u>, and |v| |J u|."""

Vectors = Mapping[str, Ref]


class Certified(NamedTuple):
    """A differentiated graph with the certificate's outputs, and the directions it takes."""

    made: Differentiated
    directions: Names


@dataclass(frozen=True, slots=True)
class _Linear:
    """The function whose Jacobian J is: a graph in a builder, and the names of both its sides."""

    graph: Graph
    values: Sequence[Ref]
    inputs: Names
    outputs: Names

    def pushed(self, tangents: Vectors) -> dict[str, Ref]:
        """J u, an array an output."""
        builder = self.values[0].builder
        seeds = {self.graph.input_index(name): tangents[name] for name in self.inputs}
        found = push(builder, self.graph, self.values, seeds)
        numbers = {name: self._number(name) for name in self.outputs}
        return {n: found[i] or zeros(builder, self.values[i].type) for n, i in numbers.items()}

    def pulled(self, cotangents: Vectors) -> dict[str, Ref]:
        """J' v, an array an input."""
        builder = self.values[0].builder
        seeds: dict[int, Ref] = {}
        for name in self.outputs:
            number = self._number(name)
            seed = cotangents[name]
            seeds[number] = seeds[number] + seed if number in seeds else seed
        wrt = [self.graph.input_index(name) for name in self.inputs]
        found = pull(builder, self.graph, self.values, seeds, wrt)
        return {
            name: ref or zeros(builder, self.values[i].type)
            for name, i, ref in zip(self.inputs, wrt, found, strict=True)
        }

    def _number(self, output: str) -> int:
        return self.graph.outputs[self.graph.output_index(output)].value


def certified(
    graph: Graph, want: Want, made: Differentiated, make_builder: MakeBuilder
) -> Certified:
    """`made`, which computes `want` of `graph`, with the certificate of its derivatives.

    Raises:
        InputError: a value was wanted, and no derivative.
    """
    if isinstance(want, Value):
        raise InputError(
            "a certificate is of a derivative; ask for one, or leave the certificate out",
            field="options.certificate",
        )
    builder = make_builder()
    draft = _Draft(
        builder, made, copy_values(builder, made.graph, copy_inputs(builder, made.graph))
    )
    pushed, pulled, scale = draft.compare(graph, want)
    outputs = [(item.name, draft.values[item.value]) for item in made.graph.outputs]
    outputs += zip(OUTPUTS, (pushed, pulled, scale), strict=True)
    whole = Differentiated(
        graph=builder.build(outputs),
        value_count=made.value_count,
        keys=made.keys,
        independent=made.independent,
        adjoints=made.adjoints,
        mode=made.mode,
        patterns=made.patterns,
    )
    return Certified(whole, tuple(draft.directions))


def draw(type: ArrayType, seed: int) -> np.ndarray[Any, Any]:
    """A direction: standard normal (in each part), the same for the same type and seed."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal(type.shape)
    if type.is_complex:
        parts = parts + 1j * rng.standard_normal(type.shape)
    return np.asarray(parts, type.dtype)


def relative_error(pushed: float, pulled: float, scale: float) -> float:
    """How far the two numbers are apart, relative to the size of what they were summed from."""
    if pushed == pulled:
        return 0.0
    return abs(pushed - pulled) / scale if scale else float("inf")


class _Draft:
    """The derivative's graph in a builder, and the directions asked for so far."""

    def __init__(self, builder: Builder, made: Differentiated, values: list[Ref]) -> None:
        self.builder = builder
        self.made = made
        self.values = values
        self.directions: list[str] = []

    def compare(self, graph: Graph, want: Want) -> tuple[Ref, Ref, Ref]:
        """<v, J u>, <J' v, u>, and |v| |J u|, with what was wanted on one of the sides."""
        function = self._function(graph, want)
        match want:
            case Gradient(wrt):
                ones = [self._one(function.graph, name) for name in function.outputs]
                v, u = (
                    dict(zip(function.outputs, ones, strict=True)),
                    self._random(function.graph, wrt),
                )
                return _sides(v, function.pushed(u), self._found(0, wrt), u)
            case Vjp(wrt):
                v, u = self._seeds(function.outputs), self._random(function.graph, wrt)
                return _sides(v, function.pushed(u), self._found(0, wrt), u)
            case Jvp() | Hvp():
                u, v = self._seeds(function.inputs), self._random_out(function)
                found = dict(zip(function.outputs, self._derivatives(0), strict=True))
                return _sides(v, found, function.pulled(v), u)
            case _:
                u, v = self._random(function.graph, function.inputs), self._random_out(function)
                return self._contracted(function, u, v)

    def _function(self, graph: Graph, want: Want) -> _Linear:
        """What is differentiated last: the graph itself, or its gradient."""
        if isinstance(want, Hvp | Hessian):
            first = gradient(graph, want.wrt, want.output)
            names = first.graph.output_names[first.value_count :]
            inputs = want.seeds[0] if isinstance(want, Hvp) else want.wrt
            return self._linear(first.graph, inputs, names)
        if isinstance(want, Gradient):
            return self._linear(graph, want.wrt, (scalar_output(graph, want.output)[1],))
        if isinstance(want, Vjp):
            return self._linear(graph, want.wrt, want.seeds[0])
        floating = tuple([o.name for o in graph.outputs if graph.types[o.value].is_floating])
        if isinstance(want, Jvp):
            return self._linear(graph, want.seeds[0], floating)
        assert isinstance(want, Jacobian)
        return self._linear(graph, want.wrt, want.outputs or floating)

    def _linear(self, graph: Graph, inputs: Names, outputs: Names) -> _Linear:
        given = [self._input(item.name, item.type) for item in graph.inputs]
        return _Linear(graph, copy_values(self.builder, graph, given), inputs, outputs)

    def _input(self, name: str, type: ArrayType) -> Ref:
        """The input of that name, added where it is not there yet."""
        names = self.made.graph.input_names
        if name in names:
            return self.values[names.index(name)]
        self.directions.append(name)
        return self.builder.input(name, type)

    def _random(self, graph: Graph, names: Names) -> dict[str, Ref]:
        types = {item.name: item.type for item in graph.inputs}
        return {name: self._input(f"direction:{name}", types[name]) for name in names}

    def _random_out(self, function: _Linear) -> dict[str, Ref]:
        graph = function.graph
        types = {name: graph.output_type(graph.output_index(name)) for name in function.outputs}
        return {name: self._input(f"codirection:{name}", types[name]) for name in function.outputs}

    def _seeds(self, names: Names) -> dict[str, Ref]:
        graph = self.made.graph
        return {name: self.values[graph.input_index(seed_name(0, name))] for name in names}

    def _one(self, graph: Graph, output: str) -> Ref:
        return filled(self.builder, graph.output_type(graph.output_index(output)), 1.0)

    def _derivatives(self, seed: int) -> list[Ref]:
        outputs = self.made.graph.outputs[self.made.value_count :]
        pairs = zip(self.made.keys, outputs, strict=True)
        return [self.values[item.value] for key, item in pairs if key.seed == seed]

    def _found(self, seed: int, names: Names) -> dict[str, Ref]:
        return dict(zip(names, self._derivatives(seed), strict=True))

    def _contracted(self, function: _Linear, u: Vectors, v: Vectors) -> tuple[Ref, Ref, Ref]:
        """<v, J u> by forward mode against reverse mode or the blocks, whichever is further."""
        blocks, patterns = iter(self._derivatives(0)), iter(self.made.patterns)
        given = None
        for output in function.outputs:
            for name in function.inputs:
                block, left, right = next(blocks), _flat(v[output]), _flat(u[name])
                dtype = COMPLEX128 if block.type.is_complex else left.dtype
                block, left, right = (_to(x, dtype) for x in (block, left, right))
                if self.made.patterns:
                    image = _sparse_times(next(patterns), block, right)
                else:
                    matrix = do.reshape(block, shape=(left.shape[0], right.shape[0]))
                    image = do.matmul(matrix, right)
                part = _inner(_parts(left, 1.0), _parts(image, -1.0))
                given = part if given is None else given + part
        assert given is not None, "a Jacobian has a block"
        pushed, pulled, scale = _sides(v, function.pushed(u), function.pulled(v), u)
        further = do.abs(given - pushed) > do.abs(pulled - pushed)
        return pushed, do.where(further, given, pulled), scale


def _sparse_times(pattern: Pattern, values: Ref, x: Ref) -> Ref:
    """A sparse matrix times a vector."""
    rows, columns = (values.builder.constant(i) for i in (pattern.rows, pattern.columns))
    terms = values * do.take(x, columns, axis=0)
    shape = (pattern.shape[0],)
    product: Ref = do.ungather(rows, terms, shape=shape, axes=(0,), counts=(1,))
    return product


def _sides(v: Vectors, pushed: Vectors, pulled: Vectors, u: Vectors) -> tuple[Ref, Ref, Ref]:
    forward, scale = _joined(v, pushed)
    return forward, _joined(u, pulled)[0], scale


def _joined(x: Vectors, y: Vectors) -> tuple[Ref, Ref]:
    """<x, y> and the sum of |x| |y|, over all arrays, in float64.

    Of complex arrays <x, y> is the real part of the sum of products, without a conjugate.
    """
    inner = scale = None
    for name, own in x.items():
        left, right = _double(_parts(own, 1.0)), _double(_parts(y[name], -1.0))
        part, size = _inner(left, right), _norm(left) * _norm(right)
        inner = part if inner is None else inner + part
        scale = size if scale is None else scale + size
    assert inner is not None, "a derivative has two sides"
    assert scale is not None, "a derivative has two sides"
    return inner, scale


def _inner(x: Ref, y: Ref) -> Ref:
    result: Ref = do.sum(_double(x) * _double(y), axes=(0,), keepdims=False)
    return result


def _norm(x: Ref) -> Ref:
    result: Ref = do.sqrt(do.sum(x * x, axes=(0,), keepdims=False))
    return result


def _parts(x: Ref, sign: float) -> Ref:
    """The elements as one axis; of a complex array its real parts, then `sign` times the others."""
    if not x.type.is_complex:
        return _flat(x)
    parts: Ref = do.concat(_flat(do.real(x)), sign * _flat(do.imag(x)), axis=0)
    return parts


def _flat(x: Ref) -> Ref:
    flat: Ref = do.reshape(x, shape=(x.type.size,))
    return flat


def _double(x: Ref) -> Ref:
    return _to(x, np.dtype(np.float64))


def _to(x: Ref, dtype: np.dtype[Any]) -> Ref:
    if x.dtype == dtype:
        return x
    cast: Ref = do.astype(x, dtype=dtype)
    return cast
