"""pullback.lax by its meaning: the Python loop it stands for, and JAX's derivatives of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback_graph.errors import (
    DTypeError,
    InputError,
    NotDifferentiable,
    PullbackError,
    ShapeError,
    TraceError,
)

RNG = np.random.default_rng(7)
W, X = RNG.normal(size=(3, 3)), RNG.normal(size=(6, 3))


@pytest.fixture(autouse=True)
def _double_precision() -> Any:
    """JAX in float64."""
    with jax.enable_x64(True):
        yield


def close(one: Any, other: Any) -> None:
    """Equal to rounding, leaf by leaf."""
    assert type(one) is type(other) or not isinstance(one, tuple | dict)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-10, atol=1e-12)


def rnn(np_: Any, scan: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A recurrent loss in one namespace or the other."""

    def loss(w: Any, x: Any) -> Any:
        def step(state: Any, entry: Any) -> Any:
            h = np_.tanh(w @ state["h"] + entry)
            return {"h": h, "n": state["n"] + 1}, (h * h, np_.sum(h))

        last, (squares, sums) = scan(step, {"h": np_.zeros(3), "n": 0}, x, **options)
        return np_.sum(last["h"]) + np_.sum(squares) + np_.sum(np_.sin(sums)) + 0.5 * last["n"]

    return loss


OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"reverse": True},
    {"checkpoint": True},
    {"checkpoint": 4},
    {"checkpoint": (1, 2), "reverse": True},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_scan_and_its_derivatives_are_those_of_jax(options: dict[str, Any]) -> None:
    """Value, gradients, Hessian: of a loop with a nested carry that uses a captured array."""
    theirs_options = {k: v for k, v in options.items() if k == "reverse"}
    ours, theirs = rnn(pnp, lax.scan, **options), rnn(jnp, jax.lax.scan, **theirs_options)
    close(ours(W, X), theirs(W, X))
    value, gradients = pb.value_and_grad(ours, ("w", "x"))(W, X)
    close((value, gradients), jax.value_and_grad(theirs, (0, 1))(W, X))
    close(pb.hessian(ours, "w")(W, X), jax.hessian(theirs, 0)(W, X))


@dataclass
class State:
    """A carry of one's own."""

    position: Any
    velocity: Any


def test_structures_come_back_as_they_were() -> None:
    """Dataclasses, tuples and None, on plain arrays and traced."""

    def simulate(state: State, forces: Any) -> Any:
        def step(now: State, force: Any) -> Any:
            velocity = now.velocity + 0.1 * force["f"]
            return State(now.position + 0.1 * velocity, velocity), (now.position, None)

        return lax.scan(step, state, {"f": forces})

    start = State(np.zeros(2), np.ones(2))
    forces = RNG.normal(size=(5, 2))
    last, (path, nothing) = simulate(start, forces)
    position, velocity = start.position, start.velocity
    for i, force in enumerate(forces):
        np.testing.assert_allclose(path[i], position)
        velocity = velocity + 0.1 * force
        position = position + 0.1 * velocity
    assert type(last) is State
    assert nothing is None
    np.testing.assert_allclose(last.position, position)
    energy = pb.grad(lambda p: pnp.sum(simulate(State(p, start.velocity), forces)[0].position ** 2))
    np.testing.assert_allclose(energy(start.position), 2 * position)


def test_numbers_take_the_dtype_of_the_loop() -> None:
    """A carry that starts as a number of Python becomes what the loop makes of it."""
    small = np.ones(3, np.float32)
    assert lax.scan(lambda c, x: (c + x, None), 0.0, small)[0].dtype == np.float32
    assert lax.scan(lambda c, x: (c + x, None), 0, small)[0].dtype == np.float32
    assert lax.scan(lambda c, x: (c + 1, None), 0, small)[0].dtype == np.int64
    assert lax.scan(lambda c, x: (c + 0.5, None), 0, small)[0].dtype == np.float64
    last, stacked = lax.scan(lambda c, x: (1.0, c), small[0], small)
    assert last.dtype == stacked.dtype == np.float32


