"""The clients and the command line against the real server, with no worker but its own threads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import RunningServer, running_server
from pullback.remote.service import Service
from pullback_graph.graph import Graph
from tests.cli.running import SQUARES, run
from tests.client.graphs import scaled, square


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for the module, with a low limit that can be crossed."""
    with running_server("--workers", "0", "--max-nodes", "5000") as running:
        yield running


@pytest.fixture
def service(server: RunningServer) -> Iterator[Service]:
    """A client of its own for each test."""
    with pb.connect(server.address) as service:
        yield service


def chain(nodes: int) -> Graph:
    """x + x + x ...: so many nodes."""
    return pb.trace(lambda x: sum([x] * nodes, start=x), 1.0)


# --- one job --------------------------------------------------------------------------------------


def test_a_graph_travels_once(service: Service):
    """From the second call on, whatever is wanted, the service knows the graph."""
    hits = [
        service.gradient(scaled(7.5), {"x": float(i)}, "x").metrics.graph_cache_hit
        for i in range(3)
    ]
    assert hits[1:] == [True, True]
    assert service.value(scaled(7.5), {"x": 2.0}).outputs["y"] == 15.0
    assert service.hessian(scaled(7.5), {"x": 2.0}, "x").hessians["x", "x"] == 0.0


def test_sparse_derivatives_travel_with_their_pattern(service: Service):
    """A Jacobian and a Hessian in two diagonals and three, over the wire."""

    def energy(x: Any) -> Any:
        return pnp.sum((x[1:] - x[:-1] ** 2) ** 2)

    graph, x = pb.trace(energy, np.ones(400)), np.linspace(0.5, 1.0, 400)
    for _ in range(2):  # the second one finds the lowered graph, and the pattern with it
        result = service.hessian(graph, {"x": x}, "x", sparse=True)
        matrix = result.hessians["x", "x"]
        assert (matrix.shape, matrix.nnz) == ((400, 400), 3 * 400 - 2)
        assert result.metrics.mode == "sparse forward over reverse"
        assert "3 colour(s) of 400 columns" in result.metrics.mode_reason
        np.testing.assert_allclose(matrix.toarray(), pb.hessian(energy)(x), rtol=1e-12)
    matrix.data[:] = 0  # the caller's own
    assert (
        "mode sparse forward over reverse"
        in service.plan(graph, want=pb.Hessian(("x",), sparse=True)).text
    )
    jacobian = service.jacobian(pnp.sin, sparse=True)(x)
    np.testing.assert_array_equal(jacobian.toarray(), np.diag(np.cos(x)))


def test_the_async_client_gives_sparse_matrices(server: RunningServer):
    """The same from a coroutine."""

    async def ask() -> Any:
        async with pb.aconnect(server.address) as service:
            return await service.hessian(lambda x: pnp.sum(x**3), sparse=True)(np.arange(3.0))

    matrix = asyncio.run(ask())
    assert matrix.nnz == 3
    np.testing.assert_allclose(matrix.diagonal(), [0.0, 6.0, 12.0])


def test_complex_numbers_travel(service: Service):
    """Complex inputs, seeds and derivatives over the wire are what this process makes of them."""

    def spectrum(z: Any, w: Any) -> Any:
        return pnp.sum(w * pnp.abs(np.fft.fft(z, norm="ortho")) ** 3)

    z, w = np.exp(1j * np.arange(8.0)), np.linspace(0.5, 1.0, 8)
    for wrt in (0, 1):
        found = service.grad(spectrum, wrt=wrt)(z, w)
        expected = pb.grad(spectrum, wrt=wrt)(z, w)
        np.testing.assert_allclose(found, expected, rtol=1e-12, strict=True)
    _, pushed = service.jvp(lambda z: pnp.conj(z) * z)(z, tangent=1j * z)
    np.testing.assert_allclose(pushed, np.zeros(8), atol=1e-15)
    with pytest.raises(pb.NotDifferentiable, match="vjp, jvp or hvp"):
        service.jacobian(np.fft.fft)(z)
    assert {"complex64", "complex128"} <= set(service.server_info().dtypes)


def test_large_inputs_are_named(service: Service):
    """An optimiser's data travels once: later calls find it by its hash."""
    x = np.arange(100_000.0)
    results = [service.value(square(x.size), {"x": x}) for _ in range(3)]
    assert [result.metrics.tensor_cache_hits for result in results] == [1, 1, 1]
    handle = service.put(x[:10])
    assert service.value(square(10), {"x": handle}).metrics.tensor_cache_hits == 1


