"""Dtypes: their names, casting, and questions about them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import finfo, iinfo

from pullback.tracing.apply import as_value, cast
from pullback.tracing.promotion import kind_of
from pullback_graph.types import DType, as_dtype

bool_ = np.bool_
int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float32, float64 = np.float32, np.float64
complex64, complex128 = np.complex64, np.complex128

_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    """x cast; float to integer truncates, NaN gives 0 and overflow the nearest bound.

    A complex number loses its imaginary part in a real dtype.
    """
    return cast(as_value(x), as_dtype(dtype))


def result_type(*values: Any) -> DType:
    """The dtype that arrays, dtypes and numbers have together, Python's numbers being weak."""
    return np.result_type(*[_sample(value) for value in values])


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether a cast keeps every value."""
    is_array = hasattr(from_, "dtype") and not isinstance(from_, type)
    return bool(np.can_cast(from_.dtype if is_array else from_, as_dtype(to)))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is another, of a kind ("real floating", ...), or one of several."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, item) for item in kind)
    if isinstance(kind, str) and kind in _KINDS:
        return np.dtype(dtype).kind in _KINDS[kind]
    return bool(np.dtype(dtype) == np.dtype(kind))


def shape(x: Any, /) -> tuple[int, ...]:
    """The size of each axis."""
    return as_value(x).shape


def ndim(x: Any, /) -> int:
    """How many axes there are."""
    return as_value(x).ndim


def size(x: Any, /, axis: int | None = None) -> int:
    """How many elements there are, in all or along an axis."""
    value = as_value(x)
    return value.size if axis is None else value.shape[axis]


def _sample(value: Any) -> Any:
    """What `numpy.result_type` makes of a value."""
    kind = kind_of(value) if hasattr(value, "owner") else value
    return {float: 0.0, complex: 0j}.get(kind, kind)


__all__ = ["finfo", "iinfo"]
