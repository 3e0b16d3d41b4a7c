"""A server that holds as much as it may says so, and takes jobs again when it has room."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import RunningServer, running_server

ONCE = pb.RetryPolicy(attempts=1)


def _products(x: Any) -> Any:
    y = x
    for _ in range(3000):
        y = y @ x * 0.5
    return pnp.sum(y)


def _until_held(server: RunningServer) -> None:
    ends, pause = monotonic() + 60.0, threading.Event()
    while not any(value for name, value in server.metrics().items() if "jobs_in_flight{" in name):
        assert monotonic() < ends, "no job is held"
        pause.wait(0.02)


def _evaluate_while(held: Future[Any], service: Any, x: Any) -> None:
    graph = pb.trace(pnp.sum, x)
    while not held.done():
        service.evaluate(graph, {"x": x})


@pytest.mark.parametrize("flags", [("--queue-jobs", "1"), ("--queue-bytes", "100000")])
def test_a_full_server_refuses_with_unavailable_and_recovers(flags: tuple[str, str]) -> None:
    """Beside a held job another is refused, naming the flags; one alone is always taken."""
    x = np.eye(150)  # small enough to travel with its job, not ahead of it
    graph = pb.trace(_products, x)
    with (
        running_server("--workers", "0", *flags) as server,
        pb.connect(server.address, retry=ONCE) as service,
        ThreadPoolExecutor(1) as other,
    ):
        held = other.submit(service.evaluate, graph, {"x": x})
        _until_held(server)
        with pytest.raises(pb.ServiceError, match="--queue-jobs or --queue-bytes") as refused:
            _evaluate_while(held, service, x)
        assert refused.value.retry_after_s is not None
        assert np.isfinite(held.result(60).outputs["result"])
        assert service.evaluate(pb.trace(pnp.sum, x), {"x": x}).outputs["result"] == 150.0
        assert server.metrics()['pullback_rejected_requests_total{reason="queue_full"}'] >= 1.0
