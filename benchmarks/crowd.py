"""Small jobs of one client on the workers, alone and while another client's huge job runs there.

Closed loops: the one client sends its next small job when the last is answered; the other its next
huge one. Alone and crowded rounds take turns on the same server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from benchmarks.report import Figure, Goal, Report, Request
from benchmarks.timing import quantile
from examples.server_process import running_server

WORKERS = 2
SMALL = "shard(2)"
"""Forced, so that small jobs run on the workers too."""
GOAL = Goal("at_most", 3.0)


def loss(w: Any, x: Any) -> Any:
    """A mean over the batch of a few layers."""
    for k in range(w.shape[0]):
        x = pnp.tanh(x @ w[k])
    return pnp.mean(x**2)


def _arrays(rows: int, layers: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {"w": random.normal(0, 0.1, (layers, 64, 64)), "x": random.normal(size=(rows, 64))}


def run(request: Request) -> Report:
    """Measure both."""
    rounds, calls = (1, 5) if request.quick else (5, 100)
    small, huge = _arrays(2000, 2), _arrays(2000 if request.quick else 400_000, 8)
    alone_s: list[float] = []
    crowded_s: list[float] = []
    with running_server("--workers", str(WORKERS)) as server:
        server.wait_for_workers(WORKERS)
        with pb.connect(server.address) as service, pb.connect(server.address) as other:
            graph, inputs = pb.trace(loss, **small), _held(service, small)
            large, others = pb.trace(loss, **huge), _held(other, huge)
            _calls(service, graph, inputs, calls)
            started_s = time.perf_counter()
            whole = other.evaluate(large, others, gradient="w", timeline=True)
            huge_s = time.perf_counter() - started_s
            for _ in range(rounds):
                alone_s += _calls(service, graph, inputs, calls)
                with _crowd(other, large, others):
                    crowded_s += _calls(service, graph, inputs, calls)
    longest_s = max([span.end_s - span.start_s for span in whole.metrics.timeline], default=0.0)
    figures = [
        Figure("huge job alone", huge_s, "s"),
        Figure(f"huge job: {whole.metrics.split}, longest task", 1e3 * longest_s, "ms"),
    ]
    for share, name in ((0.5, "median"), (0.99, "p99")):
        alone, crowded = (1e3 * quantile(own, share) for own in (alone_s, crowded_s))
        figures += [
            Figure(f"small job alone, {name}", alone, "ms"),
            Figure(f"small job beside the huge one, {name}", crowded, "ms"),
            Figure(f"small job, {name} over alone", crowded / alone, "x", GOAL),
        ]
    workload = [
        f"pullback serve --workers {WORKERS}; small: gradient of 2 layers of 64 at 2,000 rows as "
        f"{SMALL}; huge: 8 layers at {huge['x'].shape[0]:,} rows, again and again",
        f"{rounds} round(s) of {calls} small jobs alone and as many beside, taking turns",
    ]
    return Report("crowd", "", workload, figures)


def _held(service: Any, arrays: dict[str, Any]) -> dict[str, Any]:
    return {"w": arrays["w"], "x": service.put(arrays["x"])}


def _calls(service: Any, graph: pb.Graph, inputs: dict[str, Any], count: int) -> list[float]:
    """Seconds of small jobs, one after another."""
    seconds = []
    for _ in range(count):
        started_s = time.perf_counter()
        service.evaluate(graph, inputs, gradient="w", split=SMALL)
        seconds.append(time.perf_counter() - started_s)
    return seconds


@contextmanager
def _crowd(service: Any, graph: pb.Graph, inputs: dict[str, Any]) -> Iterator[None]:
    """Another client's huge jobs, one after another, until the block ends."""
    over, begun = threading.Event(), threading.Event()

    def go_on() -> None:
        while not over.is_set():
            begun.set()
            service.evaluate(graph, inputs, gradient="w")

    thread = threading.Thread(target=go_on)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()
