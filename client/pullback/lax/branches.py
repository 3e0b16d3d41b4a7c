"""Branches: `cond` and `switch`. Only the branch that is chosen runs.

Where the choice is a plain number, the branch is called at once; where it is traced, all branches
are traced and the graph chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.lax.bodies import (
    Body,
    is_array,
    is_weak,
    leaves_of,
    named,
    result_of,
    sharing_captures,
    trace_body,
    type_text,
)
from pullback.structure import Structure
from pullback.tracing.apply import apply, as_value, cast, is_traced
from pullback.tracing.promotion import common, kind_of
from pullback_graph.errors import DTypeError, InputError, ShapeError, TraceError
from pullback_graph.types import BOOL, ArrayType, DType, as_dtype

Function = Callable[..., Any]


def cond(pred: Any, true_fn: Function, false_fn: Function, *operands: Any) -> Any:
    """`true_fn(*operands)` where `pred` is true, else `false_fn(*operands)`.

    Args:
        pred: one truth value.
        operands: arrays and numbers, nested in tuples, lists, dicts and dataclasses.

    Raises:
        TraceError: the branches return other structures.
        ShapeError, DTypeError: their types differ, or `pred` is no truth value.
    """
    choice = as_value(pred)
    if choice.dtype != BOOL or choice.shape != ():
        raise DTypeError(
            f"the predicate of cond is {type_text(choice)}; it must be one truth value (bool[]): "
            "compare, or use pullback.numpy.where to choose element by element"
        )
    if not is_traced(choice):
        return true_fn(*operands) if choice else false_fn(*operands)
    return _chosen(choice, (false_fn, true_fn), operands)


def switch(index: Any, branches: Sequence[Function], *operands: Any) -> Any:
    """`branches[index](*operands)`; an index out of range takes the nearest branch.

    Raises:
        InputError: there are no branches.
        TraceError, ShapeError, DTypeError: as `cond`.
    """
    if not branches:
        raise InputError("switch needs a branch at least", field="branches")
    choice = as_value(index)
    if choice.dtype.kind not in "iu" or choice.shape != ():
        raise DTypeError(f"the index of switch is {type_text(choice)}; it must be one integer")
    if not is_traced(choice):
        return branches[min(max(int(np.asarray(choice)), 0), len(branches) - 1)](*operands)
    return _chosen(choice, tuple(branches), operands)


def _chosen(choice: Any, functions: tuple[Function, ...], operands: tuple[Any, ...]) -> Any:
    """The graph's choice among traced branches."""
    leaves, arrays, structure = leaves_of(operands, "operand")

    def traced(dtypes: Sequence[DType | None]) -> tuple[list[Body], list[list[Any]]]:
        """The branches, results cast to given dtypes, and the leaves of the results."""
        seen: list[list[Any]] = []

        def finish(found: list[Any], _: Structure) -> list[Any]:
            seen.append(found)
            pairs = zip(found, dtypes or [None] * len(found), strict=True)
            return [x if dtype is None else cast(as_value(x), dtype) for x, dtype in pairs]

        bodies = [
            trace_body(lambda given, f=function: f(*given), [(leaves, structure)], finish)
            for function in functions
        ]
        return bodies, seen

    bodies, seen = traced(())
    dtypes = _agreed(functions, bodies, seen)
    if any(dtypes):
        bodies, _ = traced(dtypes)
    graphs, captures = sharing_captures(bodies)
    given = [x for x in arrays if x is not None]
    results = apply("cond", choice, *captures, *given, branches=tuple(graphs))
    return result_of(bodies[0], list(results) if isinstance(results, tuple) else [results])


def _agreed(
    functions: Sequence[Function], bodies: Sequence[Body], seen: Sequence[Sequence[Any]]
) -> list[DType | None]:
    """Per leaf of the results, the dtype to cast it to: numbers take that of the arrays.

    Raises:
        TraceError: structures differ.
        ShapeError, DTypeError: types do.
    """
    first = bodies[0].results
    for function, body in zip(functions, bodies, strict=True):
        if body.results != first:
            raise TraceError(
                f"{named(functions[0])} and {named(function)} return other structures "
                f"({', '.join(first.paths)} and {', '.join(body.results.paths)}); branches must "
                "return alike"
            )
    return [
        _agreed_leaf(functions, path or "the result", leaf)
        for path, leaf in zip(first.paths, zip(*seen, strict=True), strict=True)
    ]


def _agreed_leaf(functions: Sequence[Function], path: str, leaf: Sequence[Any]) -> DType | None:
    """The dtype that one leaf must be cast to in some branch, or None."""
    if not any([is_array(value) for value in leaf]):
        if all([value == leaf[0] for value in leaf]):
            return None
    elif all([is_array(value) for value in leaf]):
        types = [ArrayType(as_value(x).dtype, tuple(as_value(x).shape)) for x in leaf]
        dtype = common(*[kind_of(x) for x in leaf])
        firm = [type.dtype for x, type in zip(leaf, types, strict=True) if not is_weak(x)]
        if all([type.shape == types[0].shape for type in types]) and len(set(firm)) < 2:
            return None if len({type.dtype for type in types}) == 1 else as_dtype(dtype)
    listed = ", ".join(
        f"{type_text(x)} from {named(function)}"
        for x, function in zip(leaf, functions, strict=True)
    )
    message = f"branches give {path!r} as {listed}; they must give one type"
    shapes = {tuple(np.shape(x)) if is_array(x) else None for x in leaf}
    raise ShapeError(message) if len(shapes) > 1 else DTypeError(f"{message}: cast with astype")
