"""`pb.local()`: the service without a server, with the same results, errors and metrics."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import pullback as pb

X = np.arange(4.0)


@pytest.fixture
def graph() -> pb.Graph:
    """The sum of w x², and x itself."""
    return pb.trace(lambda w, x: {"total": np.sum(w * x**2), "x": x}, X, X)


def test_values_and_gradients(graph: pb.Graph):
    """Outputs come by name, gradients by input, with what the job cost."""
    with pb.LocalService() as service:
        result = service.evaluate(graph, {"w": X, "x": X + 1}, gradient=["w", "x"])
    np.testing.assert_allclose(result.outputs["total"], np.sum(X * (X + 1) ** 2))
    np.testing.assert_allclose(result.gradients["w"], (X + 1) ** 2)
    np.testing.assert_allclose(result.gradients["x"], 2 * X * (X + 1))
    metrics = result.metrics
    assert metrics.executor == "numpy"
    assert metrics.nodes > 0
    assert metrics.flops > 0
    assert metrics.adjoint_evaluations > 0
    assert metrics.fused_s > 0
    assert metrics.total_s >= metrics.fused_s
    assert metrics.peak_bytes > 0


def test_numbers_and_lists_take_the_graphs_dtype(graph: pb.Graph):
    """Python's numbers and lists are inputs too, in the dtype the graph takes."""
    result = pb.local().evaluate(graph, {"w": [1, 2, 3, 4], "x": X.tolist()})
    np.testing.assert_allclose(result.outputs["total"], np.sum(np.arange(1, 5) * X**2))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"w": X}, "input 'x' is missing; the graph takes: w, x"),
        ({"w": X, "x": X, "v": X}, "no input 'v'; it takes: w, x"),
        ({"w": X, "x": X[:2]}, r"'x' is float64\[2\], the graph takes float64\[4\]"),
        ({"w": X, "x": X.astype(np.float32)}, "'x' is float32"),
        ({"w": X, "x": "text"}, "the graph takes|no array|not supported"),
        ({"w": X, "x": [[1], [2, 3]]}, "no array"),
    ],
)
def test_inputs_that_do_not_fit(graph: pb.Graph, inputs: Any, message: str):
    """A missing, unknown or ill-typed input is an error that names it and what the graph takes."""
    with pytest.raises(pb.RequestError, match=message):
        pb.local().evaluate(graph, inputs)


def test_hashes_are_not_kept_here(graph: pb.Graph):
    """Names of things sent before are not found, and the error says what to pass."""
    with pytest.raises(pb.NotFoundError, match="pass the graph"):
        pb.local().evaluate(pb.GraphHash(graph.fingerprint), {})
    with pytest.raises(pb.NotFoundError, match="pass the array of 'x'"):
        pb.local().evaluate(graph, {"w": X, "x": pb.TensorHash("0" * 64)})


def test_what_is_put_is_itself(graph: pb.Graph):
    """Code that sends its data first runs here too."""
    service = pb.local()
    service.wait_until_ready()
    handle = service.put_tensor(X)
    result = service.evaluate(service.put_graph(graph), {"w": handle, "x": service.put(X)})
    np.testing.assert_array_equal(result.outputs["x"], X)


def test_programs_are_kept():
    """A job that comes again is not compiled again; the least recently used program goes first."""
    service = pb.LocalService(programs=2)
    graphs = [pb.trace(lambda x, n=n: x**n, 2.0) for n in (2, 3, 4)]

    def hit(graph: pb.Graph) -> bool:
        return service.evaluate(graph, {"x": 2.0}).metrics.program_cache_hit

    assert [hit(graphs[0]), hit(graphs[0]), hit(graphs[1])] == [False, True, False]
    assert [hit(graphs[0]), hit(graphs[2]), hit(graphs[0])] == [True, False, True]
    assert hit(graphs[1]) is False
    service.close()
    assert hit(graphs[1]) is False


def test_what_programs_take_is_bounded():
    """Large constants count; the program used last stays, however large it is."""
    service = pb.LocalService(program_bytes=10_000)
    graphs = [pb.trace(lambda x, n=n: x + np.arange(n, n + 1000.0), 2.0) for n in range(3)]

    def hit(graph: pb.Graph) -> bool:
        return service.evaluate(graph, {"x": 2.0}).metrics.program_cache_hit

    assert [hit(graphs[0]), hit(graphs[0]), hit(graphs[1])] == [False, True, False]
    assert [hit(graphs[0]), hit(graphs[0]), hit(graphs[1])] == [False, True, False]
    huge = pb.trace(lambda x: x + np.arange(1e5), 2.0)
    assert [hit(huge), hit(huge)] == [False, True]


