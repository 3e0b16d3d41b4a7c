"""Functions become graphs: names, what is static, what is captured, and what is said of faults."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback.tracing.arguments import Parameters, take_apart
from pullback.tracing.function_graph import TRACES_KEPT, trace_function

X = np.arange(3.0)


def graph_of(function: Any, *args: Any, **keywords: Any) -> Any:
    """The traced function, from the cache if it is there."""
    parameters = Parameters(function)
    return trace_function(function, parameters, take_apart(parameters.bind(args, keywords)))


# --- names ----------------------------------------------------------------------------------------


@dataclass
class Model:
    w: Any
    depth: int = 2


def test_inputs_are_named_after_the_parameters():
    """Arrays go by parameter, and by dotted path inside one; what is no array is no input."""

    def f(params: Any, x: Any, *rest: Any, scale: Any, **more: Any) -> Any:
        return params["layers"][0].w * x * rest[1] * scale * more["extra"]

    graph = pb.trace(f, {"layers": [Model(X)]}, X, "text", X, scale=2.0, extra=X)
    assert graph.input_names == ("params.layers.0.w", "x", "rest.1", "scale", "extra")


def test_outputs_are_named_after_the_result():
    """One array is `result`, positions are below it, and a dict's and a dataclass's names stand."""
    assert pb.trace(lambda x: x, X).output_names == ("result",)
    assert pb.trace(lambda x: (x, [x + 1]), X).output_names == ("result.0", "result.1.0")
    assert pb.trace(lambda x: {"a": x, "b": (x, x)}, X).output_names == ("a", "b.0", "b.1")
    assert pb.trace(Model, X).output_names == ("w", "depth")


def test_builtins_are_traced_too():
    """A function without a signature has its arguments numbered."""
    assert pb.trace(np.add, X, X).output_type(0).shape == (3,)


def test_positional_only_and_default_parameters():
    """Arguments reach their parameters; a default left alone is the function's own, and weak."""

    def f(a: Any, /, b: Any = 2.0, *, c: Any = 3.0, d: Any = 5.0) -> Any:
        return a + 10 * b + 100 * c + 1000 * d

    x = np.ones(1, np.float32)
    graph = pb.trace(f, x, d=1.0)
    assert graph.input_names == ("a", "d")
    assert graph.output_type(0).dtype == np.float32
    assert pb.local().value(f)(x, d=1.0) == f(x, d=1.0)


def test_results_keep_what_is_no_array():
    """A result may hold None and strings beside arrays; numbers and plain arrays are outputs."""
    result = pb.local().value(lambda x: {"x": x, "n": None, "s": "text", "k": 3, "c": X})(X)
    assert result["n"] is None
    assert result["s"] == "text"
    assert result["k"] == 3
    np.testing.assert_array_equal(result["c"], X)


def test_a_function_that_returns_no_array():
    """A forgotten return is an error that says so."""
    with pytest.raises(pb.TraceError, match="returned no array but None"):
        pb.trace(lambda x: None, X)


# --- static arguments and the cache ---------------------------------------------------------------


def test_traces_are_kept():
    """The same function, structure, static values, shapes and dtypes give the same graph."""

    def f(x: Any, n: int) -> Any:
        return x**n

    first = graph_of(f, X, 2)
    assert graph_of(f, X + 1, 2) is first
    assert graph_of(f, X, 3) is not first
    assert graph_of(f, X[:2], 2) is not first
    assert graph_of(f, X.astype(np.float32), 2) is not first
    assert graph_of(f, n=2, x=X) is not None
    assert graph_of(f, X, 2) is first


def test_one_is_not_true():
    """Static values of another class are other values."""
    seen = []

    def f(x: Any, flag: Any) -> Any:
        seen.append(flag)
        return x * flag

    graph_of(f, X, 1)
    graph_of(f, X, True)
    assert [type(flag) for flag in seen] == [int, bool]


def test_kept_traces_are_bounded():
    """Traces of one function are dropped, the least recently used first."""

    def f(x: Any, n: int) -> Any:
        return x * n

    first = graph_of(f, X, 0)
    for n in range(1, TRACES_KEPT):
        graph_of(f, X, n)
    assert graph_of(f, X, 0) is first
    graph_of(f, X, TRACES_KEPT)
    assert graph_of(f, X, 0) is first
    second = graph_of(f, X, 1)
    assert graph_of(f, X, 1) is second


