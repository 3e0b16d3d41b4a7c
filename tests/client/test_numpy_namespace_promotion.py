"""Promotion of dtypes: NumPy 2's rules, for every pair of dtypes and for Python's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.types import DTYPES

ONES = {name: np.ones(2, dtype) for name, dtype in DTYPES.items()}
NUMBERS: dict[str, Any] = {"True": True, "1": 1, "1.5": 1.5, "1j": 1j}
ORDERING = {"maximum", "minimum", "less", "max", "min", "argmax", "rint"}
"""Functions that NumPy takes complex numbers part by part for, and which are refused here."""
UNARY = [
    "negative",
    "positive",
    "abs",
    "sign",
    "square",
    "reciprocal",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "exp",
    "log",
    "sqrt",
    "sin",
    "tanh",
    "isnan",
    "isfinite",
    "logical_not",
]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "pow",
    "maximum",
    "minimum",
    "less",
    "equal",
    "atan2",
    "hypot",
    "logaddexp",
    "logical_and",
    "where",
    "concat",
]
REDUCTIONS = ["sum", "prod", "max", "min", "mean", "var", "cumsum", "any", "argmax"]


def call(namespace: Any, name: str, *operands: Any) -> Any:
    """The function of a namespace, where it takes its operands in another form than two arrays."""
    if name == "where":
        return namespace.where(np.array([True, False]), *operands)
    if name == "concat":
        return namespace.concat([namespace.asarray(x).reshape(-1) for x in operands])
    return getattr(namespace, name)(*operands)


def expected_dtype(name: str, *operands: Any) -> Any:
    """The dtype NumPy gives, or None where it refuses, or orders complex numbers."""
    if name in ORDERING and np.result_type(*operands).kind == "c":
        return None
    try:
        with np.errstate(all="ignore"):
            dtype = np.asarray(call(np, name, *operands)).dtype
    except TypeError:
        return None
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def check(name: str, *operands: Any) -> None:
    """Fail unless plain and traced results have the dtype NumPy gives."""
    expected = expected_dtype(name, *operands)
    traced = [i for i, x in enumerate(operands) if isinstance(x, np.ndarray)]

    def function(*arrays: Any) -> Any:
        given = list(operands)
        for i, array in zip(traced, arrays, strict=True):
            given[i] = array
        return call(pnp, name, *given)

    arrays = [operands[i] for i in traced]
    if expected is None:
        with pytest.raises(pb.DTypeError):
            function(*arrays)
        with pytest.raises(pb.DTypeError):
            pb.trace(function, *arrays)
        return
    assert np.asarray(function(*arrays)).dtype == expected
    assert pb.trace(function, *arrays).output_type(0).dtype == expected


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("first", DTYPES)
def test_pairs_of_dtypes(name: str, first: str):
    """Two arrays give the dtype NumPy 2 gives (float32 for float16), or are refused as there."""
    for second in DTYPES:
        check(name, ONES[first], ONES[second])


@pytest.mark.parametrize("name", [name for name in BINARY if name != "concat"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_weak(name: str, dtype: str):
    """A Python number takes the dtype of the array beside it, on either side."""
    for number in NUMBERS.values():
        check(name, ONES[dtype], number)
        check(name, number, ONES[dtype])


@pytest.mark.parametrize("name", [*UNARY, *REDUCTIONS])
def test_single_dtypes(name: str):
    """A function of one array gives the dtype NumPy 2 gives."""
    for array in ONES.values():
        check(name, array)


def test_a_float_argument_is_as_weak_as_a_number():
    """A Python float as an argument is traced, and takes the dtype of the array beside it."""
    x = np.ones(3, np.float32)
    for function in (lambda x, a: a * x, lambda x, a: x + (2 * a - 1), lambda x, a: x**-a):
        assert pb.trace(function, x, 0.5).output_type(0).dtype == np.float32
        assert function(x, 0.5).dtype == np.float32
    assert pb.trace(lambda x, a: np.exp(a) * x, x, 0.5).output_type(0).dtype == np.float64
    assert (np.exp(0.5) * x).dtype == np.float64


def test_a_numpy_scalar_is_strong():
    """A NumPy scalar has its own dtype, as in NumPy 2."""
    x = np.ones(3, np.float32)
    assert pb.trace(lambda x, a: a * x, x, np.float64(0.5)).output_type(0).dtype == np.float64


def test_integers_that_do_not_fit_are_refused():
    """A Python integer out of the array's range is an error, except in a comparison."""
    x = np.array([1, 200], np.uint8)
    with pytest.raises(pb.DTypeError, match="300 does not fit uint8"):
        pb.trace(lambda x: x + 300, x)
    np.testing.assert_array_equal(pnp.less(x, 300), np.less(x, 300))
    np.testing.assert_array_equal(pnp.greater_equal(x, -1), np.greater_equal(x, -1))


def test_float64_stays_float64():
    """Nothing turns float64 into float32 or back unasked."""
    wide, narrow = np.ones(2), np.ones(2, np.float32)
    for name in UNARY[:12]:
        assert pb.trace(getattr(pnp, name), wide).output_type(0).dtype == np.float64
        assert pb.trace(getattr(pnp, name), narrow).output_type(0).dtype == np.float32


def test_half_and_extended_precision_are_refused_by_name():
    """An array of a dtype the language lacks is an error that names the argument."""
    with pytest.raises(pb.DTypeError, match=r"argument 'x'.*float16"):
        pb.trace(lambda x: x, np.ones(2, np.float16))
    with pytest.raises(pb.DTypeError, match="complex256"):
        pnp.exp(np.ones(2, np.clongdouble))
