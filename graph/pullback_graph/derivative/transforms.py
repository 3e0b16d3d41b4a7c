"""Derivatives as Graph -> Graph. What is built here can be differentiated again.

Every function gives the graph's own inputs (then seeds), the graph's outputs (then derivatives).
Derivative outputs are named `d(output)/d(input)`, with `@k` after seed number k where seeds are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from pullback_graph.builder import Builder, copy_inputs, copy_values
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.linear_space import basis, filled, zeros
from pullback_graph.derivative.located import integer_output, integer_wrt, not_scalar
from pullback_graph.derivative.reverse import pull
from pullback_graph.errors import InputError, LimitExceeded
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import DType
from pullback_graph.want import DerivativeKey, Names, seed_name

MAX_JACOBIAN_SEEDS = 4096
"""Rows or columns of a Jacobian that one graph holds; more is refused, not tried."""

MAX_PASSED_NODES = 2_000_000
"""Nodes that all passes of one derivative visit together: seeds, rows or columns, times nodes."""

MakeBuilder: TypeAlias = Callable[[], Builder]


@dataclass(frozen=True, slots=True)
class Differentiated:
    """A graph with derivatives: its first `value_count` outputs are values, the rest `keys`."""

    graph: Graph
    value_count: int
    keys: tuple[DerivativeKey, ...]
    independent: Names = ()
    adjoints: int = 0


@dataclass(slots=True)
class _Draft:
    """A builder with a graph's values in it, collecting derivative outputs."""

    builder: Builder
    graph: Graph
    values: list[Ref]

    @classmethod
    def of(cls, graph: Graph, make_builder: MakeBuilder) -> _Draft:
        builder = make_builder()
        inputs = copy_inputs(builder, graph)
        return cls(builder, graph, copy_values(builder, graph, inputs))

    def seed(self, number: int, name: str, value: int) -> Ref:
        return self.builder.input(seed_name(number, name), self.values[value].type)

    def finish(
        self,
        derivatives: Sequence[tuple[DerivativeKey, Ref | None, Ref]],
        keep: Sequence[int] | None = None,
    ) -> Differentiated:
        """Build: values, then derivatives (key, array or None for zero, a value of its type)."""
        kept = range(len(self.graph.outputs)) if keep is None else keep
        outputs = [
            (self.graph.outputs[i].name, self.values[self.graph.outputs[i].value]) for i in kept
        ]
        reached = {key.input for key, ref, _ in derivatives if ref is not None}
        independent = tuple(dict.fromkeys(k.input for k, _, _ in derivatives if k.input))
        for key, ref, like in derivatives:
            outputs.append((_title(key), zeros(self.builder, like.type) if ref is None else ref))
        return Differentiated(
            graph=self.builder.build(_distinct(outputs)),
            value_count=len(kept),
            keys=tuple(key for key, _, _ in derivatives),
            independent=tuple(name for name in independent if name not in reached),
            adjoints=self.builder.adjoints_finished,
        )


def vjp(
    graph: Graph, wrt: Names, seeds: Sequence[Names], make_builder: MakeBuilder = Builder
) -> Differentiated:
    """Cotangents of `wrt` for each seed: cotangents of the outputs it names.

    Raises:
        NotDifferentiable: an output with a seed, or a `wrt`, is not floating.
        LimitExceeded: there are too many seeds for a graph of that size.
    """
    indices = _wrt_indices(graph, wrt)
    _check_passes(graph, len(seeds))
    draft = _Draft.of(graph, make_builder)
    derivatives: list[tuple[DerivativeKey, Ref | None, Ref]] = []
    for number, names in enumerate(seeds):
        cotangents: dict[int, Ref] = {}
        for name in names:
            value = graph.outputs[graph.output_index(name)].value
            if not graph.types[value].is_floating:
                raise integer_output(name, graph.types[value])
            seed = draft.seed(number, name, value)
            cotangents[value] = cotangents[value] + seed if value in cotangents else seed
        pulled = pull(draft.builder, graph, draft.values, cotangents, indices)
        for name, index, adjoint in zip(wrt, indices, pulled, strict=True):
            key = DerivativeKey(names[0] if len(names) == 1 else "", name, seed=number)
            derivatives.append((key, adjoint, draft.values[index]))
    return draft.finish(derivatives)