def test_large_parameters_go_with_their_job(service: Service):
    """They are not stored unless they come again; over a megabyte they go beside the job."""
    for size in (100_000, 400_000):
        x = np.arange(float(size))
        results = [service.gradient(square(x.size), {"x": x}, "x") for _ in range(3)]
        assert [result.metrics.tensor_cache_hits for result in results] == [0, 1, 1]
        assert all(np.array_equal(result.gradients["x"], 2 * x) for result in results)


def test_functions(service: Service):
    """A function is traced here and differentiated there; a handle may be an argument."""
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=3), rng.normal(size=(5, 3))

    def loss(w, x):
        return pb.numpy.mean((x @ w) ** 2)

    value, gradient = service.value_and_grad(loss, wrt="w")(w, service.put(x))
    assert value == pytest.approx(np.mean((x @ w) ** 2))
    assert gradient == pytest.approx(2 * x.T @ (x @ w) / 5)
    assert service.hessian(loss, wrt="w")(w, x) == pytest.approx(2 * x.T @ x / 5)


def test_the_same_as_without_a_server(service: Service):
    """A remote result has the bits of pb.local()'s."""
    x = np.random.default_rng(1).normal(size=50)
    here = pb.local().gradient(square(50), {"x": x}, "x")
    there = service.gradient(square(50), {"x": x}, "x")
    assert here.outputs["y"] == there.outputs["y"]
    assert np.array_equal(here.gradients["x"], there.gradients["x"])


@pytest.mark.parametrize(
    ("ask", "kind", "words"),
    [
        (lambda s: s.value(square(), {}), pb.InputError, "'x'"),
        (lambda s: s.value(square(), {"x": [1.0]}), pb.InputError, r"float64\[1\]"),
        (lambda s: s.gradient(square(), {"x": 1.0}, "z"), pb.RequestError, "'z'"),
        (lambda s: s.gradient(square(), {"x": 1.0}, "x", "z"), pb.RequestError, "'z'"),
        (lambda s: s.value(chain(6000), {"x": 1.0}), pb.LimitExceeded, "5000"),
        (
            lambda s: s.value(square(), {"x": float("inf")}, check="finite"),
            pb.NonFiniteError,
            "'y'",
        ),
        (
            lambda s: s.value(square(), {"x": 1.0}, executor="xla", memory_cap_bytes=9999),
            pb.UnsupportedError,
            "memory cap",
        ),
        (lambda s: s.value(pb.GraphHash("00" * 32), {}), pb.NotFoundError, "0000"),
    ],
)
def test_errors_keep_their_class(service: Service, ask, kind: type[Exception], words: str):
    """What the server raises is what the client raises, in the server's words."""
    with pytest.raises(kind, match=words):
        ask(service)


def test_a_deadline(service: Service):
    """A job that takes longer than its deadline ends as DeadlineExceeded, and the next one runs."""
    graph = pb.trace(lambda x: pb.numpy.sum(x @ x @ x @ x), np.ones((1500, 1500)))
    with pytest.raises(pb.DeadlineExceeded):
        service.evaluate(graph, {"x": np.ones((1500, 1500))}, deadline_s=0.05)
    assert service.value(square(), {"x": 2.0}).outputs["y"] == 4.0


def test_what_the_service_says_of_itself(service: Service):
    """Limits, operators, executors; and what it would do with a job."""
    info = service.server_info()
    assert info.limits.nodes == 5000
    assert "matmul" in info.ops
    assert {"numpy", "xla"} <= {executor.name for executor in info.executors}
    plan = service.plan(square(10), gradient="x")
    assert plan.front_end
    assert plan.nodes > 0
    assert (plan.executor, plan.tasks[0].executor) == ("numpy", "numpy")
    assert "executor numpy: " in plan.text


# --- many jobs ------------------------------------------------------------------------------------


def test_map(service: Service):
    """Thousands of jobs of a hundred graphs, broken ones in their place."""
    jobs: list[Any] = [(scaled(float(i % 100)), {"x": float(i)}) for i in range(3000)]
    jobs[1000] = (scaled(1.0), {"x": "nonsense"})
    jobs[2000] = (chain(6000), {"x": 1.0})
    outcomes = list(service.map(jobs, gradient="x", progress=False))
    assert isinstance(outcomes.pop(2000), pb.LimitExceeded)
    assert isinstance(outcomes.pop(1000), pb.InputError)
    expected = [i % 100 for i in range(3000) if i not in (1000, 2000)]
    assert [o.gradients["x"] for o in outcomes if isinstance(o, pb.Result)] == expected


