"""`pullback bench`: a short look at a server's latency and throughput, from where one stands.

Small on purpose: a job that costs the server microseconds, so that what is seen is the way there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import typer

from pullback.command_line import flags
from pullback_graph.builder import Builder
from pullback_graph.errors import PullbackError
from pullback_graph.graph import Graph
from pullback_graph.types import FLOAT64, ArrayType

_WARM_UP = 20
_UPLOAD_BYTES = 16 << 20


def bench(
    server: flags.Server = None,
    calls: Annotated[int, typer.Option(min=10, help="Calls, one after another.")] = 500,
    jobs: Annotated[int, typer.Option(min=10, help="Jobs of each map.")] = 5000,
    as_json: flags.Json = False,
) -> None:
    """Measure a server: round trips, tiny gradient jobs, maps of many graphs, an upload."""
    with flags.open_service(server) as service:
        figures = measure(service, calls, jobs)
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        typer.echo(f"{name:<44}{value:>12.4g}")


def measure(service: Any, calls: int, jobs: int) -> dict[str, float]:
    """The figures by name and unit.

    Raises:
        PullbackError: a job failed.
    """
    graph = _scaled(3.0)
    one = np.asarray(2.0)
    figures: dict[str, float] = {}
    for name, call in (
        ("server info", service.server_info),
        ("tiny gradient", lambda: service.evaluate(graph, {"x": one}, gradient="x")),
    ):
        times_s = _times_s(call, calls)
        figures[f"{name}, p50 [us]"] = 1e6 * float(np.percentile(times_s, 50))
        figures[f"{name}, p99 [us]"] = 1e6 * float(np.percentile(times_s, 99))
    same = [(graph, {"x": np.asarray(float(i))}) for i in range(jobs)]
    figures["map, one graph [jobs/s]"] = jobs / _map_s(service, same)
    many = [(_scaled(4.0 + i), {"x": one}) for i in range(jobs)]
    figures["map, all graphs different [jobs/s]"] = jobs / _map_s(service, many)
    array = np.random.default_rng(time.time_ns()).random(_UPLOAD_BYTES // 8)
    figures["upload [MB/s]"] = array.nbytes / 1e6 / _times_s(lambda: service.put(array), 1, 0)[0]
    return figures


def _times_s(call: Callable[[], object], calls: int, warm_up: int = _WARM_UP) -> list[float]:
    for _ in range(warm_up):
        call()
    times_s = []
    for _ in range(calls):
        start_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - start_s)
    return times_s


def _map_s(service: Any, jobs: Sequence[tuple[Graph, dict[str, Any]]]) -> float:
    """How long a map of gradients takes."""
    start_s = time.perf_counter()
    for outcome in service.map(jobs, gradient="x", progress=False):
        if isinstance(outcome, PullbackError):
            raise outcome
    return time.perf_counter() - start_s


def _scaled(factor: float) -> Graph:
    """y = factor x^2: another graph for each factor."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    return builder.build({"y": x * x * factor})
