"""On a real GPU: XLA's programs against NumPy's, the same bits every time, workers that share one.

Skipped where JAX finds none. Without the platform of `tests/conftest.py`: `make gpu`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import RunningServer, running_server
from pullback_graph.errors import OutOfMemory
from pullback_worker.xla_executor import XlaExecutor

Arrays = dict[str, np.ndarray]


def has_gpu() -> bool:
    """Whether JAX finds one."""
    return bool(jax.devices()[0].platform == "gpu")


pytestmark = pytest.mark.skipif(not has_gpu(), reason="JAX finds no GPU; see make gpu")

FLAGS = ("--workers", "1", "--gpu-workers", "2", "--gpus-per-worker", "0.5")
TOLERANCE = {"float32": 2e-4, "float64": 1e-10}


def perceptron(w: Any, v: Any, x: Any) -> Any:
    """Matrix products and what is between them."""
    return pnp.mean(pnp.logsumexp(pnp.tanh(x @ w) @ v, axis=1))


def gathered(w: Any, v: Any, x: Any) -> Any:
    """Rows taken many times over: their adjoints are sums of what falls on one place."""
    taken = pnp.take(w, pnp.asarray(INDICES), axis=0)
    return pnp.mean(pnp.sin(taken)) + pnp.sum(v) + pnp.mean(x)


INDICES = np.random.default_rng(1).integers(0, 64, size=20_000)
MODELS = [perceptron, gathered]


def arrays(dtype: str, rows: int = 512) -> Arrays:
    """Weights and a batch."""
    random = np.random.default_rng(0)
    shapes = {"w": (64, 128), "v": (128, 10), "x": (rows, 64)}
    return {n: random.normal(0.0, 0.3, shape).astype(dtype) for n, shape in shapes.items()}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A worker without a GPU and two that share one."""
    with running_server(*FLAGS) as running:
        running.wait_for_workers(3)
        yield running


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("model", MODELS)
def test_gradients_are_numpys(model: Callable[..., Any], dtype: str):
    """In full precision: no tensor-float, and float64 stays float64."""
    given = arrays(dtype)
    graph = pb.trace(model, *given.values())
    found = pb.local().evaluate(graph, given, gradient=("w", "v"), device="gpu")
    expected = pb.local().evaluate(graph, given, gradient=("w", "v"), executor="numpy")
    assert found.metrics.executor == "xla"
    for name, array in expected.gradients.items():
        own = found.gradients[name]
        assert own.dtype == array.dtype
        assert own.flags.writeable
        scale = np.abs(array).max()
        np.testing.assert_allclose(own, array, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("model", MODELS)
def test_a_program_gives_the_same_bits_every_time(model: Callable[..., Any]):
    """Also compiled anew."""
    given = arrays("float32")
    graph = pb.trace(model, *given.values())
    seen = set()
    for _ in range(3):
        service = pb.LocalService()
        for _ in range(10):
            found = service.evaluate(graph, given, gradient=("w", "v"), device="gpu")
            seen.add(b"".join([array.tobytes() for array in found.gradients.values()]))
    assert len(seen) == 1


def test_programs_know_what_they_may_take():
    """The executor says what of the GPU's memory is its own."""
    assert XlaExecutor("gpu").memory_bytes > 1 << 30


def test_jobs_run_on_workers_that_share_a_gpu(server: RunningServer):
    """Split over both; jobs that ask for none run beside them on the worker without."""
    given = arrays("float64", rows=4096)
    graph = pb.trace(perceptron, *given.values())
    expected = pb.local().evaluate(graph, given, gradient="w", executor="numpy").gradients["w"]
    with pb.connect(server.address) as service:
        how: dict[str, Any] = {"gradient": "w", "split": "shard(8)", "timeline": True}
        for device in ("gpu", "auto"):
            for _ in range(3):
                result = service.evaluate(graph, given, device=device, **how)
            own = result.gradients["w"]
            np.testing.assert_allclose(own, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
            workers = {span.worker for span in result.metrics.timeline}
            assert all(worker.startswith("gpu-") == (device == "gpu") for worker in workers)
            assert "gpu" in result.metrics.digest or device == "auto"
        assert device == "auto"


def shares_a_gpu(pid: int) -> bool:
    """Whether a process is a worker's that was started with a part of a GPU's memory."""
    try:
        return b"XLA_PYTHON_CLIENT_MEM_FRACTION=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def test_a_killed_gpu_worker_changes_no_bit(server: RunningServer):
    """The others take its tasks, and a new one has its part of the GPU's memory."""
    given = arrays("float32", rows=4096)
    graph = pb.trace(perceptron, *given.values())
    how: dict[str, Any] = {"gradient": "w", "split": "shard(8)", "device": "gpu"}
    with pb.connect(server.address) as service:
        before = service.evaluate(graph, given, **how).gradients["w"]
        killed = next(p for p in server.processes() if shares_a_gpu(p))
        os.kill(killed, signal.SIGKILL)
        for _ in range(5):
            after = service.evaluate(graph, given, **how).gradients["w"]
            np.testing.assert_array_equal(after, before)
        server.wait_for_workers(3)


def test_what_does_not_fit_the_gpu_says_so(server: RunningServer):
    """A typed error with the numbers, and the workers live on."""
    graph = pb.trace(lambda x: pnp.sum(pnp.sin(x[:, None] * x)), np.ones(4, np.float32))
    big = np.ones(46_000)  # 17 GB squared, which a sort holds several times
    with pb.connect(server.address) as service:
        large = pb.trace(lambda x: pnp.linalg.norm(pnp.sort(x[:, None] * x, axis=0)), big)
        with pytest.raises((OutOfMemory, pb.LimitExceeded), match="memory"):
            service.evaluate(large, {"x": big}, device="gpu", split="none", executor="xla")
        found = service.evaluate(graph, {"x": np.ones(4, np.float32)}, device="gpu")
        assert found.outputs
    server.wait_for_workers(3)