def test_map_keeps_order_and_puts_errors_in_place(graph: pb.Graph):
    """Results come in the order of the jobs; one that fails gives its error, and the rest go on."""
    good = {"w": X, "x": X}
    jobs = [
        pb.Job(graph, good, id="first"),
        (graph, {"w": X}),
        (graph, good, pb.Gradient(("w",), "total")),
        "no job",
        (graph, good),
    ]
    outcomes: list[Any] = list(pb.local().map(jobs, progress=False))
    kinds = [pb.Result, pb.InputError, pb.Result, pb.InputError, pb.Result]
    assert [type(outcome) for outcome in outcomes] == kinds
    assert outcomes[0].id == "first"
    np.testing.assert_allclose(outcomes[2].gradients["w"], X**2)


def test_map_with_a_bar(graph: pb.Graph, capsys: pytest.CaptureFixture[str]):
    """A progress bar goes to standard error when asked for."""
    jobs = [(graph, {"w": X, "x": X})] * 3
    assert len(list(pb.local().map(jobs, progress=True))) == 3
    assert "3/3" in capsys.readouterr().err


def test_not_a_number_is_counted_or_refused():
    """NaN and infinities are allowed and counted, or an error where the job says so."""
    graph = pb.trace(np.log, X)
    name = graph.input_names[0]
    x = np.array([1.0, 0.0, -1.0, np.nan])
    result = pb.local().evaluate(graph, {name: x})
    assert result.metrics.non_finite == {name: 1, "result": 3}
    with pytest.raises(pb.NonFiniteError, match="'result' holds 3"):
        pb.local().evaluate(graph, {name: x}, check="finite")


def test_options():
    """An unknown option and an impossible one are errors; where work goes is not asked here."""
    graph = pb.trace(lambda x: x, X)
    service = pb.local()
    service.evaluate(graph, {"x": X}, split="shard(2)", priority=3, reproducible=True)
    with pytest.raises(pb.UnsupportedError, match="memory cap; leave out"):
        service.evaluate(graph, {"x": X}, executor="xla", memory_cap_bytes=1 << 20)
    with pytest.raises(pb.RequestError, match="no option 'colour'"):
        service.evaluate(graph, {"x": X}, colour="red")  # type: ignore[call-arg]  # what is tested
    with pytest.raises(pb.LimitExceeded, match="memory cap is 10"):
        service.evaluate(graph, {"x": X}, memory_cap_bytes=10)


def test_a_deadline_stops_a_job():
    """A job that takes longer than its deadline is stopped."""

    def f(x: Any) -> Any:
        for _ in range(2000):
            x = np.sin(x) + 1.0
        return x

    graph = pb.trace(f, np.ones(1000))
    with pytest.raises(pb.DeadlineExceeded, match="deadline of 1e-09 s"):
        pb.local().evaluate(graph, {"x": np.ones(1000)}, deadline_s=1e-9)


def test_results_are_the_callers_own(graph: pb.Graph):
    """Writing into a result changes neither the inputs nor a later result."""
    inputs = {"w": X.copy(), "x": X.copy()}
    first = pb.local().evaluate(graph, inputs)
    first.outputs["x"][:] = 7.0
    np.testing.assert_array_equal(inputs["x"], X)
    np.testing.assert_array_equal(pb.local().evaluate(graph, inputs).outputs["x"], X)


def test_several_threads_at_once():
    """Tracing and running from several threads do not disturb each other."""

    def run(n: int) -> Any:
        return pb.grad(lambda x: np.sum(x**n) + pb.grad(lambda z: z**n)(x[0]))(X + 1)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, [2, 3, 4, 5] * 5))
    for n, gradient in zip([2, 3, 4, 5] * 5, found, strict=True):
        expected = n * (X + 1) ** (n - 1)
        expected[0] += n * (n - 1) * 1.0 ** (n - 2)
        np.testing.assert_allclose(gradient, expected)


def test_arrays_of_the_other_byte_order():
    """A big-endian array is taken as the numbers it holds."""
    graph = pb.trace(lambda x: (x * x).sum(), np.arange(4.0))
    given = np.arange(4.0).astype(">f8")
    found = pb.local().evaluate(graph, {"x": given}, gradient=["x"]).gradients["x"]
    np.testing.assert_array_equal(found, 2 * np.arange(4.0))
