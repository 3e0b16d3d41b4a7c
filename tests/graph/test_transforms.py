"""Derivatives as Graph -> Graph: every want, its names and shapes, and what is refused."""

from __future__ import annotations

from math import isqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import gradient, hessian, jacobian, jvp, lower, vjp
from pullback_graph.derivative.jacobian import MAX_JACOBIAN_ELEMENTS
from pullback_graph.errors import InputError, LimitExceeded, NotDifferentiable
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, INT64, ArrayType
from pullback_graph.want import (
    DerivativeKey,
    Gradient,
    Hessian,
    Hvp,
    Jacobian,
    Jvp,
    Value,
    Vjp,
    Want,
    seed_name,
)
from pullback_worker.numpy_executor import NumpyExecutor, fold

RNG = np.random.default_rng(3)
W, X = RNG.normal(size=(3, 2)), RNG.normal(size=3)
SEED = RNG.normal(size=(3, 2))


def _graph() -> Graph:
    """(w, x) -> loss = sum(tanh(x @ w) ** 2), hidden = tanh(x @ w)."""
    b = Builder()
    w, x = b.input("w", ArrayType(FLOAT64, (3, 2))), b.input("x", ArrayType(FLOAT64, (3,)))
    hidden = do.tanh(do.matmul(x, w))
    return b.build({"loss": _sum(do.square(hidden)), "hidden": hidden})


def _sum(x: Ref) -> Ref:
    return do.sum(x, axes=tuple(range(len(x.shape))), keepdims=False)


def _hidden(w: Any, x: Any) -> Any:
    return jnp.tanh(x @ w)


def _loss(w: Any, x: Any) -> Any:
    return jnp.sum(_hidden(w, x) ** 2)


def _run(want: Want, seeds: dict[str, Any] | None = None) -> dict[DerivativeKey, Any]:
    lowered = lower(_graph(), want, fold=fold)
    given = {"w": W, "x": X, **(seeds or {})}
    arrays = [given[name] for name in lowered.graph.input_names]
    results = NumpyExecutor().compile(lowered.graph)(arrays)
    assert lowered.graph.output_names[: lowered.value_count] == ("loss", "hidden")
    np.testing.assert_allclose(results[0], _loss(W, X), rtol=1e-12)
    return dict(zip(lowered.derivatives, results[lowered.value_count :], strict=True))


def _close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)
    assert np.shape(one) == np.shape(other)


def test_gradient() -> None:
    """The gradient of the first output by several inputs is jax.grad's."""
    found = _run(Gradient(("w", "x")))
    by_w, by_x = jax.grad(_loss, (0, 1))(W, X)
    _close(found[DerivativeKey("loss", "w")], by_w)
    _close(found[DerivativeKey("loss", "x")], by_x)


def test_vjp_with_several_seeds() -> None:
    """Each seed pulls its own cotangent back; a seed may cover several outputs."""
    g = np.array([0.3, -2.0])
    found = _run(
        Vjp(("w",), (("hidden",), ("loss", "hidden"))),
        {
            seed_name(0, "hidden"): g,
            seed_name(1, "loss"): np.asarray(2.0),
            seed_name(1, "hidden"): g,
        },
    )
    (expected,) = jax.vjp(lambda w: _hidden(w, X), W)[1](g)
    _close(found[DerivativeKey("hidden", "w", seed=0)], expected)
    _close(found[DerivativeKey("", "w", seed=1)], expected + 2.0 * jax.grad(_loss)(W, X))


def test_jvp() -> None:
    """A seed pushes tangents of some inputs to every floating output."""
    found = _run(Jvp((("w",),)), {seed_name(0, "w"): SEED})
    _close(found[DerivativeKey("hidden")], jax.jvp(lambda w: _hidden(w, X), (W,), (SEED,))[1])
    _close(found[DerivativeKey("loss")], jax.jvp(lambda w: _loss(w, X), (W,), (SEED,))[1])


def test_hvp() -> None:
    """The Hessian times a direction, forward over reverse, a block per wrt."""
    found = _run(Hvp(("w", "x"), (("w",),)), {seed_name(0, "w"): SEED})
    expected = jax.jvp(lambda w: jax.grad(_loss, (0, 1))(w, X), (W,), (SEED,))[1]
    _close(found[DerivativeKey("loss", "w")], expected[0])
    _close(found[DerivativeKey("loss", "x")], expected[1])


@pytest.mark.parametrize("wrt", ["w", "x"])
def test_jacobian(wrt: str) -> None:
    """Every output by every wrt, of shape output.shape + input.shape, in either mode."""
    found = _run(Jacobian((wrt,)))
    position = ("w", "x").index(wrt)
    _close(found[DerivativeKey("hidden", wrt)], jax.jacobian(_hidden, position)(W, X))
    _close(found[DerivativeKey("loss", wrt)], jax.jacobian(_loss, position)(W, X))


