"""Derivatives of functions: structures, nesting, every want, and the same over any service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import pullback as pb
import pullback.numpy as pnp
from pullback.remote.remote_tensor import RemoteTensor
from pullback.transforms import AsyncTransforms, Transforms

RNG = np.random.default_rng(2)
W, X, Y = RNG.normal(size=3), RNG.normal(size=(5, 3)), RNG.normal(size=5)


def loss(w: Any, x: Any, y: Any) -> Any:
    """A mean of squares."""
    return np.mean((x @ w - y) ** 2)


def loss_gradient(w: Any, x: Any, y: Any) -> Any:
    """Its gradient by `w`, by hand."""
    return 2 * x.T @ (x @ w - y) / len(y)


@dataclass(frozen=True)
class Model:
    w: Any
    b: Any
    name: str = "model"


# --- the theory's examples ------------------------------------------------------------------------


def test_a_polynomial():
    """The derivative of x² + 2x + 1 at 3 is 8."""
    assert pb.grad(lambda x: x**2 + 2 * x + 1)(3.0) == 8.0


def test_a_mean():
    """The gradient of mean(2x) is 2/3 at each of three elements."""
    gradient = pb.grad(lambda x: np.mean(2 * x))(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(gradient, [2 / 3] * 3, rtol=1e-15)


def test_a_product():
    """(x1 + x2) x3 at (2, 3, 4) has adjoints 4, 4 and 5."""
    assert pb.grad(lambda a, b, c: (a + b) * c, wrt=(0, 1, 2))(2.0, 3.0, 4.0) == (4.0, 4.0, 5.0)


# --- which arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrt", [None, 0, "w", -3])
def test_wrt_one(wrt: Any):
    """A name, a position or nothing (the first argument) give the gradient in its structure."""
    value, gradient = pb.value_and_grad(loss, wrt)(W, X, Y)
    assert value == pytest.approx(loss(W, X, Y))
    np.testing.assert_allclose(gradient, loss_gradient(W, X, Y))
    assert isinstance(value, np.float64)


@pytest.mark.parametrize("wrt", [("w", "y"), [0, 2], ("w", -1)])
def test_wrt_several(wrt: Any):
    """Several arguments give a tuple, in the order asked for."""
    gradients = pb.grad(loss, wrt)(W, x=X, y=Y)
    assert isinstance(gradients, tuple)
    np.testing.assert_allclose(gradients[0], loss_gradient(W, X, Y))
    np.testing.assert_allclose(gradients[1], -2 * (X @ W - Y) / 5)


def test_wrt_something_nested():
    """A dotted name reaches into an argument; the gradient has the structure of what is there."""

    def f(params: Any, x: Any) -> Any:
        (first, second), scale = params["models"], params["scale"]
        return np.sum(x @ first.w + second.b) * scale

    params = {"models": [Model(W, 0.5), Model(W, 1.5)], "scale": 2.0}
    whole = pb.grad(f)(params, X)
    assert whole["models"][0].name == "model"
    np.testing.assert_allclose(whole["models"][0].w, 2 * X.sum(0))
    np.testing.assert_array_equal(whole["models"][1].w, np.zeros(3))
    assert whole["models"][1].b == 10.0
    part = pb.grad(f, "params.models.0")(params, X)
    assert isinstance(part, Model)
    np.testing.assert_allclose(part.w, whole["models"][0].w)
    single, scale = pb.grad(f, ("params.models.0.w", "params.scale"))(params, X)
    np.testing.assert_allclose(single, whole["models"][0].w)
    assert scale == whole["scale"]


@pytest.mark.parametrize(
    ("wrt", "kind", "message"),
    [
        ("v", pb.InputError, "no 'v'; known: w, x, y"),
        (3, pb.TraceError, "no argument 3; the call has w, x, y"),
        (("w", "w"), pb.InputError, "twice"),
    ],
)
def test_wrt_that_is_not_there(wrt: Any, kind: type[pb.PullbackError], message: str):
    """An argument that is not there is an error that lists those that are."""
    with pytest.raises(kind, match=message):
        pb.grad(loss, wrt)(W, X, Y)


def test_integers_have_no_derivative():
    """An integer in `wrt` is an error that says what to pass, never a silent zero."""
    with pytest.raises(pb.NotDifferentiable, match=r"argument 'x' is 3.*2\.0 for 2"):
        pb.grad(lambda x: x**2)(3)
    with pytest.raises(pb.NotDifferentiable, match="input 'x' is int64"):
        pb.grad(lambda x: np.sum(x * 1.0))(np.arange(3))


def test_what_has_no_gradient():
    """A result that is no floating scalar is an error that says what to do."""
    with pytest.raises(pb.NotDifferentiable, match="reduce it with sum or mean"):
        pb.grad(lambda x: x**2)(W)
    with pytest.raises(pb.NotDifferentiable, match="floating scalar"):
        pb.grad(np.argmax)(W)
    with pytest.raises(pb.TraceError, match="say has_aux=True"):
        pb.grad(lambda x: (np.sum(x), x))(W)
    with pytest.raises(pb.TraceError, match=r"must return \(value, aux\)"):
        pb.grad(np.sum, has_aux=True)(W)


def test_an_input_without_influence_gets_zeros():
    """What the result does not depend on has a zero gradient, and is listed in the metrics."""
    gradients = pb.grad(lambda x, y: np.sum(x), wrt=("x", "y"))(W, X)
    np.testing.assert_array_equal(gradients[1], np.zeros_like(X))
    graph = pb.trace(lambda x, y: np.sum(x), W, X)
    result = pb.local().evaluate(graph, {"x": W, "y": X}, gradient=["x", "y"])
    assert result.metrics.independent_inputs == ("y",)


def test_float32_stays_float32():
    """A gradient has the dtype of its argument, whatever Python numbers stand beside it."""
    gradient = pb.grad(lambda w, x: 0.5 * np.sum((x @ w) ** 2) / 3, wrt=("w", "x"))(
        W.astype(np.float32), X.astype(np.float32)
    )
    assert {g.dtype for g in gradient} == {np.dtype(np.float32)}


def test_aux():
    """`has_aux` hands on what the function returns beside its value, arrays or not."""

    def f(w: Any) -> Any:
        z = X @ w
        return np.sum(z**2), {"z": z, "note": "text"}

    (value, aux), gradient = pb.value_and_grad(f, has_aux=True)(W)
    assert value == pytest.approx(np.sum((X @ W) ** 2))
    np.testing.assert_allclose(aux["z"], X @ W)
    assert aux["note"] == "text"
    alone, same = pb.grad(f, has_aux=True)(W)
    np.testing.assert_array_equal(alone, gradient)
    np.testing.assert_array_equal(same["z"], aux["z"])


# --- other derivatives ----------------------------------------------------------------------------


def cubes(x: Any, a: Any) -> Any:
    """Two results, one of them not differentiable."""
    return {"y": a * x**3, "n": np.argmax(x)}


def test_jacobian():
    """Per array of the result and argument: result.shape + argument.shape; None where integer."""
    rows = pb.jacobian(cubes, wrt=("x", "a"))(W, 2.0)
    np.testing.assert_allclose(rows["y"][0], np.diag(6 * W**2))
    np.testing.assert_allclose(rows["y"][1], W**3)
    assert rows["n"] is None


def test_hessian():
    """Per pair of arguments: first.shape + second.shape."""

    def f(x: Any, a: Any) -> Any:
        return np.sum(a * x**3)

    np.testing.assert_allclose(pb.hessian(f)(W, 2.0), np.diag(12 * W))
    (xx, xa), (ax, aa) = pb.hessian(f, wrt=("x", "a"))(W, 2.0)
    np.testing.assert_allclose(xx, np.diag(12 * W))
    np.testing.assert_allclose(xa, 3 * W**2)
    np.testing.assert_allclose(ax, 3 * W**2)
    assert aa == 0


def test_vjp_and_jvp():
    """Both give the result too; the two modes are each other's transposes."""
    u, v = RNG.normal(size=3), RNG.normal(size=3)
    result, pulled = pb.vjp(cubes)(W, 2.0, cotangent={"y": u, "n": None})
    np.testing.assert_allclose(pulled, 6 * W**2 * u)
    same, pushed = pb.jvp(cubes)(W, 2.0, tangent=v)
    np.testing.assert_allclose(pushed["y"], 6 * W**2 * v)
    assert pushed["n"] is None
    assert result["n"] == same["n"] == np.argmax(W)
    _, pair = pb.jvp(cubes, wrt=("x", "a"))(W, 2.0, tangent=(v, 0.5))
    np.testing.assert_allclose(pair["y"], 6 * W**2 * v + 0.5 * W**3)


