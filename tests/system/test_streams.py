"""Streams over real gRPC when one side misbehaves: garbage, a caller that leaves, large replies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from examples.server_process import RunningServer, running_server
from pullback_graph.builder import Builder
from pullback_graph.codec import encode_job
from pullback_graph.graph import Graph
from pullback_graph.job import Job
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_proto.v1 import job_pb2

STREAM = "/pullback.v1.GradientService/EvaluateStream"
SIZE = 300


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for the module, without workers."""
    with running_server("--workers", "0") as running:
        yield running


@pytest.fixture
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    """A channel that takes replies of any size."""
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.address, options=options) as opened:
        yield opened


def slow() -> Job:
    """Some hundredths of a second of matrix products."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (SIZE, SIZE)))
    y = x
    for _ in range(40):
        y = do.matmul(y, x) * 0.5
    graph = b.build({"y": do.sum(y, axes=(0, 1), keepdims=False)})
    return Job(graph, {"x": np.zeros((SIZE, SIZE))})


def spread(elements: int) -> Graph:
    """A large value from a scalar."""
    b = Builder()
    return b.build({"y": do.broadcast_to(b.input("x", ArrayType(FLOAT64, ())), shape=(elements,))})


def batch(jobs: list[Job]) -> bytes:
    """A serialised JobBatch."""
    data: bytes = job_pb2.JobBatch(jobs=[encode_job(job) for job in jobs]).SerializeToString()
    return data


def stream(channel: grpc.Channel, *batches: bytes) -> Any:
    """The call, an iterator of the replies' bytes."""
    method: Any = channel.stream_stream(STREAM)
    return method(iter(batches), timeout=60)


def positions(data: bytes) -> list[int]:
    """Positions of the jobs that a ReplyBatch answers."""
    return [
        job_pb2.JobReply.FromString(reply).position
        for reply in job_pb2.ReplyBatch.FromString(data).replies
    ]


def test_jobs_before_garbage_are_answered(channel: grpc.Channel) -> None:
    """A batch that does not parse ends the stream, after the replies to the batches before it."""
    call = stream(channel, batch([slow()] * 3), b"\xff\xff\xff")
    answered: list[int] = []
    try:
        for data in call:
            answered += positions(data)
    except grpc.RpcError:
        pass
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(answered) == [0, 1, 2]


def test_a_caller_that_leaves_takes_its_jobs_along(
    server: RunningServer, channel: grpc.Channel
) -> None:
    """Jobs of a cancelled stream are counted as cancelled and no more as in flight."""
    job = slow()
    call = stream(channel, batch([job] * 40))
    next(call)
    call.cancel()
    assert list(stream(channel, batch([job])))
    samples = server.metrics()
    in_flight = {k: v for k, v in samples.items() if k.startswith("pullback_jobs_in_flight{")}
    assert in_flight
    assert not any(in_flight.values())


def test_large_replies_leave_as_they_are_made(channel: grpc.Channel) -> None:
    """A chunk of large results comes in several messages, not as one that holds them all."""
    job = Job(spread(1_000_000), {"x": np.asarray(1.0)})
    sizes = [len(positions(data)) for data in stream(channel, batch([job] * 8))]
    assert sum(sizes) == 8
    assert max(sizes) <= 2