def test_a_job_over_the_message_limit_fails_alone(service: Service):
    """gRPC refuses the message and ends the stream; the jobs beside it have their results."""
    wide = pb.trace(lambda **xs: sum(pb.numpy.sum(x) for x in xs.values()), **{
        f"x{i}": np.zeros(32_000) for i in range(300)
    })  # fmt: skip
    large = (wide, {f"x{i}": np.zeros(32_000) for i in range(300)})
    jobs = [*[(square(), {"x": float(i)}) for i in range(20)], large]
    jobs += [(square(), {"x": float(i)}) for i in range(20)]
    outcomes = list(service.map(jobs, progress=False))
    assert isinstance(outcomes.pop(20), pb.LimitExceeded)
    assert [o.outputs["y"] for o in outcomes if isinstance(o, pb.Result)] == [
        float(i * i) for i in [*range(20), *range(20)]
    ]


async def test_async(server: RunningServer):
    """Calls side by side, a function, and a map."""
    async with pb.aconnect(server.address) as service:
        results = await asyncio.gather(
            *[service.gradient(square(), {"x": float(i)}, "x") for i in range(50)]
        )
        assert [r.gradients["x"] for r in results] == [2.0 * i for i in range(50)]
        assert await service.grad(lambda x: x * x * x)(2.0) == 12.0
        with pytest.raises(pb.InputError):
            await service.value(square(), {})
        jobs = [(scaled(float(i % 10)), {"x": 1.0}) for i in range(500)]
        outcomes = [o async for o in service.map(jobs, progress=False)]
        assert [o.outputs["y"] for o in outcomes if isinstance(o, pb.Result)] == [
            i % 10 for i in range(500)
        ]


def test_a_restart_in_the_middle_of_a_map():
    """The server stops and another one starts at its port: every job has its result."""
    with running_server("--workers", "0", "--grace-s", "0.5") as first:
        port = first.address.rpartition(":")[2]
        patient = pb.RetryPolicy(attempts=30, longest_s=0.5)
        service = pb.connect(first.address, retry=patient)
        jobs = ((square(), {"x": float(i)}) for i in range(2000))
        outcomes = service.map(jobs, progress=False)
        seen = [next(outcomes) for _ in range(100)]
    with service, running_server("--workers", "0", "--port", port):
        seen += outcomes
    failed = {str(o) for o in seen if not isinstance(o, pb.Result)}
    assert not failed
    found = np.array([o.outputs["y"] for o in seen if isinstance(o, pb.Result)])
    np.testing.assert_array_equal(found, np.arange(2000.0) ** 2)


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A file with the sum of squares of three numbers."""
    path = tmp_path / "squares.graph"
    path.write_text(SQUARES)
    return path


def test_eval(server: RunningServer, squares: Path, monkeypatch: pytest.MonkeyPatch):
    """By the flag, and by the variable."""
    arguments = ["eval", squares, "-i", "x=[1,2,3]", "-g", "x", "--json"]
    done = run(*arguments, "--server", server.address)
    assert done.json["gradients"] == {"x": [2.0, 4.0, 6.0]}
    monkeypatch.setenv("PULLBACK_SERVER", server.address)
    assert run(*arguments).json["outputs"] == {"y": 14.0}


def test_plan(server: RunningServer, squares: Path):
    """For people and as JSON."""
    done = run("plan", squares, "--gradient", "x", "--server", server.address)
    assert done.status == 0
    assert "1 task in the server's own process" in done.output
    done = run("plan", squares, "-g", "x", "--server", server.address, "--json")
    assert done.json["front_end"] is True


def test_nobody_there(squares: Path):
    """One line and status 1."""
    done = run("plan", squares, "--server", "localhost:1")
    assert (done.status, done.output) == (1, "")
    assert "pullback serve" in done.errors


def test_batch(server: RunningServer, tmp_path: Path):
    """Results in the rows' order, failures listed, and nothing done twice."""
    graph = "graph(x: float64[]) { %1 = multiply(x, x) return y = %1 }"
    rows: list[dict[str, Any]] = [
        {"id": i, "graph": graph, "inputs": {"x": float(i)}} for i in range(300)
    ]
    rows[7]["inputs"] = {}
    source = tmp_path / "jobs.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    arguments = ["batch", source, "-o", tmp_path / "out", "-g", "x", "--server", server.address]
    done = run(*arguments)
    assert done.status == 1
    assert "299 done, 1 failed, 0 skipped" in done.output
    assert "  7: InputError" in done.errors
    lines = [
        json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    ]
    assert sorted(int(line["id"]) for line in lines) == list(range(300))
    assert all(line["gradients"] == {"x": 2.0 * int(line["id"])} for line in lines if line["ok"])
    assert "0 done, 1 failed, 299 skipped" in run(*arguments).output


def test_batch_without_a_server(tmp_path: Path):
    """It says so once, rather than once per job."""
    source = tmp_path / "jobs.jsonl"
    source.write_text('{"graph": "graph(x: float64[]) { return y = x }", "inputs": {"x": 1}}\n')
    done = run("batch", source, "-o", tmp_path / "out", "--server", "localhost:1")
    assert (done.status, done.output) == (1, "")
    assert done.errors.count("\n") == 1


