"""Bodies of loops and branches: Python functions run once on traced arrays, as graphs.

What a body takes from the traces around it becomes a constant operand of the loop, first among its
operands. Plain arrays that it takes from around itself become constants of its graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pullback.structure import Structure, flatten, joined
from pullback.tracing.apply import Value, as_value, cast, is_traced
from pullback.tracing.location import located
from pullback.tracing.traced_array import TracedArray
from pullback.tracing.traces import Trace, active_trace, tracing
from pullback_graph.builder import Builder, copy_values
from pullback_graph.errors import PullbackError, TraceError
from pullback_graph.graph import Graph
from pullback_graph.types import ArrayType, DType

Named = tuple[str, Value]


class Leaf(NamedTuple):
    """A leaf of what a body is given: an array's type, or (None) a value that stays what it is."""

    path: str
    type: ArrayType | None
    weak: bool
    value: Any

    @property
    def dtype(self) -> DType:
        """The dtype of an array."""
        assert self.type is not None, "not an array"
        return self.type.dtype


class Body(NamedTuple):
    """A traced body: its graph takes the captures, then what it is given.

    Attributes:
        captures: values of the traces around it.
        results: the structure of what the function returned.
        leaves: the leaves of that: a name of an output, or a value that is no array.
    """

    graph: Graph
    captures: tuple[TracedArray, ...]
    results: Structure
    leaves: tuple[Any, ...]


class Held(NamedTuple):
    """In the leaves of a body's result: the number of the output that holds this one."""

    output: int


Finish = Callable[[list[Any], Structure], list[Any]]
"""Leaves of a body's result and its structure -> the leaves as they should be."""


def leaves_of(tree: Any, what: str) -> tuple[list[Leaf], list[Any], Structure]:
    """The leaves of arguments: arrays, numbers and traced arrays are arrays, None stays None.

    Returns:
        The leaves, the arrays among them as operands (None for the others), and the structure.
    """
    values, structure = flatten(tree)
    leaves: list[Leaf] = []
    arrays: list[Any] = []
    for path, value in zip(structure.paths, values, strict=True):
        path = joined(what, path)
        if is_array(value):
            array = as_value(value)
            array = np.asarray(array) if isinstance(array, np.generic) else array
            leaves.append(
                Leaf(path, ArrayType(array.dtype, tuple(array.shape)), _weak(value), None)
            )
            arrays.append(array)
        else:
            leaves.append(Leaf(path, None, False, value))
            arrays.append(None)
    return leaves, arrays, structure


def is_array(value: Any) -> bool:
    """Whether a leaf is carried along as an array: numbers are."""
    if isinstance(value, bool | int | float | TracedArray | np.ndarray | np.generic):
        return True
    return hasattr(value, "__array__") and not isinstance(value, type)


def trace_body(
    function: Callable[..., Any],
    arguments: Sequence[tuple[Sequence[Leaf], Structure]],
    finish: Finish = lambda leaves, _: leaves,
) -> Body:
    """Run a function on traced arrays in the place of its arguments' leaves.

    Args:
        arguments: leaves and structure of each.
        finish: what becomes of the leaves of its result, while they can be cast.

    Raises:
        TraceError: it needs the numbers of its arguments, or returns no array.
    """
    outermost = active_trace() is None
    try:
        with tracing() as own:
            given = [_argument(own, *argument) for argument in arguments]
            leaves, structure = flatten(function(*given))
            leaves = finish(leaves, structure)
            outputs = [(f"r{i}", as_value(leaf)) for i, leaf in enumerate(leaves) if is_array(leaf)]
            if not outputs:
                raise TraceError(f"{named(function)} returns no array; return what it computes")
            graph = own.build(outputs)
    except PullbackError as error:
        if outermost:
            raise located(error, error.__traceback__) from error.__cause__
        raise
    captures = [capture.value for capture in own.captures]
    count = sum([leaf.type is not None for leaves_, _ in arguments for leaf in leaves_])
    places = iter(range(len(outputs)))
    held = tuple([Held(next(places)) if is_array(leaf) else leaf for leaf in leaves])
    return Body(_captures_first(graph, count), tuple(captures), structure, held)


def _argument(own: Trace, leaves: Sequence[Leaf], structure: Structure) -> Any:
    return structure.unflatten([_traced(own, leaf) for leaf in leaves])


def _traced(own: Trace, leaf: Leaf) -> Any:
    if leaf.type is None:
        return leaf.value
    weak = leaf.weak and leaf.dtype.kind in "fc"
    return TracedArray(own, own.builder.input(leaf.path, leaf.type), weak=weak)


def _captures_first(graph: Graph, count: int) -> Graph:
    """The graph with its inputs from `count` on before the others."""
    order = [*range(count, len(graph.inputs)), *range(count)]
    return _with_inputs(graph, [(*graph.inputs[i], i) for i in order])


def sharing_captures(bodies: Sequence[Body]) -> tuple[list[Graph], list[TracedArray]]:
    """Graphs that all take the captures of all bodies first, and those captures."""
    shared: dict[tuple[int, int], TracedArray] = {}
    for body in bodies:
        for value in body.captures:
            shared.setdefault((id(value.owner), value.ref.index), value)
    keys = list(shared)
    graphs = []
    for body in bodies:
        own = [keys.index((id(value.owner), value.ref.index)) for value in body.captures]
        wanted = [
            (f"captured:{k}", value.ref.type, own.index(k) if k in own else -1)
            for k, value in enumerate(shared.values())
        ]
        wanted += [(*item, i) for i, item in enumerate(body.graph.inputs) if i >= len(own)]
        graphs.append(_with_inputs(body.graph, wanted))
    return graphs, list(shared.values())


def _with_inputs(graph: Graph, wanted: Sequence[tuple[str, ArrayType, int]]) -> Graph:
    """The graph with other inputs: name, type, and which of its own each is (-1: none)."""
    builder = Builder()
    refs = {old: builder.input(name, type) for name, type, old in wanted}
    values = copy_values(builder, graph, [refs[i] for i in range(len(graph.inputs))])
    return builder.build([(item.name, values[item.value]) for item in graph.outputs], prune=False)


def result_of(body: Body, arrays: Sequence[Any]) -> Any:
    """What the function returned, of the arrays that its outputs became."""
    leaves = [arrays[leaf.output] if isinstance(leaf, Held) else leaf for leaf in body.leaves]
    return body.results.unflatten(leaves)


def like(value: Any, dtype: DType) -> Value:
    """A weak value in a dtype; any other as it is."""
    return cast(as_value(value), dtype) if _weak(value) else as_value(value)


def type_text(value: Any) -> str:
    """The type of a leaf, for messages."""
    if not is_array(value):
        return repr(value)
    array = as_value(value)
    return str(ArrayType(array.dtype, tuple(array.shape)))


def is_weak(value: Any) -> bool:
    """Whether a leaf takes the dtype of what stands beside it."""
    return _weak(value)


def _weak(value: Any) -> bool:
    if is_traced(value):
        return bool(value.weak)
    return isinstance(value, bool | int | float | complex) and not isinstance(value, np.generic)


def named(function: Callable[..., Any]) -> str:
    """The function's name, for messages."""
    return getattr(function, "__qualname__", None) or repr(function)
