"""NumPy's own functions called on traced arrays, so that ordinary NumPy code traces unchanged.

A function of NumPy stands for the function of that name in `pullback.numpy`; what NumPy calls by
another name, and SciPy's special functions, stand in the tables here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import pullback.numpy as namespace
from pullback import special
from pullback_graph.errors import TraceError

SPECIAL: Mapping[str, Callable[..., Any]] = {
    name: getattr(special, name) for name in special.__all__
}
"""SciPy's ufuncs by their own names."""

REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": namespace.sum,
    "multiply": namespace.prod,
    "maximum": namespace.max,
    "minimum": namespace.min,
    "logical_and": namespace.all,
    "logical_or": namespace.any,
    "logaddexp": namespace.logsumexp,
}
"""What `ufunc.reduce` is."""

RUNNING: Mapping[str, Callable[..., Any]] = {
    "add": namespace.cumsum,
    "multiply": namespace.cumprod,
}
"""What `ufunc.accumulate` is."""


_OURS: Mapping[Any, Any] = {np: namespace, np.linalg: namespace.linalg, np.fft: namespace.fft}
"""NumPy's modules, and where our functions of the same names stand."""


_ALIKE: Mapping[Any, Any] = {
    getattr(home, name): getattr(ours, name)
    for home, ours in _OURS.items()
    for name in ours.__all__
    if hasattr(home, name)
}
"""NumPy's functions with ours of the same name."""
UFUNCS: Mapping[str, Callable[..., Any]] = {
    **SPECIAL,
    **{theirs.__name__: ours for theirs, ours in _ALIKE.items() if isinstance(theirs, np.ufunc)},
}
"""Ufuncs by name."""
FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    theirs: ours
    for theirs, ours in _ALIKE.items()
    if callable(theirs) and not isinstance(theirs, np.ufunc | type)
}
"""NumPy's other functions."""


def call_ufunc(ufunc: Any, method: str, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """A NumPy (or SciPy) ufunc, or a method of one, on operands some of which are traced.

    Raises:
        TraceError: there is no such function here, or it is to write into an array (`out=`).
    """
    name = ufunc.__name__
    given = {key: value for key, value in keywords.items() if not _is_default(key, value)}
    if given.pop("out", None) is not None:
        raise TraceError(
            f"{name} is to write a traced result into an array (out=, or a += x on an array); "
            "write a = a + x, which makes a new one"
        )
    if method == "__call__":
        return _called(f"numpy.{name}", UFUNCS.get(name), inputs, given)
    if method == "reduce":
        axis = given.pop("axis", 0)
        return _called(f"{name}.reduce", REDUCTIONS.get(name), (*inputs, axis), given)
    if method == "accumulate":
        axis = given.pop("axis", 0)
        return _called(f"{name}.accumulate", RUNNING.get(name), (*inputs, axis), given)
    if method == "outer" and name in UFUNCS and len(inputs) == 2 and not given:
        x, y = (namespace.asarray(value) for value in inputs)
        return UFUNCS[name](namespace.reshape(x, x.shape + (1,) * y.ndim), y)
    raise TraceError(f"numpy.{name}.{method} cannot be traced; write it with pullback.numpy")


def call_function(function: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Any other function of NumPy on arguments some of which are traced.

    Raises:
        TraceError: there is no such function here, or it is to write into an array (`out=`).
    """
    name = f"{function.__module__}.{function.__name__}"
    given = {key: value for key, value in keywords.items() if not _is_default(key, value)}
    if "out" in given:
        raise TraceError(f"{name} is to write a traced result into an array; leave out= away")
    return _called(name, FUNCTIONS.get(function), args, given)


def _called(
    name: str, function: Callable[..., Any] | None, args: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    if function is None:
        raise TraceError(
            f"{name} cannot be traced: its result's shape may depend on the data, or the operator "
            f"table has no row for it; see the functions of pullback.numpy"
        )
    try:
        return function(*args, **keywords)
    except TypeError as error:
        raise TraceError(f"{name} cannot be traced with these arguments: {error}") from error


def _is_default(key: str, value: Any) -> bool:
    """Whether a keyword says nothing: what NumPy fills in by itself."""
    return (key == "out" and value is None) or value is np._NoValue
