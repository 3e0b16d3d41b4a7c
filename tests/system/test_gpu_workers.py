"""Workers with GPUs beside workers without, on a cluster that says it has one.

Placement is real here and the GPU is not: `--xla-device cpu` has them compile for the processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import running_server

BOTH = ("--workers", "1", "--gpu-workers", "2", "--gpus-per-worker", "0.5", "--xla-device", "cpu")


def loss(w, x):
    """A mean square along a batch."""
    return pnp.mean(pnp.tanh(x @ w) ** 2)


@pytest.fixture(scope="module")
def arrays():
    """Weights and a batch."""
    random = np.random.default_rng(0)
    return {"w": random.normal(size=5), "x": random.normal(size=(64, 5))}


def test_jobs_go_to_the_kind_of_worker_they_ask_for(ray_address, arrays):
    """Split over the workers with GPUs where asked, and elsewhere where not; the same gradient."""
    graph = pb.trace(loss, arrays["w"], arrays["x"])
    expected = pb.local().evaluate(graph, arrays, gradient="w").gradients["w"]
    with (
        running_server(*BOTH, "--ray-address", ray_address) as server,
        pb.connect(server.address) as service,
    ):
        server.wait_for_workers(3)
        how: dict[str, Any] = {"gradient": "w", "split": "shard(4)", "timeline": True}
        for device, executor in (("gpu", "xla"), ("auto", "numpy")):
            result = service.evaluate(graph, arrays, device=device, **how)
            np.testing.assert_allclose(result.gradients["w"], expected, rtol=1e-12)
            spans = result.metrics.timeline
            assert all(span.worker.startswith("gpu-") == (device == "gpu") for span in spans)
            assert {s.executor.partition("-")[0] for s in spans if s.phase != "reduce"} == {
                executor
            }
        plan = service.plan(graph, gradient="w", device="gpu")
        assert {task.placement for task in plan.tasks} == {"gpu"}


def test_a_server_without_gpus_says_so(ray_address, arrays):
    """At once, naming the flag; other jobs go on."""
    graph = pb.trace(loss, arrays["w"], arrays["x"])
    with (
        running_server("--workers", "1", "--ray-address", ray_address) as server,
        pb.connect(server.address) as service,
    ):
        with pytest.raises(pb.UnsupportedError, match="--gpus-per-worker") as caught:
            service.evaluate(graph, arrays, gradient="w", device="gpu")
        assert caught.value.field == "options.device"
        assert service.evaluate(graph, arrays, gradient="w").gradients["w"].shape == (5,)
