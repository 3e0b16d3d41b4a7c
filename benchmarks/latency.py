"""How long a tiny gradient job takes, beside a bare echo of the same bytes and other services.

Three ways to ask are timed apart: the same bytes on a bare channel (what the server adds), the
client library (what a user waits), and the client library with asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc
import numpy as np

import pullback as pb
from benchmarks.echo_server import METHOD, running_echo
from benchmarks.least_squares import by_hand, data, loss
from benchmarks.peers import running_peers
from benchmarks.report import Figure, Goal
from benchmarks.timing import Samples, interleaved, interleaved_async, quantile
from pullback_graph.codec import decode_result, encode_job
from pullback_graph.job import Job
from pullback_graph.want import Gradient

EVALUATE = "/pullback.v1.GradientService/Evaluate"
GOAL = Goal("at_most", 1.5)
ECHO, BYTES, LIBRARY = "bare echo", "Pullback, same bytes", "Pullback, client library"


def latency(address: str, quick: bool) -> tuple[list[Figure], list[str], list[str]]:
    """Figures, lines on the workload, and the peers left out."""
    rounds, calls = (2, 20) if quick else (15, 200)
    request, reply = _exchange(address)
    with running_echo(reply) as echo, running_peers() as (peers, left_out):
        samples = _blocking(address, echo, request, peers, rounds, calls)
        loop = asyncio.new_event_loop()  # of our own: a peer keeps the thread's
        awaited = loop.run_until_complete(_awaited(address, echo, request, rounds, calls))
        loop.close()
    workload = [
        f"tiny job: gradient of a mean squared error, w (3,), x (8, 3), y (8,), graph by "
        f"fingerprint: {len(request)} bytes out, {len(reply)} back",
        f"{rounds} rounds of {calls} calls each, one at a time, rounds interleaved, one warm-up",
    ]
    return _figures(samples, "") + _figures(awaited, ", asyncio"), workload, left_out


def _exchange(address: str) -> tuple[bytes, bytes]:
    """The job's bytes, its graph named by fingerprint, and the reply's; the answer is checked."""
    w, x, y = data()
    graph = pb.trace(loss, w, x, y)
    with pb.connect(address) as service, grpc.insecure_channel(address) as channel:
        handle = service.put_graph(graph)
        request = encode_job(Job(handle, {"w": w, "x": x, "y": y}, Gradient(("w",))))
        reply = _bare(channel, EVALUATE, request)()
    value, gradient = by_hand(w, x, y)
    result = decode_result(reply)
    np.testing.assert_allclose(result.gradients["w"], gradient, rtol=1e-12)
    np.testing.assert_allclose(list(result.outputs.values()), [value], rtol=1e-12)
    return request, reply


def _blocking(
    address: str,
    echo: str,
    request: bytes,
    peers: Mapping[str, Callable[..., Any]],
    rounds: int,
    calls: int,
) -> Samples:
    """Seconds of calls that block."""
    w, x, y = data()
    graph = pb.trace(loss, w, x, y)
    gradient = by_hand(w, x, y)[1]
    with (
        grpc.insecure_channel(echo) as echo_channel,
        grpc.insecure_channel(address) as channel,
        pb.connect(address) as service,
    ):
        rivals: dict[str, Callable[[], Any]] = {
            ECHO: _bare(echo_channel, METHOD, request),
            BYTES: _bare(channel, EVALUATE, request),
            LIBRARY: lambda: service.gradient(graph, {"w": w, "x": x, "y": y}, "w"),
        }
        for name, call in peers.items():
            np.testing.assert_allclose(call(w, x, y), gradient, rtol=1e-12)
            rivals[name] = partial(call, w, x, y)
        return interleaved(rivals, rounds, calls)


async def _awaited(address: str, echo: str, request: bytes, rounds: int, calls: int) -> Samples:
    """The same with asyncio."""
    w, x, y = data()
    graph = pb.trace(loss, w, x, y)
    async with (
        grpc.aio.insecure_channel(echo) as echo_channel,
        grpc.aio.insecure_channel(address) as channel,
        pb.aconnect(address) as service,
    ):
        rivals: dict[str, Callable[[], Awaitable[Any]]] = {
            ECHO: _bare(echo_channel, METHOD, request),
            BYTES: _bare(channel, EVALUATE, request),
            LIBRARY: lambda: service.gradient(graph, {"w": w, "x": x, "y": y}, "w"),
        }
        return await interleaved_async(rivals, rounds, calls)


def _bare(channel: Any, method: str, request: bytes) -> Callable[[], Any]:
    """A call of raw bytes, without a serialiser."""
    call = channel.unary_unary(method)
    return lambda: call(request)


def _figures(samples: Samples, suffix: str) -> list[Figure]:
    """p50 and p99 of each rival, and its p50 over the echo's."""
    figures = []
    for name in samples.names:
        p99_s = quantile(samples.all(name), 0.99)
        figures.append(Figure(f"{name}{suffix}: p50", 1e6 * samples.median_s(name), "µs"))
        figures.append(Figure(f"{name}{suffix}: p99", 1e6 * p99_s, "µs"))
    for name in samples.names:
        if name != ECHO:
            goal = GOAL if name in (BYTES, LIBRARY) else None
            title = f"{name}{suffix}: p50 over the echo's"
            figures.append(Figure(title, samples.ratio(name, ECHO), "x", goal))
    return figures