def test_top(server: RunningServer, service: Service):
    """What was just run shows."""
    service.gradient(square(), {"x": 1.0}, "x")
    done = run("top", "--http", server.http, "--once", "--interval", "0.05")
    assert done.status == 0
    assert "gradient" in done.output
    assert "jobs/s" in done.output


def test_bench(server: RunningServer):
    """Every figure is there and positive."""
    arguments = ["--calls", "10", "--jobs", "20", "--json"]
    done = run("bench", "--server", server.address, *arguments)
    assert done.status == 0
    assert len(done.json) == 7
    assert all(value > 0 for value in done.json.values())


# --- many points ----------------------------------------------------------------------------------


def test_one_graph_at_many_points(server: RunningServer, service: Service):
    """Both clients give what this process gives; a bad point is named; the graph travels once."""
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(3000, 4)), rng.normal(size=(4, 4))
    graph = pb.trace(lambda x, w: pb.numpy.sum(pb.numpy.log(x @ x) * w), x[0], w)
    points = {"x": x, "w": service.put(w)}
    want = pb.local().evaluate_many(graph, {"x": x, "w": w}, gradient=["x", "w"])

    async def many() -> pb.Result:
        async with pb.aconnect(server.address) as own:
            return await own.evaluate_many(
                graph, {"x": x, "w": w}, gradient=["x", "w"], points_at_once=1000
            )

    for found in (
        service.evaluate_many(graph, points, gradient=["x", "w"], points_at_once=1000),
        asyncio.run(many()),
    ):
        assert found.metrics.tasks == 4
        for name in ("x", "w"):
            np.testing.assert_allclose(found.gradients[name], want.gradients[name], rtol=1e-12)
    x[2500] = 0.0
    with pytest.raises(pb.NonFiniteError, match=r"^point 2500: .*node 1 log"):
        service.evaluate_many(graph, points, gradient="x", check="finite")


# --- numbers that are not finite ------------------------------------------------------------------


def looped(x: Any) -> Any:
    """Overflows in the fourth step of a loop."""
    last, _ = pb.lax.scan(lambda c, k: (c * 1e100 + k, None), x, pb.numpy.arange(6.0))
    return pb.numpy.sum(last)


HOSTILE: dict[str, tuple[Any, list[float], str, str]] = {
    "a NaN that came in": (
        lambda x: pb.numpy.sum(x * 2.0),
        [1.0, np.nan],
        "input 'x' is not finite",
        "inputs.x",
    ),
    "overflow going forward": (
        lambda x: pb.numpy.sum(pb.numpy.exp(x * 1e3)),
        [1.0, 2.0],
        r"node 1 exp .* float64\[2\] in \[1000, 2000\]",
        "graph.nodes[1]",
    ),
    "overflow going back alone": (
        lambda x: pb.numpy.sum((x * 1e-170) ** -1 * 1e-170),
        [1.0, 2.0],
        "in the adjoint of node 1 ",
        "graph.nodes[1]",
    ),
    "in a loop": (looped, [1.0, 2.0], r"node 0 scan \(step 3, node 0 multiply\)", "graph.nodes[0]"),
}


@pytest.mark.parametrize("executor", ["numpy", "xla"])
@pytest.mark.parametrize("name", HOSTILE)
def test_numbers_that_are_not_finite(service: Service, name: str, executor: str):
    """`finite` fails with the place and the range, `report` gives both, `none` neither."""
    function, x, message, field = HOSTILE[name]
    graph = pb.trace(function, np.asarray(x))
    point = {"x": np.asarray(x)}
    with pytest.raises(pb.NonFiniteError, match=message) as caught:
        service.gradient(graph, point, "x", check="finite", executor=executor)
    assert caught.value.field == field
    reported = service.gradient(graph, point, "x", check="report", executor=executor)
    assert reported.metrics.bad_node is not None
    assert reported.metrics.non_finite
    plain = service.gradient(graph, point, "x", executor=executor)
    assert plain.metrics.bad_node is None
    assert plain.metrics.non_finite == reported.metrics.non_finite


def test_a_certificate_comes_with_the_metrics(service: Service):
    """The two modes agree to rounding, by every executor; without asking there is none."""
    graph = pb.trace(lambda x: pb.numpy.sum(pb.numpy.tanh(x) ** 3), np.ones(5))
    for executor in ("numpy", "xla"):
        result = service.gradient(
            graph, {"x": np.linspace(0, 1, 5)}, "x", certificate=True, executor=executor
        )
        assert result.metrics.certificate_error is not None
        assert result.metrics.certificate_error < 1e-12
    assert service.gradient(graph, {"x": np.ones(5)}, "x").metrics.certificate_error is None