def gradient(
    graph: Graph, wrt: Names, output: str = "", make_builder: MakeBuilder = Builder
) -> Differentiated:
    """The gradient of one scalar output.

    Raises:
        NotDifferentiable: the output is no floating scalar, or a `wrt` is not floating.
    """
    position, name = scalar_output(graph, output)
    indices = _wrt_indices(graph, wrt)
    draft = _Draft.of(graph, make_builder)
    value = graph.outputs[position].value
    one = filled(draft.builder, draft.values[value].type, 1.0)
    pulled = pull(draft.builder, graph, draft.values, {value: one}, indices)
    return draft.finish(
        [
            (DerivativeKey(name, w), adjoint, draft.values[i])
            for w, i, adjoint in zip(wrt, indices, pulled, strict=True)
        ]
    )


def jvp(
    graph: Graph,
    seeds: Sequence[Names],
    make_builder: MakeBuilder = Builder,
    outputs: Sequence[int] | None = None,
) -> Differentiated:
    """Tangents of the outputs (all floating ones, or those at given positions) for each seed."""
    _check_passes(graph, len(seeds))
    draft = _Draft.of(graph, make_builder)
    derivatives: list[tuple[DerivativeKey, Ref | None, Ref]] = []
    for number, names in enumerate(seeds):
        indices = _wrt_indices(graph, names)
        pairs = zip(names, indices, strict=True)
        tangents = push(
            draft.builder, graph, draft.values, {i: draft.seed(number, n, i) for n, i in pairs}
        )
        for position, item in enumerate(graph.outputs):
            if outputs is not None and position not in outputs:
                continue
            if graph.types[item.value].is_floating:
                key = DerivativeKey(item.name, seed=number)
                derivatives.append((key, tangents[item.value], draft.values[item.value]))
    return draft.finish(derivatives)


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
    return _without(second, first, keys)


def jacobian(
    graph: Graph, wrt: Names, outputs: Names = (), make_builder: MakeBuilder = Builder
) -> Differentiated:
    """Jacobians of outputs by inputs, each of shape output.shape + input.shape.

    Forward mode when the inputs have fewer elements than the outputs, else reverse; the dtype is
    the output's either way.

    Raises:
        LimitExceeded: both modes need more than MAX_JACOBIAN_SEEDS seeds, or too many for a graph
            of that size.
    """
    names = outputs or tuple(o.name for o in graph.outputs if graph.types[o.value].is_floating)
    positions = [graph.output_index(name) for name in names]
    for name, position in zip(names, positions, strict=True):
        if not graph.output_type(position).is_floating:
            raise not_scalar(name, graph.output_type(position))
    indices = _wrt_indices(graph, wrt)
    draft = _Draft.of(graph, make_builder)
    columns = sum(graph.types[i].size for i in indices)
    rows = sum(graph.output_type(p).size for p in positions)
    if min(rows, columns) > MAX_JACOBIAN_SEEDS:
        raise LimitExceeded(
            f"the Jacobian has {rows} rows and {columns} columns; one of the two must be at most "
            f"{MAX_JACOBIAN_SEEDS}; ask for vjp or jvp with the seeds you need"
        )
    _check_passes(graph, min(rows, columns))
    values = [graph.outputs[p].value for p in positions]
    by_mode = _columns if columns < rows else _rows
    blocks = by_mode(draft, values, indices)
    return draft.finish(
        [
            (DerivativeKey(out, name), blocks[o][i], _block_like(draft, value, index))
            for o, (out, value) in enumerate(zip(names, values, strict=True))
            for i, (name, index) in enumerate(zip(wrt, indices, strict=True))
        ]
    )


def hessian(
    graph: Graph, wrt: Names, output: str = "", make_builder: MakeBuilder = Builder
) -> Differentiated:
    """The Hessian of one scalar output: the Jacobian of its gradient, a block per pair of `wrt`."""
    first = gradient(graph, wrt, output, make_builder)
    titles = first.graph.output_names[first.value_count :]
    second = jacobian(first.graph, wrt, titles, make_builder)
    keys = tuple(
        DerivativeKey(key.output, key.input, second_input)
        for key in first.keys
        for second_input in wrt
    )
    return _without(second, first, keys)