def test_map_is_the_function_of_each_entry() -> None:
    """With captured arrays, structures, and the gradient of a plain loop."""

    def loss(w: Any, x: Any) -> Any:
        rows = lax.map(lambda row: {"a": w @ row, "b": pnp.sum(row)}, x)
        return pnp.sum(rows["a"] ** 2) + pnp.sum(rows["b"] ** 3)

    def theirs(w: Any, x: Any) -> Any:
        return jnp.sum((x @ w.T) ** 2) + jnp.sum(jnp.sum(x, 1) ** 3)

    close(loss(W, X), theirs(W, X))
    close(pb.grad(loss, ("w", "x"))(W, X), jax.grad(theirs, (0, 1))(W, X))


def test_counted_loops() -> None:
    """`fori_loop` with known bounds has a gradient; with a traced one it runs all the same."""

    def power(x: Any, n: Any) -> Any:
        return lax.fori_loop(0, n, lambda i, c: c * x + i, 1.0)

    def plain(x: float, n: int) -> float:
        c = 1.0
        for i in range(n):
            c = c * x + i
        return c

    assert power(1.5, 4) == plain(1.5, 4)
    slope = (plain(1.5 + 1e-6, 4) - plain(1.5 - 1e-6, 4)) / 2e-6
    np.testing.assert_allclose(pb.grad(power)(1.5, 4), slope, rtol=1e-8)
    assert pb.local().value(pb.trace(power, 1.5, np.int64(2)), {"x": 1.5, "n": 4}).outputs[
        "result"
    ] == plain(1.5, 4)


def root(a: Any, **options: Any) -> Any:
    """Newton's square root."""
    return lax.while_loop(
        lambda s: pnp.abs(s * s - a) > 1e-13 * a, lambda s: 0.5 * (s + a / s), 1.0 + a, **options
    )


