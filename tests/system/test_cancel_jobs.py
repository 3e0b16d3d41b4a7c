"""One job of many is cancelled on real workers: it stops, says how, and leaves the others alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, as_completed
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Any

import grpc
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import RunningServer, running_server
from pullback import lax
from pullback_graph.codec import encode_job, status_to_error
from pullback_graph.errors import LimitExceeded
from pullback_graph.job import Options
from pullback_proto.v1 import job_pb2
from pullback_server.front_end.streams import BATCH_JOBS, CHUNK_JOBS, CHUNKS_IN_FLIGHT

pytestmark = pytest.mark.system

POINTS = np.linspace(0.0, 1.0, 1_000_000)


def long(x: Any) -> Any:
    """An hour of short steps."""
    return lax.scan(lambda c, s: (pnp.sin(c + s) + 2.0, s), x, pnp.zeros(1_000_000))[0]


LONG = pb.trace(long, POINTS)
SQUARE = pb.trace(lambda x: x * x, 3.0)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server with two workers."""
    with running_server("--workers", "2", "--cancel-grace-s", "30") as running:
        running.wait_for_workers(2)
        yield running


@pytest.fixture(scope="module")
def service(server: RunningServer) -> Iterator[Any]:
    """A client of it."""
    with pb.connect(server.address) as service:
        yield service


def until_running(server: RunningServer, tasks: int) -> None:
    """Wait until so many tasks run on workers."""
    until(lambda: server.metrics().get("pullback_in_flight_tasks", 0.0) >= tasks)


def until(holds: Callable[[], bool]) -> None:
    """Wait for what the server says."""
    deadline_s = monotonic() + 60.0
    while not holds():
        assert monotonic() < deadline_s, "it did not come to that"
        sleep(0.05)


def test_a_running_job_stops_alone(server: RunningServer, service: Any) -> None:
    """The error says when it stopped; those beside and behind it are answered as ever."""
    x = service.put_tensor(POINTS)
    first, second = [service.submit(LONG, {"x": x}, executor="numpy") for _ in range(2)]
    until_running(server, 2)
    small = [service.submit(SQUARE, {"x": float(k)}) for k in range(100)]
    assert first.cancel()
    assert first.cancel()
    with pytest.raises(pb.Cancelled) as caught:
        first.result(30.0)
    assert isinstance(caught.value, CancelledError)
    assert caught.value.stop is not None
    assert caught.value.stop.workers_killed == 0
    assert caught.value.stop.wasted_s > 0.0
    assert first.cancelled()
    assert first.cancel()
    for k, future in enumerate(small):
        assert future.result(30.0).outputs["result"] == k * k
        assert not future.cancel()
    assert not second.done()
    assert second.cancel()
    assert [future.cancelled() for future in as_completed([second], 30.0)] == [True]