def test_hessian() -> None:
    """A block per pair of wrt, of shape first.shape + second.shape."""
    found = _run(Hessian(("w", "x")))
    expected = jax.hessian(_loss, (0, 1))(W, X)
    for i, first in enumerate(("w", "x")):
        for k, second in enumerate(("w", "x")):
            _close(found[DerivativeKey("loss", first, second)], expected[i][k])


def test_value_takes_outputs_by_name() -> None:
    """A value job of one output drops what only the others need."""
    lowered = lower(_graph(), Value(("hidden",)))
    assert lowered.graph.output_names == ("hidden",)
    assert [node.op.name for node in lowered.graph.nodes] == ["matmul", "tanh"]


def test_third_derivatives_need_no_extra_code() -> None:
    """Transforms compose: d3/dx3 of x**4 is 24 x."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, ()))
    graph = b.build({"y": x**4.0})
    for _ in range(3):
        made = gradient(graph, ("x",))
        graph = Graph(
            made.graph.inputs, made.graph.constants, made.graph.nodes, made.graph.outputs[-1:]
        )
    assert float(NumpyExecutor().compile(graph)([np.asarray(1.5)])[0]) == 36.0


def test_independent_inputs_get_zeros_and_are_listed() -> None:
    """An input the output does not depend on has a zero gradient, and is named."""
    b = Builder()
    x, y = b.input("x", ArrayType(FLOAT64, (2,))), b.input("y", ArrayType(FLOAT64, (3,)))
    b.build({"s": _sum(x)})
    lowered = lower(b.build({"s": _sum(x)}), Gradient(("x", "y")), fold=fold)
    assert lowered.independent == ("y",)
    results = NumpyExecutor().compile(lowered.graph)([np.ones(2), np.ones(3)])
    np.testing.assert_array_equal(results[2], np.zeros(3))
    assert y.shape == (3,)


def _integer_graph() -> Graph:
    b = Builder()
    n, x = b.input("n", ArrayType(INT64, (2,))), b.input("x", ArrayType(FLOAT64, (2,)))
    return b.build({"y": _sum(do.astype(n, dtype="float64") * x), "each": x * x})


def test_an_integer_in_wrt_is_an_error() -> None:
    """Differentiating by an integer input is refused, never a silent zero."""
    with pytest.raises(NotDifferentiable, match=r"'n' is int64\[2\].*cast it to float64"):
        lower(_integer_graph(), Gradient(("n",)))


def test_a_gradient_of_a_vector_is_an_error() -> None:
    """A gradient needs a scalar; the message names the other wants."""
    with pytest.raises(NotDifferentiable, match="ask for a vjp or a jacobian"):
        lower(_integer_graph(), Gradient(("x",), "each"))


def test_unknown_names_are_errors() -> None:
    """A name that is not in the graph is listed beside those that are."""
    with pytest.raises(InputError, match="the graph has: n, x"):
        lower(_integer_graph(), Gradient(("z",)))
    with pytest.raises(InputError, match="the graph has: y, each"):
        lower(_integer_graph(), Value(("z",)))
    with pytest.raises(InputError, match="twice"):
        lower(_integer_graph(), Gradient(("x", "x")))
    with pytest.raises(InputError, match="no input named"):
        lower(_integer_graph(), Gradient(()))


def test_a_jacobian_of_too_many_elements_is_refused() -> None:
    """A Jacobian over the limit says how large it is and what to ask instead."""
    b = Builder()
    size = isqrt(MAX_JACOBIAN_ELEMENTS) + 1
    x = b.input("x", ArrayType(FLOAT64, (size,)))
    with pytest.raises(LimitExceeded, match=f"{size} rows and {size} columns"):
        jacobian(b.build({"y": do.sin(x)}), ("x",))


def test_outputs_that_are_inputs_or_constants() -> None:
    """An output that is an input has the identity for a derivative; a constant has zero."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, ()))
    graph = b.build({"x_again": x, "five": b.constant(5.0)})
    results = NumpyExecutor().compile(jacobian(graph, ("x",)).graph)([np.asarray(2.0)])
    assert [float(r) for r in results] == [2.0, 5.0, 1.0, 0.0]


def test_transforms_stand_alone() -> None:
    """vjp, jvp and hessian build with a plain builder too, and give checked graphs."""
    graph = _graph()
    assert len(vjp(graph, ("w",), (("loss",),)).graph.inputs) == 3
    assert len(jvp(graph, (("w", "x"),)).graph.inputs) == 4
    assert hessian(graph, ("x",)).keys == (DerivativeKey("loss", "x", "x"),)