def test_a_while_loop_ends_and_has_derivatives() -> None:
    """Forward without a bound; reverse, second order, with one."""
    np.testing.assert_allclose(root(2.0), np.sqrt(2))
    np.testing.assert_allclose(pb.jvp(root)(2.0, tangent=1.0)[1], 0.5 / np.sqrt(2), rtol=1e-6)

    def bounded(a: Any) -> Any:
        return root(a, max_steps=30)

    np.testing.assert_allclose(pb.grad(bounded)(2.0), 0.5 / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(pb.hessian(bounded)(2.0), -0.25 * 2**-1.5, rtol=1e-4)
    np.testing.assert_allclose(pb.grad(pb.grad(bounded))(2.0), -0.25 * 2**-1.5, rtol=1e-4)
    with pytest.raises(NotDifferentiable, match="max_steps"):
        pb.grad(root)(2.0)


def test_branches() -> None:
    """Traced, the graph chooses at run time, and differentiates what was chosen."""

    def loss(p: Any, x: Any) -> Any:
        return lax.cond(
            pnp.sum(x) > p, lambda x: pnp.sum(x**2), lambda x: p * pnp.sum(pnp.exp(x)), x
        )

    def theirs(p: Any, x: Any) -> Any:
        return jax.lax.cond(
            jnp.sum(x) > p, lambda x: jnp.sum(x**2), lambda x: p * jnp.sum(jnp.exp(x)), x
        )

    for p in (-100.0, 100.0):
        close(loss(p, X[0]), theirs(p, X[0]))
        close(
            pb.value_and_grad(loss, ("p", "x"))(p, X[0]),
            jax.value_and_grad(theirs, (0, 1))(p, X[0]),
        )
        close(pb.hessian(loss, "x")(p, X[0]), jax.hessian(theirs, 1)(p, X[0]))


def test_a_branch_not_taken_does_not_run() -> None:
    """An endless loop in the other branch harms nobody."""

    def forever(x: Any) -> Any:
        return lax.while_loop(lambda s: s == s, lambda s: s + 1.0, x)

    def choose(flag: Any, x: Any) -> Any:
        return lax.cond(flag > 0, lambda x: x * 2.0, forever, x)

    graph = pb.trace(choose, 1.0, 3.0)
    assert pb.local().value(graph, {"flag": 1.0, "x": 3.0}).outputs["result"] == 6.0


@pytest.mark.parametrize(("index", "slope"), [(-3, 1.0), (0, 1.0), (1, 2.0), (2, 3.0), (9, 3.0)])
def test_switch_takes_the_nearest_branch(index: int, slope: float) -> None:
    """Out of range on either side; on plain numbers and in a graph."""

    def chosen(i: Any, x: Any) -> Any:
        return lax.switch(i, [lambda x: x, lambda x: 2.0 * x, lambda x: 3.0 * x], x)

    assert chosen(np.int64(index), 5.0) == slope * 5.0
    assert pb.grad(chosen, "x")(np.asarray(index), 5.0) == slope


def test_stop_gradient_is_a_constant_to_derivatives() -> None:
    """On structures too."""
    x = X[0]
    gradient = pb.grad(lambda x: pnp.sum(lax.stop_gradient({"a": x})["a"] * x))(x)
    np.testing.assert_array_equal(gradient, x)


def test_a_custom_derivative_is_taken_in_both_modes() -> None:
    """From a vjp or a jvp alone; the wrong factor shows that it is the rule that counts."""

    @lax.custom_derivative(vjp=lambda primals, result, g: (7.0 * g * result,))
    def by_vjp(x: Any) -> Any:
        return pnp.exp(x)

    @lax.custom_derivative(jvp=lambda primals, tangents: 7.0 * pnp.exp(primals[0]) * tangents[0])
    def by_jvp(x: Any) -> Any:
        return pnp.exp(x)

    x = X[0]
    for function in (by_vjp, by_jvp):
        np.testing.assert_array_equal(function(x), np.exp(x))
        total = lambda x, f=function: pnp.sum(f(x))  # noqa: E731  (a function of one argument)
        np.testing.assert_allclose(pb.grad(total)(x), 7 * np.exp(x))
        tangent = pb.jvp(total)(x, tangent=np.ones(3))[1]
        np.testing.assert_allclose(tangent, 7 * np.exp(x).sum())


def test_custom_derivatives_of_structures() -> None:
    """Two arguments, one nested; None and a number for what has no more to it; no integer's."""

    def rule(primals: Any, result: Any, g: Any) -> Any:
        _, _, y = primals
        return {"w": g["z"] * y, "b": None}, None, pnp.sum(g["z"])

    @lax.custom_derivative(vjp=rule)
    def model(params: Any, n: int, y: Any) -> Any:
        return {"z": params["w"] * n + y + params["b"]}

    def loss(params: Any, y: Any) -> Any:
        return pnp.sum(model(params, 3, y)["z"])

    params = {"w": np.ones(2), "b": np.zeros(2)}
    gradient, by_y = pb.grad(loss, ("params", "y"))(params, 5.0)
    np.testing.assert_array_equal(gradient["w"], [5.0, 5.0])
    np.testing.assert_array_equal(gradient["b"], [0.0, 0.0])
    assert by_y == 2.0


def test_what_a_custom_function_captures_has_no_derivative() -> None:
    """An error, not a silent zero; with stop_gradient it is meant."""

    def loss(w: Any, x: Any, held: bool) -> Any:
        used = lax.stop_gradient(w) if held else w
        scaled = lax.custom_derivative(lambda x: x * used, jvp=lambda p, t: t[0])
        return pnp.sum(scaled(x))

    np.testing.assert_array_equal(pb.grad(loss, "x")(2.0, X[0], False), np.ones(3))
    with pytest.raises(NotDifferentiable, match="pass it as an argument"):
        pb.grad(loss, "w")(2.0, X[0], False)
    assert pb.grad(loss, "w")(2.0, X[0], True) == 0.0


def test_loops_within_loops_and_gradients_within_loops() -> None:
    """A scan of scans that takes a gradient inside."""

    def loss(w: Any, x: Any) -> Any:
        def outer(h: Any, row: Any) -> Any:
            slope = pb.grad(lambda u: pnp.sum(pnp.sin(w @ u) * u))(h)
            inner, _ = lax.scan(lambda c, e: (pnp.tanh(c * e + slope), None), h, row)
            return inner, pnp.sum(inner)

        return pnp.sum(lax.scan(outer, pnp.ones(3), x)[1])

    def theirs(w: Any, x: Any) -> Any:
        def outer(h: Any, row: Any) -> Any:
            slope = jax.grad(lambda u: jnp.sum(jnp.sin(w @ u) * u))(h)
            inner, _ = jax.lax.scan(lambda c, e: (jnp.tanh(c * e + slope), None), h, row)
            return inner, jnp.sum(inner)

        return jnp.sum(jax.lax.scan(outer, jnp.ones(3), x)[1])

    close(pb.value_and_grad(loss, ("w", "x"))(W, X), jax.value_and_grad(theirs, (0, 1))(W, X))


# --- errors ---------------------------------------------------------------------------------------

BAD: tuple[tuple[Callable[[], Any], type[PullbackError], str], ...] = (
    (
        lambda: lax.scan(lambda c, x: ({"h": c["h"][:2]}, None), {"h": np.zeros(3)}, X),
        ShapeError,
        r"'carry.h' is float64\[3\] before a step of .*<lambda> and float64\[2\] after it",
    ),
    (
        lambda: lax.scan(lambda c, x: (pnp.astype(c, "float32"), None), np.zeros(3), X),
        DTypeError,
        r"'carry' is float64\[3\] before a step of .*<lambda> and float32\[3\] after it",
    ),
    (
        lambda: lax.scan(lambda c, x: ((c, c), None), np.zeros(3), X),
        TraceError,
        "return it as it came",
    ),
    (lambda: lax.scan(lambda c, x: c, np.zeros(3), X), TraceError, r"must return \(carry, y\)"),
    (lambda: lax.scan(lambda c, x: (c, None), 0.0), InputError, "needs length="),
    (
        lambda: lax.scan(lambda c, x: (c, None), 0.0, {"a": X, "b": X[:2]}),
        InputError,
        "x.a has 6, x.b has 2",
    ),
    (lambda: lax.scan(lambda c, x: (c, None), 0.0, 1.0), InputError, "'x' is 0-d"),
    (
        lambda: lax.scan(lambda c, x: (c, None), 0.0, X, checkpoint=0),
        InputError,
        "checkpoint is 0",
    ),
    (lambda: lax.map(lambda x: None, X), TraceError, "returns no array"),
    (lambda: lax.while_loop(lambda s: s, lambda s: s, X), TraceError, "must give one truth value"),
    (lambda: lax.cond(X[0], abs, abs, 1.0), DTypeError, "one truth value"),
    (lambda: lax.switch(1.0, [abs], 1.0), DTypeError, "one integer"),
    (lambda: lax.switch(0, [], 1.0), InputError, "a branch at least"),
    (
        lambda: pb.trace(lambda x: lax.cond(x > 0, lambda: x, lambda: (x, x)), 1.0),
        TraceError,
        "branches must return alike",
    ),
    (
        lambda: pb.trace(lambda x: lax.cond(x[0, 0] > 0, lambda: x, lambda: x[:2]), X),
        ShapeError,
        r"float64\[2,3\] from .*, float64\[6,3\] from",
    ),
    (lambda: lax.custom_derivative(abs), InputError, "needs jvp= or vjp="),
    (
        lambda: pb.trace(lax.custom_derivative(abs, vjp=lambda p, z, g: (g[:2],)), X[0]),
        ShapeError,
        r"gives float64\[2\] for 'argument.0', which is float64\[3\]",
    ),
    (
        lambda: pb.trace(lax.custom_derivative(abs, vjp=lambda p, z, g: g), X[0]),
        TraceError,
        r"structured as \[''\], it must be as \['0'\]",
    ),
)


@pytest.mark.parametrize(("call", "kind", "message"), BAD)
def test_errors_name_the_leaf_and_what_to_do(
    call: Callable[[], Any], kind: type[PullbackError], message: str
) -> None:
    """Typed, in the user's own terms."""
    with pytest.raises(kind, match=message):
        call()


def test_an_error_in_a_body_shows_its_line() -> None:
    """As everywhere: the deepest line of the user's own code."""
    with pytest.raises(ShapeError, match=r"test_lax\.py"):
        pb.trace(lambda x: lax.scan(lambda c, e: (c + e @ x, None), 0.0, x), X)
