"""The certificate: forward mode against reverse mode, on the derivatives that are returned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.derivative import lower
from pullback_graph.derivative.certificate import draw, relative_error
from pullback_graph.errors import InputError
from pullback_graph.graph import Graph
from pullback_graph.op import Both
from pullback_graph.table import OPS
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp, Want
from pullback_worker.numpy_executor import NumpyExecutor, fold

X = np.linspace(0.3, 1.7, 6).reshape(2, 3)


def error(graph: Graph, want: Want, arrays, certificate: bool = True) -> float:
    """The certificate's relative error of a job."""
    lowered = lower(graph, want, fold=fold, certificate=certificate)
    inputs = list(arrays)
    for number, item in enumerate(lowered.graph.inputs[len(inputs) :]):
        assert item.name in lowered.directions
        inputs.append(draw(item.type, number))
    results = NumpyExecutor().compile(lowered.graph)(inputs)
    pushed, pulled, scale = map(float, results[-3:])
    assert len(results) == lowered.value_count + len(lowered.derivatives) + 3
    assert scale > 0
    return relative_error(pushed, pulled, scale)


def scalar(x):
    """A scalar of a matrix."""
    return pnp.sum(pnp.sin(x) * pnp.exp(x @ x.T).sum())


def vectors(x):
    """Two arrays of a matrix."""
    return pnp.sin(x) * x, pnp.exp(x).sum(axis=0)


W = ("x",)
CASES = [
    (scalar, Gradient(W), ()),
    (vectors, Vjp(W, (("result[0]", "result[1]"), ("result[0]",))), "vjp"),
    (vectors, Jvp((W,)), (X,)),
    (scalar, Hvp(W, (W,)), (X,)),
    (vectors, Jacobian(W), ()),
    (scalar, Hessian(W), ()),
]


@pytest.mark.parametrize(("function", "want", "seeds"), CASES)
def test_the_two_modes_agree_to_rounding(function, want: Want, seeds):
    """For every want, on the arrays that are returned."""
    graph = pb.trace(function, X)
    if isinstance(want, Vjp):
        names = graph.output_names
        want = Vjp(W, (names, names[:1]))
        seeds = (*[np.ones(graph.output_type(i).shape) for i in (0, 1)], np.ones((2, 3)))
    assert error(graph, want, [X, *seeds]) < 1e-14


@pytest.mark.parametrize(("function", "want", "seeds"), CASES[:1] + CASES[2:])
def test_a_wrong_derivative_shows(monkeypatch, function, want: Want, seeds):
    """A row whose two modes contradict each other: the error is far above rounding."""
    row = OPS["sin"]

    def jvp(tangents, z, x):
        return None if tangents[0] is None else tangents[0] * pnp_cos(x)

    def vjp(g, z, x):
        return (g * pnp_cos(x) * 1.5,)

    def pnp_cos(x):
        return x.builder.add("cos", x)

    monkeypatch.setitem(OPS, "sin", dataclasses.replace(row, derivative=Both(jvp, vjp)))

    def fresh(x):  # a function whose trace no other test has left behind
        return function(x)

    assert error(pb.trace(fresh, X), want, [X, *seeds]) > 1e-6


def test_a_value_has_no_certificate():
    """There is nothing to compare."""
    with pytest.raises(InputError, match="certificate"):
        lower(pb.trace(scalar, X), Value(), certificate=True)


def test_float32_agrees_to_its_own_rounding():
    """The sums are made in float64, so that they add no error of their own."""
    x = X.astype(np.float32)
    assert error(pb.trace(scalar, x), Gradient(W), [x]) < 1e-6


def test_an_output_that_depends_on_nothing_is_certain():
    """Zero equals zero."""
    assert relative_error(0.0, 0.0, 0.0) == 0.0
    assert relative_error(1.0, 0.0, 0.0) == float("inf")
