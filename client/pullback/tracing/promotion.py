"""Which dtype an elementwise function computes in: NumPy 2's own answer, asked of its ufuncs.

Python's numbers are weak: they take the dtype of the arrays beside them. float16, which the
language lacks, becomes float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from pullback.tracing.apply import Value, as_value, cast
from pullback.tracing.traced_array import TracedArray
from pullback_graph.errors import DTypeError
from pullback_graph.types import BOOL, FLOAT32, DType, as_dtype

Kind: TypeAlias = Any
"""What promotion sees of an operand: a dtype, or `int`, `float` or `complex` for a weak one."""
Promotion: TypeAlias = Callable[..., DType]
"""Kinds of the operands -> the dtype they are all cast to."""


def loop_of(ufunc: np.ufunc) -> Promotion:
    """The dtype in which NumPy's ufunc computes."""

    @lru_cache(maxsize=4096)
    def promotion(*kinds: Kind) -> DType:
        try:
            *operands, result = ufunc.resolve_dtypes((*kinds, None))
        except TypeError as error:
            raise DTypeError(f"{_listed(kinds)}: {error}") from None
        if result == BOOL and not all(dtype == BOOL for dtype in operands):
            return _known(np.result_type(*operands))
        return _known(result)

    return promotion


@lru_cache(maxsize=4096)
def common(*kinds: Kind) -> DType:
    """The dtype that holds all operands: `numpy.result_type`."""
    return _known(np.result_type(*[_SAMPLE.get(kind, kind) for kind in kinds]))


def floating(*kinds: Kind) -> DType:
    """The floating dtype that holds all operands: what NumPy's `exp` would compute in."""
    return _exp(common(*kinds))


def real_floating(*kinds: Kind) -> DType:
    """The floating dtype that holds all operands, which must be real.

    Raises:
        DTypeError: one is complex.
    """
    dtype = floating(*kinds)
    if dtype.kind == "c":
        raise DTypeError(f"needs real numbers, got {_listed(kinds)}; take real, imag or abs first")
    return dtype


def boolean(*_: Kind) -> DType:
    """bool, whatever the operands are."""
    return BOOL


_exp = loop_of(np.exp)
_SAMPLE = {int: 0, float: 0.0, complex: 0j}
"""A number of each weak type, for functions that take samples rather than types."""


def promoted(promotion: Promotion, operands: Sequence[Any]) -> list[Value]:
    """The operands as arrays of the dtype that `promotion` gives them.

    Raises:
        DTypeError: NumPy has no loop for these dtypes, or a Python integer does not fit.
    """
    prepared = [x if type(x) in _WEAK else as_value(x) for x in operands]
    dtype = promotion(*[kind_of(x) for x in prepared])
    return [_as_operand(x, dtype) for x in prepared]


_WEAK = (bool, int, float, complex)


def weak_kind(dtype: DType) -> Kind:
    """What promotion sees of one of Python's numbers that has become an array of that dtype."""
    return BOOL if dtype == BOOL else _PYTHON[dtype.kind]


_PYTHON: dict[str, Kind] = {"i": int, "u": int, "f": float, "c": complex}


def kind_of(x: Any) -> Kind:
    """What promotion sees of an operand."""
    if type(x) is TracedArray:
        return weak_kind(x.dtype) if x.weak else x.dtype
    if type(x) in _WEAK:
        return BOOL if type(x) is bool else type(x)
    return x.dtype


def _as_operand(x: Any, dtype: DType) -> Value:
    if type(x) not in _WEAK:
        return cast(x, dtype)
    try:
        return np.asarray(x, dtype)
    except OverflowError:
        raise DTypeError(
            f"the integer {x} does not fit {dtype.name}; cast the array beside it with astype"
        ) from None


def _known(dtype: Any) -> DType:
    """The dtype in the language's own terms."""
    return FLOAT32 if dtype == np.float16 else as_dtype(dtype)


def _listed(kinds: Sequence[Kind]) -> str:
    return " and ".join(getattr(kind, "name", None) or kind.__name__ for kind in kinds)