def test_traces_die_with_their_function():
    """Keeping traces keeps no function alive."""

    def make() -> Any:
        def f(x: Any) -> Any:
            return x * 2

        graph_of(f, X)
        return weakref.ref(f)

    reference = make()
    gc.collect()
    assert reference() is None


SCALE = 1.0


def scaled(x: Any) -> Any:
    """Uses a global through another function."""
    return _helper(x)


def _helper(x: Any) -> Any:
    return SCALE * x


def test_a_captured_name_that_is_bound_anew_means_a_new_trace(monkeypatch: pytest.MonkeyPatch):
    """Rebinding a global (used by a helper too), or a variable around, is noticed."""
    assert pb.grad(scaled)(2.0) == 1.0
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert pb.grad(scaled)(2.0) == 3.0

    factor = np.asarray(2.0)

    def f(x: Any) -> Any:
        return factor * x

    assert pb.grad(f)(1.0) == 2.0
    factor = np.asarray(5.0)
    assert pb.grad(f)(1.0) == 5.0


def test_an_attribute_named_like_a_global_is_no_capture(monkeypatch: pytest.MonkeyPatch):
    """Only names that the function takes from around itself count, not those of attributes."""

    def f(x: Any) -> Any:
        return np.sum(x.T) + x.size

    monkeypatch.setitem(globals(), "T", 1.0)
    first = graph_of(f, X)
    monkeypatch.setitem(globals(), "T", 2.0)
    monkeypatch.setitem(globals(), "size", 2.0)
    assert graph_of(f, X) is first


def test_an_unhashable_static_value_is_refused():
    """An argument that is neither an array nor hashable is an error that names it."""
    with pytest.raises(pb.TraceError, match=r"argument 'options\.0' is a set"):
        pb.trace(lambda x, options: x, X, [{1, 2}])


def test_callables_that_cannot_be_kept():
    """A callable that is not hashable is traced anew each time."""

    @dataclass
    class Affine:
        a: float

        def __call__(self, x: Any) -> Any:
            return self.a * x

    f = Affine(2.0)
    assert pb.grad(f)(1.0) == 2.0
    f.a = 3.0
    assert pb.grad(f)(1.0) == 3.0


# --- constants ------------------------------------------------------------------------------------


def test_a_constant_is_as_it_was_when_used():
    """A plain array changed in place between two uses gives two constants."""
    for size in (3, 3000):

        def f(x: Any, size: int = size) -> Any:
            known = np.arange(float(size)) ** 2
            first = np.sum(x * known)
            known[:] = 1.0
            known[0] = 2.0
            return first + np.sum(x * known)

        x = np.full(size, 0.5)
        assert pb.local().value(f)(x) == f(x)


def test_large_uniform_constants_are_not_written_out():
    """Zeros, ones and counting up, however large, take a few bytes of the graph."""

    def f(x: Any) -> Any:
        n = x.shape[0]
        return x + np.ones(n) + np.zeros((n,)) + np.take(x, np.arange(n).reshape(-1, 2)).sum()

    x = np.arange(10_000.0)
    graph = pb.trace(f, x)
    assert sum(constant.nbytes for constant in graph.constants) < 100
    np.testing.assert_array_equal(pb.local().value(f)(x), f(x))


def test_a_large_constant_is_kept_once():
    """An array used several times is one constant, NaN in it or not."""
    known = np.random.default_rng(0).normal(size=2000)
    known[0] = np.nan
    graph = pb.trace(lambda x: np.sum(x * known) + np.max(x - known), np.ones(2000))
    assert len([c for c in graph.constants if c.size == 2000]) == 1


# --- faults ---------------------------------------------------------------------------------------


def test_a_fault_names_the_line():
    """An error of a traced function says in which of its lines it arose, and keeps its class."""

    def inner(x: Any) -> Any:
        return np.reshape(x, (2, 2))  # the fault

    def outer(x: Any) -> Any:
        return inner(x + 1)

    with pytest.raises(
        pb.ShapeError, match=r"in .*inner, at .*test_tracing\.py:\d+: .*# the fault"
    ):
        pb.trace(outer, X)


def test_a_fault_inside_a_nested_gradient_names_the_line():
    """The line named is the innermost of the user's, however the function was reached."""

    def loss(y: Any) -> Any:
        return pnp.sum(y @ np.ones((7, 7)))  # the fault

    with pytest.raises(pb.ShapeError, match="# the fault"):
        pb.grad(lambda x: np.sum(pb.grad(loss)(x)))(X)


