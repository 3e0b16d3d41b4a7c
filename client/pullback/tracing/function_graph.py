"""Runs a function on traced arrays and keeps the graph, for the next call of that kind.

Traces are kept by function, structure, static arguments, shapes and dtypes, as long as the function
lives. Captured values are frozen into the trace; see `captured_state`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from pullback.structure import Structure, flatten, joined
from pullback.tracing.apply import as_value
from pullback.tracing.arguments import Arguments, ArrayLeaf, Parameters, take_apart
from pullback.tracing.captured_state import captured_state
from pullback.tracing.location import located
from pullback.tracing.traced_array import TracedArray
from pullback.tracing.traces import Capture, Trace, active_trace, tracing
from pullback_graph.errors import PullbackError, TraceError
from pullback_graph.graph import Graph

TRACES_KEPT = 64
"""Traces kept of one function; the least recently used goes first."""


@dataclass(frozen=True, eq=False)
class FunctionGraph:
    """The graph of a function for arguments of one kind.

    Attributes:
        arguments: the structure of its arguments.
        results: the structure of its result, whose leaves are `leaves`.
        leaves: per leaf of the result, the name of the output that holds it, or None.
        static: per leaf of the result, its value where no output holds it.
        captures: values of surrounding traces that it uses; inputs of the graph too.
    """

    graph: Graph
    arguments: Structure
    results: Structure
    leaves: tuple[str | None, ...]
    static: tuple[Any, ...]
    captures: tuple[Capture, ...] = ()
    chosen: dict[Any, Any] = field(default_factory=dict, repr=False)
    """Per `wrt`, which leaves of the arguments it names: worked out once."""


def trace(function: Callable[..., Any], /, *args: Any, **keywords: Any) -> Graph:
    """The graph of `function` for arguments of these shapes and dtypes.

    Inputs are named after the parameters (nested ones by dotted path: `params.layers.0.w`), the
    output `result` (or `result.0`, ..., or the keys of a dict). Integers, strings, None and other
    values that are no arrays are part of the graph. What the function takes from around itself is
    frozen into it.

    Raises:
        TraceError: the function needs the numbers of its arguments; the message names the line.
        ShapeError, DTypeError: its operations do not fit.
    """
    parameters = Parameters(function)
    made = trace_function(function, parameters, take_apart(parameters.bind(args, keywords)))
    if made.captures:
        raise TraceError(
            f"{_name(function)} uses {made.captures[0].value!r} of the function traced around it; "
            "pass it as an argument"
        )
    return made.graph


def trace_function(
    function: Callable[..., Any], parameters: Parameters, arguments: Arguments
) -> FunctionGraph:
    """The graph for a call's arguments, traced now or before.

    Raises:
        TraceError, ShapeError, DTypeError: as in `trace`.
    """
    try:
        kept = _traces_of(function)
    except TypeError:  # neither hashable nor weakly referable
        return _traced(function, parameters, arguments)
    key = (arguments.structure, arguments.leaves, captured_state(function))
    with _lock:
        found = kept.get(key)
        if found is not None:
            kept.move_to_end(key)
            return found
    made = _traced(function, parameters, arguments)
    if not made.captures:
        with _lock:
            kept[key] = made
            while len(kept) > TRACES_KEPT:
                kept.popitem(last=False)
    return made


_Kept = OrderedDict[Any, FunctionGraph]
_traces: WeakKeyDictionary[Callable[..., Any], _Kept] = WeakKeyDictionary()
_lock = threading.Lock()


def _traces_of(function: Callable[..., Any]) -> _Kept:
    with _lock:
        kept = _traces.get(function)
        if kept is None:
            kept = _traces[function] = OrderedDict()
        return kept


def _traced(
    function: Callable[..., Any], parameters: Parameters, arguments: Arguments
) -> FunctionGraph:
    """Run the function on traced arrays."""
    outermost = active_trace() is None
    try:
        with tracing() as own:
            bound = arguments.structure.unflatten(_traced_leaves(own, arguments))
            result = parameters.call(function, bound)
            return _graph_of(own, arguments, result, _name(function))
    except PullbackError as error:
        if outermost:
            raise located(error, error.__traceback__) from error.__cause__
        raise
    except (TypeError, ValueError) as error:  # what NumPy makes of ours when it asks for numbers
        if isinstance(error.__cause__, TraceError):
            raise located(error.__cause__, error.__traceback__) from None
        raise


def _traced_leaves(own: Trace, arguments: Arguments) -> list[Any]:
    return [
        TracedArray(own, own.builder.input(name, leaf.type), weak=leaf.weak)
        if type(leaf) is ArrayLeaf
        else value
        for name, leaf, value in zip(
            arguments.names, arguments.leaves, arguments.values, strict=True
        )
    ]


def _graph_of(own: Trace, arguments: Arguments, result: Any, function: str) -> FunctionGraph:
    leaves, structure = flatten(result)
    names = _result_names(structure)
    outputs, held, static = [], [], []
    for name, leaf in zip(names, leaves, strict=True):
        is_array = _is_array(leaf)
        if is_array:
            outputs.append((name, as_value(leaf)))
        held.append(name if is_array else None)
        static.append(None if is_array else leaf)
    if not outputs:
        raise TraceError(f"{function} returned no array but {result!r}; return what it computes")
    graph = own.build(outputs)
    return FunctionGraph(
        graph, arguments.structure, structure, tuple(held), tuple(static), tuple(own.captures)
    )


def _result_names(structure: Structure) -> list[str]:
    """`result`, or the path below it; a dict's and a dataclass's own names stand by themselves."""
    by_position = structure.kind in (None, tuple, list)
    return [joined("result" if by_position else "", path) for path in structure.paths]


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, bool | int | float | complex):
        return True
    return hasattr(leaf, "__array__") and not isinstance(leaf, type)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
