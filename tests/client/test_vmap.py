"""`pb.vmap` by its meaning: a loop over the points gives the same, whatever it is composed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax

RNG = np.random.default_rng(3)
POINTS = 5
X = RNG.normal(size=(POINTS, 3))
W = RNG.normal(size=(3, 3))


def loss(x: Any, w: Any) -> Any:
    """A scalar of a vector and a matrix."""
    return pnp.sum(pnp.tanh(x @ w) * x)


def loop(function: Any, *columns: Any) -> Any:
    """The function at each point, its results stacked."""
    rows = [function(*row) for row in zip(*columns, strict=True)]
    return np.stack(rows)


def close(found: Any, want: Any) -> None:
    """Equal to rounding, in shape and dtype too."""
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12, strict=True)


# --- axes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("out", [0, 1, 2, -2])
def test_any_axis_in_and_out(axis: int, out: int) -> None:
    """The axis of the points may stand anywhere in an argument and in a result."""
    x = RNG.normal(size=(2, 4, 2, 3)).swapaxes(0, axis)[..., :3]
    mapped = pb.vmap(lambda x: pnp.sin(x) * 2.0, in_axes=axis, out_axes=out)(x)
    close(mapped, np.moveaxis(np.sin(np.moveaxis(x, axis, 0)) * 2.0, 0, out))


def test_structures_of_axes() -> None:
    """Axes may be said for parts of an argument and of a result, as deep as wanted."""

    @dataclass(frozen=True)
    class Model:
        w: Any
        b: Any
        name: Any = "model"

    def apply(models: dict[str, Any], x: Any, power: int) -> dict[str, Any]:
        y = x @ models["first"].w + models["first"].b
        return {"y": y**power, "b": (models["second"], None), "name": models["first"].name}

    model = Model(W, X)
    found = pb.vmap(
        apply,
        in_axes=({"second": None, "first": Model(None, 0, None)}, 1, None),
        out_axes={"name": None, "b": None, "y": 1},
    )({"first": model, "second": 2.5}, X.T, 2)
    close(found["y"], ((X @ W + X) ** 2).T)
    assert found["b"] == (2.5, None)
    assert found["name"] == "model"


def test_arguments_by_keyword_and_lists_of_them() -> None:
    """Entries go by the order of the signature; keyword-only and starred arguments are mapped."""

    def f(x: Any, *rest: Any, scale: Any) -> Any:
        return x * rest[0] + rest[1] * scale

    close(
        pb.vmap(f, in_axes=(0, None, 0))(X, W[0], X, scale=X[:, 0]),
        X * W[0] + X * X[:, :1],
    )
    close(pb.vmap(loss, in_axes=(0, None))(X, w=W), loop(lambda x: loss(x, W), X))


def test_a_result_common_to_all_points() -> None:
    """It is repeated along the axis, or stays as it is where the axes say None."""
    close(pb.vmap(lambda x: pnp.ones(2))(X), np.ones((POINTS, 2)))
    close(pb.vmap(lambda x: pnp.ones(2), out_axes=None)(X), np.ones(2))
    close(pb.vmap(lambda: pnp.ones(2), axis_size=4)(), np.ones((4, 2)))


@pytest.mark.parametrize("points", [0, 1])
def test_no_points_and_one(points: int) -> None:
    """No points give empty arrays, one gives that point."""
    x = np.ones((points, 3))
    close(
        pb.vmap(pb.grad(loss), (0, None))(x, W), np.stack([pb.grad(loss)(np.ones(3), W)])[:points]
    )


# --- composition ----------------------------------------------------------------------------------

DERIVATIVES = {
    "value": lambda f: f,
    "grad": pb.grad,
    "value_and_grad": lambda f: lambda x, w: pb.value_and_grad(f)(x, w)[1],
    "grad of the matrix": lambda f: pb.grad(f, "w"),
    "jacobian": lambda f: pb.jacobian(lambda x, w: pnp.tanh(x @ w) * f(x, w)),
    "hessian": pb.hessian,
    "jvp": lambda f: lambda x, w: pb.jvp(f)(x, w, tangent=x * 2.0)[1],
    "vjp": lambda f: lambda x, w: pb.vjp(f)(x, w, cotangent=3.0)[1],
    "hvp": lambda f: lambda x, w: pb.hvp(f)(x, w, tangent=x + 1.0),
    "grad of grad": lambda f: pb.grad(lambda x, w: pnp.sum(pb.grad(f)(x, w) ** 2)),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_mapped(name: str) -> None:
    """A derivative of each point is that of the loop, over one argument or both."""
    derivative = DERIVATIVES[name](loss)
    ws = RNG.normal(size=(POINTS, 3, 3))
    close(pb.vmap(derivative, (0, None))(X, W), loop(lambda x: derivative(x, W), X))
    close(pb.vmap(derivative)(X, ws), loop(derivative, X, ws))


def test_what_is_mapped_differentiated() -> None:
    """Every derivative of a mapped function is that of the stacked loop."""
    mapped = pb.vmap(loss, (0, None))
    rows = loop(lambda x: pb.grad(loss)(x, W), X)
    close(pb.grad(lambda x: pnp.sum(mapped(x, W)))(X), rows)
    close(
        pb.grad(lambda w: pnp.sum(mapped(X, w)))(W),
        loop(lambda x: pb.grad(loss, "w")(x, W), X).sum(0),
    )
    close(np.einsum("iij->ij", pb.jacobian(mapped)(X, W)), rows)
    close(pb.jvp(mapped)(X, W, tangent=X)[1], np.sum(rows * X, 1))
    close(pb.vjp(mapped)(X, W, cotangent=np.arange(5.0))[1], rows * np.arange(5.0)[:, None])
    whole = pb.hessian(lambda x: pnp.sum(mapped(x, W)))(X)
    close(np.einsum("iaib->iab", whole), loop(lambda x: pb.hessian(loss)(x, W), X))
    close(
        pb.hvp(lambda x: pnp.sum(mapped(x, W)))(X, tangent=X),
        loop(lambda x: pb.hvp(loss)(x, W, tangent=x), X),
    )


def test_mapping_a_mapped_function() -> None:
    """The inner axis is counted without the outer one; the outer one is in front of the result."""
    y = RNG.normal(size=(4, 3))
    table = pb.vmap(pb.vmap(lambda x, y: x @ y, (0, None)), (None, 0))(X, y)
    close(table, y @ X.T)
    inner = pb.vmap(pnp.cumsum, in_axes=1, out_axes=1)
    cube = RNG.normal(size=(2, 3, 4))
    close(pb.vmap(inner, in_axes=2, out_axes=2)(cube), np.cumsum(cube, 0))


def test_values_from_around() -> None:
    """What the function takes from a trace around it, or from plain arrays, is common to all."""

    def total(w: Any, x: Any) -> Any:
        return pnp.sum(pb.vmap(lambda row: loss(row, w) * X[0, 0])(x))

    close(pb.grad(total)(W, X), X[0, 0] * loop(lambda x: pb.grad(loss, "w")(x, W), X).sum(0))


def test_control_flow_is_mapped() -> None:
    """Loops with a count or a condition of their own, and branches that differ, match the loop."""

    def newton(x: Any) -> Any:
        def step(y: Any) -> Any:
            return 0.5 * (y + x / y)

        root = lax.while_loop(lambda y: pnp.abs(y * y - x) > 1e-12 * x, step, x)
        total, _ = lax.scan(lambda c, k: (c + pnp.sin(c * k), c), root, pnp.arange(4.0))
        return lax.cond(x > 1.0, lambda v: v * 2.0, lambda v: v**3, total)

    x = np.array([0.25, 1e-3, 4.0, 100.0, 0.9])
    close(pb.vmap(newton)(x), np.stack([newton(v) for v in x]))
    slope = pb.grad(lambda x: lax.scan(lambda c, k: (pnp.sin(c * k), c), x, pnp.arange(4.0))[0])
    close(pb.vmap(slope)(x), np.stack([slope(v) for v in x]))


@pytest.mark.parametrize("max_steps", [3, 60])
def test_derivatives_of_a_loop_that_each_point_ends_itself(max_steps: int) -> None:
    """Reverse mode keeps what each point's own steps need, mapped before or after."""

    def root(a: Any, scale: Any) -> Any:
        def step(state: tuple[Any, Any]) -> tuple[Any, Any]:
            y, steps = state
            return 0.5 * (y + a / y) * scale, steps + 1

        start = (a * 1.0 + 1.0, 0)
        found, steps = lax.while_loop(
            lambda state: pnp.abs(state[0] ** 2 - a) > 1e-9 * a, step, start, max_steps=max_steps
        )
        return found * (1.0 + 0.1 * steps)

    a = np.array([1e-3, 0.5, 1.0, 2.0, 5e4])
    gradient = pb.grad(root, wrt=(0, 1))
    want = [np.stack(column) for column in zip(*[gradient(v, 1.0) for v in a], strict=True)]
    for found, wanted in zip(pb.vmap(gradient, (0, None))(a, 1.0), want, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    mapped = pb.vmap(root, (0, None))
    found = pb.grad(lambda a, s: pnp.sum(mapped(a, s)), wrt=(0, 1))(a, 1.0)
    np.testing.assert_allclose(found[0], want[0], rtol=1e-10)
    np.testing.assert_allclose(found[1], want[1].sum(), rtol=1e-10)
    curved = pb.vmap(pb.hessian(root), (0, None))(a, 1.0)
    np.testing.assert_allclose(curved, [pb.hessian(root)(v, 1.0) for v in a], rtol=1e-8)
    graph = pb.trace(pb.vmap(gradient, (0, None)), np.ones(10_000), 1.0)
    assert len(graph.nodes) < 200


def test_services_run_mapped_functions() -> None:
    """A mapped function is one for every service's transforms."""
    with pb.local() as service:
        mapped = pb.vmap(loss, (0, None))
        close(service.value(mapped)(X, W), loop(lambda x: loss(x, W), X))
        gradient = service.grad(lambda x, w: pnp.sum(mapped(x, w)), wrt="x")(X, W)
        close(gradient, loop(lambda x: pb.grad(loss)(x, W), X))


def test_a_trace_holds_no_loop() -> None:
    """A mapped product with a common matrix is one product of all points."""
    graph = pb.trace(pb.vmap(lambda x, w: pnp.exp(x @ w), (0, None)), X, W)
    assert [node.op.name for node in graph.nodes] == ["matmul", "exp"]


# --- graphs ---------------------------------------------------------------------------------------


def test_graphs_are_mapped_over_any_axis() -> None:
    """`Graph.vmap` takes the axes by the names of inputs and outputs."""
    graph = pb.trace(lambda x, w: {"y": pnp.exp(x @ w), "w": 2.0 * w}, X[0], W)
    mapped = graph.vmap({"x": 1}, POINTS, {"y": -1, "w": None})
    result = pb.local().evaluate(mapped, {"x": X.T, "w": W})
    close(result.outputs["y"], np.exp(X @ W).T)
    close(result.outputs["w"], 2.0 * W)
    assert graph.vmap(["x"], POINTS) == graph.vmap({"x": 0}, POINTS, 0)


GRAPH_FAULTS: list[tuple[Any, Any, Any, str]] = [
    ({"v": 0}, 2, 0, "no input 'v'"),
    ({"x": 2}, 2, 0, "axis 2 of input 'x' is out of range.*give -2 to 1"),
    ({"x": 0}, -1, 0, "-1 positions"),
    ({"x": 0}, 2, {"z": 1}, "no output 'z'"),
    ({"x": 0}, 2, {"result": 5}, "axis 5 of output 'result' is out of range"),
    ({"x": 0}, 2, None, "'result' differs from point to point"),
]


@pytest.mark.parametrize(("axes", "size", "out", "message"), GRAPH_FAULTS)
def test_graphs_with_wrong_axes(axes: Any, size: int, out: Any, message: str) -> None:
    """An unknown name, an axis out of range or a negative size is named."""
    graph = pb.trace(pnp.exp, X[0])
    with pytest.raises(pb.InputError, match=message):
        graph.vmap(axes, size, out)


# --- faults ---------------------------------------------------------------------------------------

FAULTS: list[tuple[dict[str, Any], tuple[Any, ...], type[pb.PullbackError], str]] = [
    ({"in_axes": None}, (X, W), pb.InputError, "maps over nothing"),
    ({"in_axes": (0, 0)}, (X, W), pb.ShapeError, r"argument 'x' says 5, axis 0 of argument 'w' 3"),
    ({"in_axes": (2, None)}, (X, W), pb.InputError, r"'x' has shape \(5, 3\), so no axis 2"),
    ({"in_axes": (0,)}, (X, W), pb.InputError, "in_axes has 1 entries, and the call 2 arguments"),
    ({"in_axes": ("x", None)}, (X, W), pb.InputError, "in_axes holds 'x'"),
    ({"in_axes": (True, None)}, (X, W), pb.InputError, "in_axes holds True"),
    ({"in_axes": ([0, 1], None)}, (X, W), pb.InputError, r"\['0', '1'\].*one array"),
    ({"in_axes": (0, 0)}, (X, 3), pb.InputError, r"'w' has shape \(\), so no axis 0"),
    ({"in_axes": (0, None), "out_axes": 1}, (X, W), pb.InputError, "axis 1 of output 'result'"),
    ({"in_axes": (0, None), "out_axes": None}, (X, W), pb.InputError, "differs from point"),
    ({"in_axes": (0, None), "axis_size": 4}, (X, W), pb.ShapeError, "axis_size says 4, axis 0"),
]


@pytest.mark.parametrize(("how", "args", "kind", "message"), FAULTS)
def test_what_cannot_be_mapped(
    how: dict[str, Any], args: tuple[Any, ...], kind: type[pb.PullbackError], message: str
) -> None:
    """Wrong axes and sizes are typed errors that say what to give, traced or not."""
    with pytest.raises(kind, match=message):
        pb.vmap(loss, **how)(*args)
    with pytest.raises(kind, match=message):
        pb.grad(lambda *args: pnp.sum(pb.vmap(loss, **how)(*args)))(*args)


def test_what_is_no_function() -> None:
    """Something that cannot be called is refused at once."""
    with pytest.raises(pb.InputError, match="3 is no function"):
        pb.vmap(3)  # type: ignore[arg-type]  # what is tested
