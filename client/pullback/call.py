"""One derivative at one call of a function: what to ask of a service, and how to read its answer.

Nothing here runs anything: a `Call` is a job, and how its result takes the structure users know.
A call whose arguments are traced asks nobody: its derivative goes into the trace around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from pullback.structure import LEAF, Structure, flatten
from pullback.tracing.apply import as_value, cast, is_traced
from pullback.tracing.arguments import Arguments, ArrayLeaf, Parameters, take_apart
from pullback.tracing.function_graph import FunctionGraph, trace_function
from pullback.tracing.traced_array import TracedArray
from pullback.tracing.traces import active_trace
from pullback_graph.derivative import lower
from pullback_graph.errors import InputError, NotDifferentiable, TraceError
from pullback_graph.graph import Graph
from pullback_graph.job import Result
from pullback_graph.types import ArrayType
from pullback_graph.want import DerivativeKey, Want, seed_name

Wrt: TypeAlias = "str | int | Sequence[str | int] | None"
"""Which arguments: a name (dotted below a parameter), a position, several; None: the first."""
Arrays: TypeAlias = Mapping[str, Any]
Derivatives: TypeAlias = Mapping[DerivativeKey, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A job to run, and how to give its result to the user.

    Attributes:
        finish: outputs by name, and derivatives by key -> what the user's call returns.
    """

    graph: Graph
    inputs: Arrays
    want: Want
    seeds: tuple[Arrays, ...]
    finish: Callable[[Arrays, Derivatives], Any]

    @property
    def is_traced(self) -> bool:
        """Whether an argument belongs to a trace under way, so that this goes there."""
        return any([is_traced(*arrays.values()) for arrays in (self.inputs, *self.seeds)])

    def answer(self, result: Result) -> Any:
        """What the user's call returns, from what a service answered."""
        return self.finish(
            {name: _number(array) for name, array in result.outputs.items()},
            {key: _number(array) for key, array in result.derivatives.items()},
        )

    def inline(self) -> Any:
        """What the user's call returns, computed in the active trace.

        Raises:
            TraceError: there is none.
            InputError: a sparse derivative is wanted, which is no array that a trace could hold.
        """
        if self.want.features:
            raise InputError(
                "a sparse derivative cannot go into a trace; ask for it outside the traced "
                "function, or without sparse=True",
                field="sparse",
            )
        trace = active_trace()
        if trace is None:
            raise TraceError("a traced value is used outside the function it was traced in")
        lowered = lower(self.graph, self.want)
        inputs = dict(self.inputs)
        for number, seed in enumerate(self.seeds):
            inputs.update({seed_name(number, name): value for name, value in seed.items()})
        refs = trace.inline(lowered.graph, {name: as_value(x) for name, x in inputs.items()})
        arrays = [TracedArray(trace, ref) for ref in refs]
        values, derivatives = arrays[: lowered.value_count], arrays[lowered.value_count :]
        return self.finish(
            dict(zip(lowered.graph.output_names, values, strict=False)),
            dict(zip(lowered.derivatives, derivatives, strict=True)),
        )