def test_other_errors_pass_unchanged():
    """What the function raises itself is not touched."""

    def f(x: Any) -> Any:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        pb.trace(f, X)


def test_a_value_that_outlives_its_trace():
    """A traced value used after its function returned is an error that says so."""
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        return x

    pb.trace(f, X)
    with pytest.raises(pb.TraceError, match="used outside the function it was traced in"):
        kept[0] + 1
    with pytest.raises(pb.TraceError, match="a trace that has ended"):
        pb.trace(lambda x: x + kept[0], X)


def test_a_traced_value_of_the_function_around_is_refused_by_trace():
    """A graph of its own cannot use values of another trace."""

    def outer(x: Any) -> Any:
        pb.trace(lambda y: x + y, np.ones(3))
        return x

    with pytest.raises(pb.TraceError, match="pass it as an argument"):
        pb.trace(outer, X)


def test_traced_arrays_look_like_arrays():
    """A traced array has the attributes of an array, and is not hashable, like one."""

    def f(x: Any) -> Any:
        assert (x.shape, x.dtype, x.ndim, x.size) == ((2, 3), np.float64, 2, 6)
        assert (x.nbytes, x.itemsize, len(x)) == (48, 8, 2)
        assert repr(x) == "TracedArray(float64[2,3])"
        with pytest.raises(TypeError):
            hash(x)
        return x.T @ x + x.mT @ x

    assert pb.trace(f, np.ones((2, 3))).output_type(0).shape == (3, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: -x + 1 - 2 * x / 3,
        lambda x: 1 / (x + 4) - 2 // (x + 4) + 7 % (x + 4),
        lambda x: (x + 4) // 2 + (x + 4) % 2 + divmod(x + 4, 2)[1],
        lambda x: x**2 + 2.0**x + (x + 4) ** 0.5 + (x + 4) ** -1 + (x + 4) ** 1.5,
        lambda x: abs(x) + +x + round(x[2], 1) + round(x[1]),
        lambda x: np.where((x > 0) & ~(x >= 1) | (x == 0) ^ (x != 2), x, -x),
        lambda x: (x < 1) * x + (x <= 1) * x,
        lambda x: np.ones((2, 3)) @ x + [1.0, 2.0],
        lambda x: x @ np.ones((3, 2)),
    ],
)
def test_operators(function: Any):
    """Python's operators mean what they mean on NumPy arrays."""
    np.testing.assert_allclose(pb.local().value(function)(X), function(X), rtol=1e-14)


def test_operators_leave_strangers_alone():
    """An operand that is no array gets its own say, and equality with None is false."""

    class Stranger:
        def __radd__(self, other: Any) -> str:
            return "mine"

    def f(x: Any) -> Any:
        assert x + Stranger() == "mine"
        assert (x == None) is False  # noqa: E711  (what is tested)
        with pytest.raises(TypeError):
            x + "text"
        return x

    pb.trace(f, X)


def test_with_shapes_keeps_the_mean_right():
    """A mean divides by the length that the graph is run with, not the one it was traced with."""
    graph = pb.trace(lambda x: pnp.mean(x**2) + pnp.var(x), np.ones(4))
    longer = graph.with_shapes({"x": (7,)})
    x = np.arange(7.0)
    result = pb.local().evaluate(longer, {"x": x}).outputs["result"]
    np.testing.assert_allclose(result, np.mean(x**2) + np.var(x))


def test_with_shapes_resizes_a_loss():
    """Zeros and ones made in the function's own sizes follow a longer batch."""

    def loss(w: Any, x: Any, y: Any) -> Any:
        h = np.tanh(x @ w) + np.ones((len(x), 1))
        h = np.where(h > 0, h, np.zeros_like(h)) - h.mean(axis=0)
        chosen = np.take_along_axis(pnp.log_softmax(h), y[:, None], axis=1)
        return -chosen.mean() + np.sum(np.concatenate([h[:, :1], np.zeros((len(x), 2))], axis=1))

    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 2))

    def batch(n: int) -> tuple[Any, Any]:
        return rng.normal(size=(n, 3)), rng.integers(0, 2, n)

    longer = pb.trace(loss, w, *batch(5)).with_shapes({"x": (9, 3), "y": (9,)})
    x, y = batch(9)
    result = pb.local().evaluate(longer, {"w": w, "x": x, "y": y}).outputs["result"]
    np.testing.assert_allclose(result, loss(w, x, y))
