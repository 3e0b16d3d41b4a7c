"""The service beside bare gRPC: latency of one tiny job, and jobs per second of a map."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import numpy as np

import pullback as pb
from benchmarks.expressions import SIZE, STEPS, small_graphs
from benchmarks.latency import latency
from benchmarks.report import Figure, Report, Request
from examples.server_process import running_server
from pullback.remote.service import Service

FLAGS = ("--workers", "0")


def run(request: Request) -> Report:
    """Measure both on one server."""
    with running_server(*FLAGS) as server:
        figures, workload, left_out = latency(server.address, request.quick)
        more, lines = throughput(server.address, request.quick)
    workload = [f"pullback serve {' '.join(FLAGS)}, client on the same machine", *workload, *lines]
    return Report("service", "", workload, [*figures, *more], left_out)


def throughput(address: str, quick: bool) -> tuple[list[Figure], list[str]]:
    """Jobs per second of `service.map`: one graph at many points, and graphs all different."""
    count, rounds = (200, 1) if quick else (10_000, 3)
    seconds: dict[str, list[float]] = {"all the same": [], "all different": []}
    with pb.connect(address) as service:
        for number in range(rounds + 1):
            graphs = small_graphs(count, seed=number)
            timed = {
                "all the same": _mapped(service, [graphs[0]] * count),
                "all different": _mapped(service, graphs),
            }
            for name, elapsed_s in timed.items():
                seconds[name] += [elapsed_s] if number else []
    figures = [
        Figure(f"map of {count:,} graphs, {name}", count / median(own), "jobs/s")
        for name, own in seconds.items()
    ]
    return figures, [
        f"map: gradients of graphs of {STEPS} functions of x ({SIZE},), each job its own x; "
        f"median of {rounds} round(s) after a warm-up, graphs never seen before in each"
    ]


def _mapped(service: Service, graphs: Iterable[pb.Graph]) -> float:
    """Seconds of one map over the graphs, whose results are compared with this process's own."""
    random = np.random.default_rng(0)
    jobs: list[tuple[pb.Graph, Mapping[str, Any]]]
    jobs = [(graph, {"x": random.normal(size=SIZE)}) for graph in graphs]
    start = time.perf_counter()
    results = list(service.map(jobs, gradient="x", progress=False))
    elapsed_s = time.perf_counter() - start
    local = pb.local()
    for (graph, inputs), result in list(zip(jobs, results, strict=True))[::100]:
        if isinstance(result, pb.PullbackError):
            raise result
        expected = local.gradient(graph, inputs, "x").gradients["x"]
        np.testing.assert_allclose(result.gradients["x"], expected, rtol=1e-12)
    return elapsed_s