@dataclass(frozen=True)
class Point:
    """A traced function at the arguments of one call, and those it is differentiated by.

    Attributes:
        wrt: the structure of the chosen arguments.
        places: the leaves of the arguments that they are.
    """

    traced: FunctionGraph
    arguments: Arguments
    wrt: Structure
    places: tuple[int, ...]

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Arrays by input name, those captured from a surrounding trace too."""
        return {**self.arguments.inputs, **dict(self.traced.captures)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The inputs to differentiate by.

        Raises:
            NotDifferentiable: none of the chosen arguments is an array.
        """
        leaves, paths = self.arguments.leaves, self.arguments.names
        chosen = tuple([paths[i] for i in self.places if type(leaves[i]) is ArrayLeaf])
        if not chosen:
            values = [self.arguments.values[i] for i in self.places]
            shown = values[0] if len(values) == 1 else values
            raise NotDifferentiable(
                f"argument {paths[self.places[0]]!r} is {shown!r}, which is no floating array; "
                "pass a float (2.0 for 2) or an array of them"
                if self.places
                else "the argument to differentiate by holds nothing",
                field="wrt",
            )
        return chosen

    @cached_property
    def wrt_types(self) -> list[tuple[str, ArrayType] | None]:
        """Per leaf of the chosen arguments: input name and type, or None for a static value."""
        leaves, paths = self.arguments.leaves, self.arguments.names
        return [
            (paths[i], leaf.type) if isinstance(leaf := leaves[i], ArrayLeaf) else None
            for i in self.places
        ]

    @cached_property
    def result_types(self) -> list[tuple[str, ArrayType] | None]:
        """Per leaf of the result: output name and type, or None where it carries no derivative."""
        graph = self.traced.graph
        types = {o.name: graph.types[o.value] for o in graph.outputs}
        return [
            (name, types[name]) if name is not None and types[name].is_floating else None
            for name in self.traced.leaves
        ]

    def like_wrt(self, arrays: Arrays) -> Any:
        """Arrays by input name in the structure of the chosen arguments; static values stay."""
        names, values = self.arguments.names, self.arguments.values
        return self.wrt.unflatten([arrays.get(names[i], values[i]) for i in self.places])

    def result(self, outputs: Arrays) -> Any:
        """What the function returns, of outputs by name."""
        traced = self.traced
        leaves = zip(traced.leaves, traced.static, strict=True)
        return traced.results.unflatten(
            [value if name is None else outputs[name] for name, value in leaves]
        )

    def like_result(self, value_of: Callable[[str], Any]) -> Any:
        """The result's structure with a value per output that carries derivatives, else None."""
        return self.traced.results.unflatten(
            [None if item is None else value_of(item[0]) for item in self.result_types]
        )

    def scalar_output(self, has_aux: bool) -> str:
        """The name of the output whose gradient is taken.

        Raises:
            TraceError: the function returns something else than a value (and, if so said, more).
        """
        structure = self.traced.results
        if has_aux:
            if structure.kind is not tuple or len(structure.children) != 2:
                raise TraceError("with has_aux=True the function must return (value, aux)")
            structure = structure.children[0]
        if structure != LEAF or self.traced.leaves[0] is None:
            raise TraceError(
                "the function must return one array"
                + (" and what goes with it" if has_aux else "; for (value, aux) say has_aux=True")
            )
        return self.traced.leaves[0]

    def call(
        self,
        want: Want,
        finish: Callable[[Arrays, Derivatives], Any],
        seeds: tuple[Arrays, ...] = (),
    ) -> Call:
        """The job for this point."""
        return Call(self.traced.graph, self.inputs, want, seeds, finish)


def at_point(
    function: Callable[..., Any],
    parameters: Parameters,
    args: Sequence[Any],
    keywords: Mapping[str, Any],
    wrt: Wrt,
) -> Point:
    """The function traced at a call's arguments, and the arguments chosen.

    Raises:
        TraceError, ShapeError, DTypeError: as in `trace`.
        InputError: there is no such argument.
    """
    bound = parameters.bind(args, keywords)
    arguments = take_apart(bound)
    traced = trace_function(function, parameters, arguments)
    several = isinstance(wrt, Sequence) and not isinstance(wrt, str)
    key = tuple(wrt) if several else wrt  # type: ignore[arg-type]  # it is a sequence then
    if key not in traced.chosen:
        traced.chosen[key] = _chosen(key, parameters, bound, arguments)
    structure, places = traced.chosen[key]
    return Point(traced, arguments, structure, places)


def seed_arrays(
    what: str, tree: Any, structure: Structure, places: Sequence[tuple[str, ArrayType] | None]
) -> dict[str, Any]:
    """A tangent or cotangent as the user writes it, as arrays by name.

    Raises:
        InputError: its structure or a shape is not that of what it belongs to.
    """
    leaves, given = flatten(tree)
    if given.paths != structure.paths:
        raise InputError(
            f"the {what} must be structured as {list(structure.paths)}, got {list(given.paths)}",
            field=what,
        )
    arrays = {}
    for leaf, place in zip(leaves, places, strict=True):
        if place is None or leaf is None:
            continue
        name, type = place
        value = cast(as_value(leaf), type.dtype)
        if value.shape != type.shape:
            raise InputError(
                f"the {what} of {name!r} has shape {value.shape}, it needs {type.shape}", field=what
            )
        arrays[name] = np.asarray(value) if isinstance(value, np.generic) else value
    return arrays


def _chosen(
    wrt: Any, parameters: Parameters, bound: Mapping[str, Any], arguments: Arguments
) -> tuple[Structure, tuple[int, ...]]:
    """The structure of the arguments that `wrt` names, and which leaves they are."""
    if isinstance(wrt, tuple):
        parts = [_chosen(item, parameters, bound, arguments) for item in wrt]
        whole = Structure(tuple, tuple(range(len(parts))), tuple([part for part, _ in parts]))
        return whole, tuple([place for _, own in parts for place in own])
    name = wrt if isinstance(wrt, str) else parameters.name_at(wrt or 0, bound)
    try:
        structure, first = arguments.structure.at(name)
    except InputError as error:
        raise InputError(f"wrt={wrt!r}: {error.message}", field="wrt") from None
    return structure, tuple(range(first, first + structure.leaf_count))


def _number(array: Any) -> Any:
    """A 0-d array as a NumPy scalar, as NumPy has it."""
    return array[()] if isinstance(array, np.ndarray) and not array.ndim else array
