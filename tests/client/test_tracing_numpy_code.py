"""Ordinary NumPy (and SciPy) code traces unchanged: it knows nothing of Pullback."""

from __future__ import annotations

from operator import methodcaller
from typing import Any

import numpy as np
import pytest
import scipy.special

import pullback as pb
from tests.client.numpy_programs import FUNCTIONS, X


@pytest.mark.parametrize(("function", "args"), FUNCTIONS, ids=lambda x: getattr(x, "__name__", ""))
def test_traced_as_it_runs(function: Any, args: tuple[Any, ...]):
    """The traced function gives what NumPy gives, and its derivatives pass their check."""
    np.testing.assert_allclose(pb.local().value(function)(*args), function(*args), rtol=1e-12)
    pb.check_gradient(function, *args, order=1)


REFUSED = [
    (np.array, "np.array"),
    (lambda x: np.asarray([x[0], 1.0]), r"pullback\.numpy\.stack"),
    (lambda x: float(x[0]), r"pullback\.numpy\.exp"),
    (lambda x: int(x[0]), "astype"),
    (lambda x: complex(x[0]), "complex"),
    (lambda x: x if x[0] > 0 else -x, r"pullback\.numpy\.where"),
    (lambda x: max(x[0], x[1]), r"pullback\.numpy\.maximum"),
    (lambda x: x[0] > 0 and x[1] > 0, "& | ~"),
    (lambda x: range(x[0]), "range"),
    (lambda x: x[0].item(), "item"),
    (methodcaller("tolist"), "tolist"),
    (methodcaller("sort"), "in place"),
    (lambda x: 1.0 in x, "any"),
    (np.unique, "numpy.unique cannot be traced"),
    (np.nonzero, "numpy.nonzero cannot be traced"),
    (np.where, "depends on the data"),
    (np.linalg.eigvals, "numpy.linalg.eigvals cannot be traced"),
    (np.frexp, "numpy.frexp cannot be traced"),
    (lambda x: np.add.at(x, 0, 1), "numpy.add.at cannot be traced"),
    (lambda x: np.sum(x, out=np.zeros(())), "out="),
    (lambda x: np.add(x, 1, out=np.zeros(2)), "out="),
    (lambda x: np.max(x, initial=0.0, where=x > 0), "cannot be traced with these arguments"),
    (lambda x: np.exp(x, where=x > 0), "cannot be traced with these arguments"),
    (lambda x: scipy.special.jv(0, x), "numpy.jv cannot be traced"),
    (scipy.special.logsumexp, r"pullback\.numpy"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED, ids=[row[1] for row in REFUSED])
def test_what_cannot_be_traced(function: Any, message: str):
    """What needs the numbers of a traced array is an error that says what to use instead."""
    with pytest.raises(pb.TraceError, match=message):
        pb.trace(function, np.ones(2))


def test_writing_into_an_array_is_refused():
    """`a += x` and `a[i] = x` on a plain array are errors that say what to write."""

    def added(x: Any) -> Any:
        total = np.zeros(2)
        total += x
        return total

    def written(x: Any) -> Any:
        total = np.zeros(2)
        total[0] = x[0]
        return total

    with pytest.raises(pb.TraceError, match=r"write a = a \+ x"):
        pb.trace(added, np.ones(2))
    with pytest.raises(pb.TraceError, match=r"pullback\.numpy\.at\(array\)(.|\n)*in .*written, at"):
        pb.trace(written, np.ones(2))


def test_a_ufunc_method_and_its_axis():
    """`reduce` and `accumulate` go over the first axis unless told, as in NumPy."""
    value = pb.local().value
    for function in (
        np.add.reduce,
        lambda x: np.maximum.reduce(x, axis=1, keepdims=True),
        lambda x: np.multiply.accumulate(x, axis=1),
        lambda x: np.logical_or.reduce(x > 0, axis=None),
        lambda x: np.subtract.outer(x, x),
    ):
        np.testing.assert_allclose(value(function)(X), function(X))


def test_the_namespace_of_a_traced_array():
    """A traced array gives `pullback.numpy` as its Array API namespace."""

    def function(x: Any) -> Any:
        xp = x.__array_namespace__()
        return xp.concat([x, xp.exp(x)])

    assert pb.trace(function, X).output_type(0).shape == (12, 3)