def test_hvp():
    """The Hessian times a direction, structured as the argument."""
    v = RNG.normal(size=3)
    product = pb.hvp(lambda p: np.sum(p["x"] ** 3))({"x": W}, tangent={"x": v})
    np.testing.assert_allclose(product["x"], 6 * W * v)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pb.vjp(cubes)(W, 2.0), "needs cotangent="),
        (lambda: pb.jvp(cubes)(W, 2.0, tangent={"x": W}), "structured as"),
        (lambda: pb.hvp(np.sum)(W, tangent=X), r"shape \(5, 3\), it needs \(3,\)"),
    ],
)
def test_seeds_that_do_not_fit(call: Any, message: str):
    """A missing seed, or one of another structure or shape, is an error that says what fits."""
    with pytest.raises(pb.InputError, match=message):
        call()


# --- nesting --------------------------------------------------------------------------------------


def test_gradients_of_gradients():
    """A gradient inside a function is part of its graph; orders add up."""
    third = pb.grad(pb.grad(pb.grad(lambda x: x**4)))
    assert third(2.0) == pytest.approx(48.0)


def test_a_gradient_inside_sees_the_values_around():
    """An inner function may use traced values of the outer one, which are differentiated too."""

    def outer(a: Any, x: Any) -> Any:
        inner = pb.grad(lambda z: np.sum(a * z**3))(x)  # 3 a z²
        return np.sum(inner)

    gradients = pb.grad(outer, wrt=("a", "x"))(2.0, W)
    assert gradients[0] == pytest.approx(np.sum(3 * W**2))
    np.testing.assert_allclose(gradients[1], 12 * W)