async def test_tasks_are_cancelled_as_asyncio_cancels(server: RunningServer) -> None:
    """A time-out stops the job it is about; the cause of the error says how it ended."""
    async with pb.aconnect(server.address) as service:
        x = await service.put_tensor(POINTS)
        job = service.submit(LONG, {"x": x}, executor="numpy")
        late = service.submit(LONG, {"x": x}, executor="numpy")
        await asyncio.to_thread(until_running, server, 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(late, 0.1)
        assert late.cancelled()
        assert not late.cancel()
        assert (await service.submit(SQUARE, {"x": 3.0})).outputs["result"] == 9.0
        assert not job.done()
        assert job.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await job
        cause = caught.value.__cause__
        assert isinstance(cause, pb.Cancelled)
        assert cause.stop is not None
        never_started = service.submit(LONG, {"x": x}, executor="numpy")
        assert never_started.cancel()
        await asyncio.wait([never_started])
        assert never_started.cancelled()


class RawStream:
    """A stream as any client may speak it."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self._batches: SimpleQueue[bytes | None] = SimpleQueue()
        method: Any = self.channel.stream_stream("/pullback.v1.GradientService/EvaluateStream")
        self._replies = method(iter(self._batches.get, None), timeout=100.0)

    def send(self, *jobs: bytes, cancel: tuple[int, ...] = ()) -> None:
        """One JobBatch."""
        self._batches.put(job_pb2.JobBatch(jobs=jobs, cancel=cancel).SerializeToString())

    def replies(self, count: int) -> dict[int, Any]:
        """The next replies, by position."""
        found: dict[int, Any] = {}
        while len(found) < count:
            for data in job_pb2.ReplyBatch.FromString(next(self._replies)).replies:
                reply = job_pb2.JobReply.FromString(data)
                found[reply.position] = reply
        return found

    def end(self) -> None:
        """No more will be sent; what comes then is the stream's end."""
        self._batches.put(None)
        assert list(self._replies) == []
        self.channel.close()


@pytest.fixture
def long_job(service: Any) -> bytes:
    """A job of an hour, serialised."""
    inputs = {"x": service.put_tensor(POINTS).hash}
    how = Options(executor="numpy")
    return encode_job(pb.Job(service.put_graph(LONG), inputs, pb.Value(), options=how, id="long"))


def test_only_jobs_of_the_stream_can_be_cancelled(server: RunningServer, long_job: bytes) -> None:
    """Positions answered, to come, of other streams and beyond all bounds mean nothing."""
    square = encode_job(pb.Job(SQUARE, {"x": np.asarray(3.0)}, id="square"))
    mine, other = RawStream(server.address), RawStream(server.address)
    other.send(long_job)
    until_running(server, 1)
    mine.send(square)
    assert mine.replies(1)[0].id == "square"
    mine.send(cancel=(0, 0, 1, 7, 2**63, 2**64 - 1))
    for _ in range(200):
        mine.send(cancel=tuple(range(BATCH_JOBS)))
    mine.send(square)
    assert mine.replies(1)[1].result.outputs
    mine.end()
    until_running(server, 1)
    other.send(cancel=(0, 0))
    other.send(cancel=(0,))
    error = status_to_error(other.replies(1)[0].error)
    assert isinstance(error, pb.Cancelled)
    assert error.stop is not None
    other.end()


def test_too_many_cancellations_at_once_are_refused(server: RunningServer) -> None:
    """As too many jobs are; what came before is answered."""
    stream = RawStream(server.address)
    stream.send(cancel=tuple(range(BATCH_JOBS + 1)))
    with pytest.raises(grpc.RpcError) as caught:
        stream.replies(1)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(BATCH_JOBS) in error.details()
    assert LimitExceeded.status == error.code().name
    stream.channel.close()


def test_what_waits_does_not_hold_a_cancellation_back(
    server: RunningServer, long_job: bytes
) -> None:
    """More jobs lie before it on the stream than are started at once, and none of them ends."""
    stream = RawStream(server.address)
    count = CHUNKS_IN_FLIGHT * CHUNK_JOBS + 64
    for _ in range(count // 32):
        stream.send(*[long_job] * 32)
    until_running(server, 2)
    stream.send(cancel=tuple(range(count)))
    errors = [status_to_error(reply.error) for reply in stream.replies(count).values()]
    assert {type(error) for error in errors} == {pb.Cancelled}
    stream.end()


@pytest.mark.parametrize("named", [True, False])
def test_a_server_without_workers_stops_a_job_too(named: bool) -> None:
    """On a thread, or in a process where the job brings its graph; its reply waits for no other."""
    x = POINTS[:20_000]
    graph = pb.trace(long, x)
    with running_server("--workers", "0") as server, pb.connect(server.address) as service:
        if named:
            service.put_graph(graph)
        else:  # processes start with the first graphs that are brought
            graphs = [pb.trace(lambda x, k=k: x * (2.0 + k), 1.0) for k in range(64)]
            list(service.map([(graph, {"x": 1.0}) for graph in graphs], progress=False))
        jobs = [service.submit(graph, {"x": x + k}, executor="numpy") for k in range(2)]
        until(lambda: sum(in_flight(server, "running")) >= 1)
        for job in jobs:
            assert not job.done()
            assert job.cancel()
            assert isinstance(job.exception(30.0), pb.Cancelled)
        assert service.submit(SQUARE, {"x": 2.0}).result(30.0).outputs["result"] == 4.0


def in_flight(server: RunningServer, state: str) -> list[float]:
    """How many jobs are in a state, by want."""
    samples = server.metrics().items()
    return [
        n for name, n in samples if name.startswith("pullback_jobs_in_flight") and state in name
    ]
