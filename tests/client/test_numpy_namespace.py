"""`pullback.numpy` against NumPy: the same values, shapes and dtypes, traced and plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from tests.client.namespace_calls import TABLE

NEED_NUMBERS = {"quantile", "percentile", "arange"}
"""Functions whose other arguments decide shapes, so that only the first may be traced."""


def run_traced(name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """The function's result where every array and float among its arguments is traced."""
    function = getattr(pnp, name)
    if name in NEED_NUMBERS:
        return pb.local().value(lambda x: function(x, *args[1:], **keywords))(args[0])
    return pb.local().value(function)(*args, **keywords)


def check_same(found: Any, expected: Any) -> None:
    """Fail unless shapes, dtypes and (to rounding) values are the same."""
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for x, y in zip(found, expected, strict=True):
            check_same(x, y)
        return
    assert np.shape(found) == np.shape(expected)
    assert np.asarray(found).dtype == known(np.asarray(expected).dtype)
    rtol = 2e-6 if np.asarray(expected).dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def known(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The language's dtype for one of NumPy's: float32 for float16, which it lacks."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def title(row: tuple[str, tuple[Any, ...], dict[str, Any]]) -> str:
    """A short name of a row."""
    name, args, keywords = row
    shown = [
        f"{x.dtype.char}{list(x.shape)}" if isinstance(x, np.ndarray) else str(x)[:16] for x in args
    ]
    return f"{name}({','.join(shown)},{','.join(keywords)})".replace(" ", "")


@pytest.mark.parametrize("row", TABLE, ids=title)
def test_as_numpy(row: tuple[str, tuple[Any, ...], dict[str, Any]]):
    """A function of the namespace gives what NumPy's gives, called on plain arrays and traced."""
    name, args, keywords = row
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(*args, **keywords)
    function = getattr(pnp, name)
    check_same(function(*args, **keywords), expected)
    check_same(run_traced(name, args, keywords), expected)


# --- coverage -------------------------------------------------------------------------------------

ARRAY_API = [
    "e",
    "inf",
    "nan",
    "newaxis",
    "pi",
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
    "astype",
    "broadcast_arrays",
    "broadcast_to",
    "can_cast",
    "finfo",
    "iinfo",
    "isdtype",
    "result_type",
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "square",
    "sqrt",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "take",
    "take_along_axis",
    "matmul",
    "matrix_transpose",
    "tensordot",
    "vecdot",
    "concat",
    "expand_dims",
    "flip",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "tile",
    "unstack",
    "argmax",
    "argmin",
    "count_nonzero",
    "where",
    "argsort",
    "sort",
    "cumulative_prod",
    "cumulative_sum",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
    "all",
    "any",
    "diff",
]
"""The Python Array API's functions and constants, without those named below.

Left out: `nonzero`, `searchsorted` and the `unique_` functions (shapes or positions that depend on
the data), shifts and `nextafter` (no bits), `from_dlpack`.
"""


@pytest.mark.parametrize("name", ARRAY_API)
def test_array_api_names(name: str):
    """The namespace has the names of the Python Array API."""
    assert name in pnp.__all__


def test_all_names_are_there():
    """`__all__` lists what the namespace has, once each, and no function is public besides."""
    assert len(set(pnp.__all__)) == len(pnp.__all__)
    assert all(hasattr(pnp, name) for name in pnp.__all__)
    functions = {name for name, value in vars(pnp).items() if callable(value)}
    assert {name for name in functions if not name.startswith("_")} <= set(pnp.__all__)


def test_numpy_aliases_are_one_function():
    """A name of NumPy's and the Array API's name are the same function."""
    pairs = "absolute:abs arctan2:atan2 power:pow mod:remainder amax:max around:round"
    for pair in pairs.split():
        theirs, ours = pair.split(":")
        assert getattr(pnp, theirs) is getattr(pnp, ours)


def test_every_row_has_a_function():
    """No row of the table is out of users' reach, but for those that derivatives alone need."""
    from pullback_graph.table import OPS

    inner = {
        "balanced_greater",
        "divide_no_nan",
        "linear_recurrence",
        "polygamma",
        "shift",
        "size",
        "iota",
        "slice",
        "gather",
        *(name for name in OPS if name.startswith(("un", "untake"))),
    }
    inner |= {"custom"}  # custom_derivative
    inner |= {"lu", "triangular_solve"}  # lu_factor and solve_triangular, after SciPy
    inner |= {"complex"}  # x + 1j * y
    inner |= {"gammainc_derivative", "betainc_derivative", "betainc_slopes"}
    inner |= {"adjugate_frechet"}  # the second derivative of det
    inner |= {name for name in OPS if name.startswith("reduce_window")}  # pooling
    inner |= {"gamma_density", "beta_density"}
    inner |= {"convolution", "random_bits", "random_fold_in"}  # their namespaces are being written
    others = ("fft", "linalg", "special", "lax", "nn", "random")
    namespaces = [pnp, *[getattr(pb, name) for name in others if hasattr(pb, name)]]
    missing = [
        name
        for name in OPS
        if name not in inner and not any(hasattr(space, name) for space in namespaces)
    ]
    assert missing == []