def test_three_deep():
    """Values are captured through several traces."""

    def outer(a: Any) -> Any:
        def middle(b: Any) -> Any:
            return pb.grad(lambda c: a * b * c**2)(3.0)  # 6 a b

        return pb.grad(middle)(2.0) * a  # 6 a²

    assert pb.grad(outer)(5.0) == pytest.approx(60.0)


def test_no_confusion_of_perturbations():
    """The derivative of x (d/dy (x + y)) is 1: the inner derivative does not see the outer."""
    assert pb.grad(lambda x: x * pb.grad(lambda y: x + y)(1.0))(1.0) == 1.0


def test_every_transform_inside_a_traced_function():
    """jacobian, hessian, vjp, jvp, hvp and value nest as well."""

    def f(x: Any) -> Any:
        cubed = lambda z: np.sum(z**3)  # noqa: E731  (short)
        parts = [
            np.sum(pb.jacobian(lambda z: z**2)(x)),
            np.sum(pb.hessian(cubed)(x)),
            np.sum(pb.vjp(lambda z: z**2)(x, cotangent=x)[1]),
            np.sum(pb.jvp(lambda z: z**2)(x, tangent=x)[1]),
            np.sum(pb.hvp(cubed)(x, tangent=x)),
            pb.local().value(cubed)(x),
        ]
        return sum(parts)

    total = np.sum(2 * W + 6 * W + 2 * W**2 + 2 * W**2 + 6 * W**2 + W**3)
    assert pb.local().value(f)(W) == pytest.approx(total)
    np.testing.assert_allclose(pb.grad(f)(W), 8 + 20 * W + 3 * W**2)


def test_a_gradient_of_plain_values_inside_is_a_constant():
    """A gradient inside a traced function that depends on nothing traced is computed at once."""
    graph = pb.trace(lambda x: x * pb.grad(lambda z: z**2)(3.0), 1.0)
    assert [node.op.name for node in graph.nodes] == ["multiply"]


# --- any service ----------------------------------------------------------------------------------