def scalar_output(graph: Graph, name: str) -> tuple[int, str]:
    """Position and name of the output to differentiate: the named one, or the first scalar.

    Raises:
        NotDifferentiable: it is no floating scalar.
        InputError: there is no output of that name.
    """
    position = graph.output_index(name) if name else 0
    type = graph.output_type(position)
    if type.shape != () or not type.is_floating:
        raise not_scalar(graph.outputs[position].name, type)
    return position, graph.outputs[position].name


def _wrt_indices(graph: Graph, wrt: Names) -> list[int]:
    """Numbers of the named inputs, each checked to be floating."""
    if not wrt:
        raise InputError("no input named to differentiate with respect to", field="wrt")
    if len(set(wrt)) != len(wrt):
        raise InputError(f"an input is named twice in {list(wrt)}", field="wrt")
    indices = [graph.input_index(name) for name in wrt]
    for name, index in zip(wrt, indices, strict=True):
        if not graph.types[index].is_floating:
            raise integer_wrt(graph, name)
    return indices


def _check_passes(graph: Graph, passes: int) -> None:
    """Refuse what would visit too many nodes, before the first pass."""
    if passes * len(graph.nodes) > MAX_PASSED_NODES:
        raise LimitExceeded(
            f"{passes} passes over {len(graph.nodes)} nodes; at most {MAX_PASSED_NODES} visits are "
            "made for one job: ask for fewer seeds, rows or columns at once"
        )


def _without(
    second: Differentiated, first: Differentiated, keys: tuple[DerivativeKey, ...]
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
    )


def _rows(draft: _Draft, values: list[int], indices: list[int]) -> list[list[Ref | None]]:
    """Blocks by reverse mode: one pull per element of the outputs."""
    blocks = []
    for value in values:
        type = draft.values[value].type
        unit = partial(basis, draft.builder, type)
        pulled = [
            pull(draft.builder, draft.graph, draft.values, {value: unit(k)}, indices)
            for k in range(type.size)
        ]
        blocks.append(
            [
                _cast(
                    _stacked([row[i] for row in pulled], draft.values[index], type.shape, 0),
                    type.dtype,
                )
                for i, index in enumerate(indices)
            ]
        )
    return blocks


def _columns(draft: _Draft, values: list[int], indices: list[int]) -> list[list[Ref | None]]:
    """Blocks by forward mode: one push per element of the inputs."""
    by_input = []
    for index in indices:
        type = draft.values[index].type
        unit = partial(basis, draft.builder, type)
        pushed = [
            push(draft.builder, draft.graph, draft.values, {index: unit(k)})
            for k in range(type.size)
        ]
        by_input.append(
            [
                _stacked([t[value] for t in pushed], draft.values[value], type.shape, -1)
                for value in values
            ]
        )
    return [list(column) for column in zip(*by_input, strict=True)]


def _stacked(slices: list[Ref | None], like: Ref, shape: tuple[int, ...], axis: int) -> Ref | None:
    """Slices stacked along a new first or last axis that takes `shape`; None when all are."""
    if all(item is None for item in slices):
        return None
    given = [item or zeros(like.builder, like.type) for item in slices]
    axis = axis % (len(like.shape) + 1)
    whole = shape + like.shape if axis == 0 else like.shape + shape
    stacked: Ref = do.reshape(do.stack(*given, axis=axis), shape=whole)
    return stacked


def _cast(block: Ref | None, dtype: DType) -> Ref | None:
    """A block in the output's dtype, where it came in the input's."""
    if block is None or block.dtype == dtype:
        return block
    cast: Ref = do.astype(block, dtype=dtype)
    return cast


def _block_like(draft: _Draft, value: int, index: int) -> Ref:
    """A value of a Jacobian block's type."""
    shape = draft.values[value].shape + draft.values[index].shape
    type = draft.values[value].type._replace(shape=shape)
    return zeros(draft.builder, type)


def _title(key: DerivativeKey) -> str:
    below = f"/d({key.input})" if key.input else ""
    return f"d({key.output}){below}" + (f"@{key.seed}" if key.seed else "")


def _distinct(outputs: list[tuple[str, Ref]]) -> list[tuple[str, Ref]]:
    """The same outputs with a mark added to names that come up again."""
    seen: set[str] = set()
    result = []
    for name, ref in outputs:
        while name in seen:
            name += "'"
        seen.add(name)
        result.append((name, ref))
    return result
