"""One row of the operator table applied to arrays: a new node if one is traced, else its result.

Plain arrays run through the NumPy executor's own rule, so that a function gives the same numbers
whether it is traced or called on plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from pullback.tracing.traced_array import TracedArray
from pullback.tracing.traces import NDArray, active_trace
from pullback_graph.attributes import canonical
from pullback_graph.errors import DTypeError, OutOfMemory, PullbackError, TraceError
from pullback_graph.table import OPS
from pullback_graph.types import DType, as_dtype, type_of

Value: TypeAlias = "TracedArray | NDArray | np.generic"
"""An operand: a traced array, or a plain array or NumPy scalar of a dtype of the language."""


def apply(name: str, *operands: Value, **attributes: Any) -> Any:
    """The result (or tuple of results) of one row.

    Raises:
        ShapeError, DTypeError, AttributeFault, ArityError: as the row says.
        TraceError: a traced operand belongs to a trace that has ended.
    """
    if any([type(x) is TracedArray for x in operands]):
        trace = active_trace()
        if trace is None:
            traced = next(x for x in operands if type(x) is TracedArray)
            raise TraceError(
                f"{traced!r} is used outside the function it was traced in; return it from there"
            )
        refs = trace.builder.add(name, *[trace.ref(x) for x in operands], **attributes)
        if isinstance(refs, tuple):
            return tuple([TracedArray(trace, ref) for ref in refs])
        return TracedArray(trace, refs)
    return _evaluate(name, operands, attributes)


def as_value(x: Any) -> Value:
    """`x` as an operand: a number, sequence or array of any library as a plain array.

    Raises:
        DTypeError: it is no array, or its dtype is none of the language's.
    """
    if type(x) is TracedArray:
        return x
    if isinstance(x, list | tuple) and _holds_traced(x):
        return _stacked(x)
    array = np.asarray(x)
    if array.dtype.kind in "OSU":
        raise DTypeError(f"{type(x).__name__} {x!r} is no array of numbers; pass numbers or arrays")
    return array.astype(as_dtype(array.dtype), copy=False)


def is_traced(*values: Any) -> bool:
    """Whether one of the values is a traced array."""
    return any([type(value) is TracedArray for value in values])


def cast(x: Value, dtype: DType) -> Value:
    """`x` with the given dtype; the same object where it has it already."""
    if x.dtype == dtype:
        return x
    result: Value = apply("astype", x, dtype=dtype)
    return result


def _stacked(items: Sequence[Any]) -> Value:
    """A (nested) sequence that holds traced arrays, as one array."""
    values = [as_value(item) for item in items]
    dtype = as_dtype(np.result_type(*[value.dtype for value in values]))
    result: Value = apply("stack", *[cast(value, dtype) for value in values], axis=0)
    return result


def _holds_traced(items: Sequence[Any]) -> bool:
    return any(
        [
            type(item) is TracedArray or (isinstance(item, list | tuple) and _holds_traced(item))
            for item in items
        ]
    )


def _evaluate(name: str, operands: Sequence[Value], attributes: dict[str, Any]) -> Any:
    """The row run by the NumPy executor; a 0-d result is a NumPy scalar, as NumPy has it."""
    op, arrays = OPS[name], [np.asarray(x) for x in operands]
    try:
        attributes = canonical(op.attributes, attributes)
        op.type(*[type_of(array) for array in arrays], **attributes)
    except PullbackError as error:
        listed = ", ".join(str(type_of(array)) for array in arrays[:6])
        raise type(error)(f"{name}({listed}): {error.message}", field=error.field) from None
    try:
        results = [result[()] for result in _fold()(op, arrays, attributes)]
    except MemoryError as error:
        raise OutOfMemory(f"{name}: {error}; use smaller arrays") from error
    return results[0] if len(results) == 1 else tuple(results)


@lru_cache(maxsize=1)
def _fold() -> Callable[..., Any]:
    """The NumPy executor's rule for one node."""
    from pullback_worker.numpy_executor import fold  # noqa: PLC0415  (tracing alone needs none)

    return fold