class Recorder(Transforms[pb.Result]):
    """A service that notes what it is asked, and asks the local one."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def evaluate(self, graph: Any, inputs: Any, **keywords: Any) -> pb.Result:
        """Note the call, and have it done here."""
        self.asked.append((graph, dict(inputs), keywords))
        keywords = {key: keywords.get(key, ()) for key in ("want", "seeds")}
        return pb.local().evaluate(graph, inputs, **keywords)


class AsyncRecorder(AsyncTransforms):
    """The same, answering with coroutines."""

    async def evaluate(self, graph: Any, inputs: Any, **keywords: Any) -> pb.Result:
        """Have it done here."""
        keywords = {key: keywords.get(key, ()) for key in ("want", "seeds")}
        return pb.local().evaluate(graph, inputs, **keywords)


def test_a_service_is_asked_for_jobs():
    """A transform asks a service for a derivative of the graph, with the options given to it."""
    service = Recorder()
    step = service.value_and_grad(loss, wrt="w", split="shard(2)", deadline_s=3.0)
    step(W, X, Y)
    value, gradient = step(W + 1, X, Y)
    np.testing.assert_allclose(gradient, loss_gradient(W + 1, X, Y))
    (first, inputs, keywords), (second, _, _) = service.asked
    assert first is second
    assert set(inputs) == {"w", "x", "y"}
    assert inputs["x"] is X
    assert keywords == {
        "want": pb.Gradient(("w",), "result"),
        "seeds": (),
        "split": "shard(2)",
        "deadline_s": 3.0,
    }
    assert value == pytest.approx(loss(W + 1, X, Y))


def test_handles_of_arrays_sent_before_are_handed_on():
    """An argument sent before is traced by its type alone, and goes to the service as it came."""
    service = Recorder()
    handle = RemoteTensor(X, pb.TensorHash("0" * 64))
    gradient = service.grad(loss)(W, handle, Y)
    np.testing.assert_allclose(gradient, loss_gradient(W, X, Y))
    assert service.asked[0][1]["x"] is handle


def test_a_nested_gradient_asks_no_service():
    """Inside a traced function a service's gradient goes into the graph; one job is sent."""
    service = Recorder()
    service.grad(lambda x: service.grad(lambda z: z**3)(x) ** 2)(2.0)
    assert len(service.asked) == 1


def test_verbs_on_graphs_and_functions_share_a_name():
    """The first argument says whether a graph or a function is meant."""
    service = Recorder()
    graph = pb.trace(lambda x: x**2, W)
    by_name = service.jacobian(graph, {"x": W}, "x").jacobians["result", "x"]
    np.testing.assert_array_equal(by_name, service.jacobian(lambda x: x**2)(W))
    assert service.value(graph, {"x": W}).outputs.keys() == {"result"}
    assert service.hvp(pb.trace(lambda x: x**3, 2.0), {"x": 2.0}, "x", {"x": 1.0}).seed(0)
    assert service.vjp(graph, {"x": W}, "x", {"result": W}).seed(0)
    assert service.jvp(graph, {"x": W}, {"x": W}).seed(0)
    assert service.hessian(pb.trace(np.sum, W), {"a": W}, "a").hessians
    with pytest.raises(pb.InputError, match="neither a function nor a graph"):
        service.grad(3)  # type: ignore[arg-type]  # what is tested


async def test_an_async_service_is_awaited():
    """Over an async service a transform gives coroutines, and nests without one."""
    service = AsyncRecorder()
    value, gradient = await service.value_and_grad(loss)(W, X, Y)
    np.testing.assert_allclose(gradient, loss_gradient(W, X, Y))
    assert value == pytest.approx(loss(W, X, Y))
    assert await service.hvp(lambda x: x**3)(2.0, tangent=1.0) == 12.0


def test_a_transformed_function_keeps_its_name_and_signature():
    """What a transform makes looks like the function it was made of."""
    made = pb.grad(loss, "w")
    assert made.__name__ == "loss"
    assert made.__doc__ == loss.__doc__


def test_scipys_optimiser_takes_it_as_it_is():
    """`value_and_grad` gives what `scipy.optimize.minimize` wants with `jac=True`."""
    found = minimize(pb.value_and_grad(loss), np.zeros(3), args=(X, Y), jac=True, method="L-BFGS-B")
    np.testing.assert_allclose(found.x, np.linalg.lstsq(X, Y)[0], atol=1e-4)


def test_functions_of_the_namespace_can_be_transformed():
    """A NumPy or namespace function is a function like any other."""
    np.testing.assert_allclose(pb.grad(np.sum)(W), np.ones(3))
    np.testing.assert_allclose(pb.grad(pnp.logsumexp)(W), pnp.softmax(W))
    assert pb.grad(np.sin)(0.0) == 1.0


def test_a_seed_that_does_not_fit_is_named_as_the_caller_named_it():
    """By its number and input, with the shape it should have; not by its name in the graph."""
    graph = pb.trace(lambda w: pnp.sum(w**3), np.ones(3))
    with pytest.raises(
        pb.InputError, match=r"seed 0 is float64\[4\] for 'w'.*float64\[3\]"
    ) as info:
        pb.local().hvp(graph, {"w": np.ones(3)}, "w", {"w": np.ones(4)})
    assert info.value.field == "seeds[0].w"
