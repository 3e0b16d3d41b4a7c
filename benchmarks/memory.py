"""Jobs of ten times a worker's memory: what split is found, what workers really take, and the time.

Beside the same job unsplit in one process that may have as much memory as it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import pullback as pb
import pullback.numpy as pnp
from benchmarks.report import Figure, Goal, Report, Request
from benchmarks.timing import interleaved
from examples.server_process import running_server

WORKERS = 2
SMALLER = 10
"""Times that a worker's memory is smaller than the job's peak."""
LIBRARIES_BYTES = 64 << 20
"""What a worker may take beside its arrays."""
SAME = 1e-9


class Case(NamedTuple):
    """One row: a loss of some weights and a batch, and its sizes (layers, rows, columns)."""

    title: str
    sizes: tuple[int, int, int]
    quick: tuple[int, int, int]


CASES = (
    Case("large batch", (8, 60_000, 128), (4, 4000, 32)),
    Case("large weights", (40, 8, 1024), (20, 4, 128)),
)


def loss(x: Any, **weights: Any) -> Any:
    """A residual network with weights of its own for each layer."""
    for w in weights.values():
        x = pnp.tanh(x @ w) + 0.5 * x
    return pnp.sum(x**2)


def run(request: Request) -> Report:
    """Measure every case."""
    rounds = 1 if request.quick else 3
    figures: list[Figure] = []
    for case in CASES:
        figures += _held(case.title, case.quick if request.quick else case.sizes, rounds)
    workload = [
        "gradients of residual networks by all weights; each worker's arrays may take a tenth of "
        f"what the job takes unsplit (at least 16 MB); {WORKERS} workers",
        f"results equal to {SAME:g}; medians of {rounds} round(s), interleaved after a warm-up",
    ]
    return Report("memory", "", workload, figures)


def _held(title: str, sizes: tuple[int, int, int], rounds: int) -> list[Figure]:
    """The figures of one case."""
    layers, rows, columns = sizes
    random = np.random.default_rng(0)
    weights = {f"w{k}": random.normal(0, 0.05, (columns, columns)) for k in range(layers)}
    inputs = {"x": random.normal(size=(rows, columns)), **weights}
    graph, want = pb.trace(loss, **inputs), pb.Gradient(tuple(weights))
    local = pb.local()
    whole = local.evaluate(graph, inputs, want=want)
    peak_bytes = whole.metrics.peak_bytes
    cap_bytes = max(peak_bytes // SMALLER, 16 << 20)
    flags = ("--workers", str(WORKERS), "--worker-memory-bytes", str(cap_bytes))
    with running_server(*flags) as server, pb.connect(server.address) as service:
        server.wait_for_workers(WORKERS)
        held = {name: service.put(array) for name, array in inputs.items()}
        found = service.evaluate(graph, held, want=want)
        for name, gradient in whole.gradients.items():
            scale = float(np.abs(gradient).max())
            np.testing.assert_allclose(found.gradients[name], gradient, SAME, SAME * scale)
        calls: dict[str, Callable[[], object]] = {
            "unsplit": lambda: local.evaluate(graph, inputs, want=want),
            "split": lambda: service.evaluate(graph, held, want=want),
        }
        with threadpool_limits(1):  # of this process; workers have theirs
            samples = interleaved(calls, rounds)
        lost = server.metrics().get("pullback_workers_lost_total", 0.0)
    metrics = found.metrics
    over = max(0, metrics.peak_bytes - LIBRARIES_BYTES) / cap_bytes
    return [
        Figure(f"{title}: peak unsplit", peak_bytes / 1e6, "MB"),
        Figure(f"{title}: a worker's arrays may take", cap_bytes / 1e6, "MB"),
        Figure(f"{title}: {metrics.split}, tasks", metrics.tasks, ""),
        Figure(f"{title}: most that a worker took", metrics.peak_bytes / 1e6, "MB"),
        Figure(f"{title}: that, less its libraries, over the cap", over, "x", Goal("at_most", 1.0)),
        Figure(f"{title}: workers lost", lost, "", Goal("at_most", 0.0)),
        Figure(f"{title}: time over unsplit", median(samples.ratios("split", "unsplit")), "x"),
    ]
