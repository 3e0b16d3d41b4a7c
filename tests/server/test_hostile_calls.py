"""Calls of somebody who means harm: every one ends in a typed error, and nothing of it is held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.codec import decode_result, encode_job, parts, status_to_error, tensor_hash
from pullback_graph.codec.tensors import write_type
from pullback_graph.errors import (
    DeadlineExceeded,
    LimitExceeded,
    PullbackError,
    ServiceError,
    WireError,
)
from pullback_graph.graph import Graph
from pullback_graph.job import Job
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient, Value
from pullback_proto.v1 import job_pb2, service_pb2, tensor_pb2
from pullback_server.config import ServerConfig
from pullback_server.front_end import paced
from pullback_server.front_end.accounting import Accounting
from pullback_server.front_end.chunks import ChunkRunner
from pullback_server.front_end.evaluation import Evaluation
from pullback_server.front_end.job_processes import JobProcesses
from pullback_server.front_end.job_threads import JobThreads
from pullback_server.front_end.new_runner import new_runner
from pullback_server.front_end.service import GradientService
from pullback_server.front_end.streams import BATCH_JOBS
from pullback_server.metrics import ServiceCounters

SIZE = 1 << 18
DOUBLE: Any = tensor_pb2.DTYPE_FLOAT64


class Context:
    """A call's context that raises the error a client would get."""

    def time_remaining(self) -> None:
        """No deadline."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """None."""
        return ()

    def peer(self) -> str:
        """Somebody."""
        return "ipv4:192.0.2.1:1"

    async def abort(self, code: grpc.StatusCode, _: str, details: Any) -> None:
        """End the call."""
        error = status_to_error(details[0][1])
        assert code.name == type(error).status
        raise error


class FrontEnd:
    """The calls of a front end without workers, and what it holds."""

    def __init__(self, **settings: Any) -> None:
        config = ServerConfig(workers=0, job_processes=0, promotion=False, **settings)
        self.runner = new_runner(config)
        self.threads = JobThreads(2)
        self.evaluation = Evaluation(
            self.runner,
            self.threads,
            None,
            Accounting(ServiceCounters()),
            config.queue_jobs,
            config.queue_bytes,
        )
        chunks = ChunkRunner(self.evaluation, JobProcesses(0, config))
        self.service = GradientService(chunks, config)
        self.context: Any = Context()

    async def in_parts(self, sent: AsyncIterator[bytes]) -> list[bytes]:
        """The parts of a reply."""
        return [part async for part in self.service.evaluate_in_parts(sent, self.context)]

    async def put_tensor(self, sent: AsyncIterator[bytes]) -> service_pb2.TensorHandle:
        """One upload."""
        put = self.service._guarded(self.service._put_tensor)
        return service_pb2.TensorHandle.FromString(await put(sent, self.context))

    async def stream(self, batches: AsyncIterator[bytes]) -> list[job_pb2.JobReply]:
        """The replies of a stream."""
        return [
            job_pb2.JobReply.FromString(reply)
            async for data in self.service.evaluate_stream(batches, self.context)
            for reply in job_pb2.ReplyBatch.FromString(data).replies
        ]

    def assert_holds_nothing(self) -> None:
        """No job, no byte of one, no upload."""
        held = self.evaluation._held
        assert (held.jobs, held.size_bytes, held._by_client) == (0, 0, {})
        assert self.service._uploads.size_bytes == 0
        assert not self.evaluation.accounting._held


@pytest.fixture(name="front_end")
async def _front_end() -> AsyncIterator[FrontEnd]:
    front_end = FrontEnd()
    yield front_end
    front_end.assert_holds_nothing()
    front_end.threads.close()


@pytest.fixture(name="_impatient")
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that waits a moment."""
    monkeypatch.setattr(paced, "PATIENCE_S", 0.02)


def graph() -> Graph:
    """The sum of squares."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (SIZE,)))
    return b.build({"y": do.sum(x**2.0, axes=(0,), keepdims=False)})


X = np.arange(float(SIZE))


def sent_in_parts() -> list[bytes]:
    """A job whose array comes in two parts."""
    message = job_pb2.Job()
    write_type(message.inputs.add(name="x").tensor, X)
    job = encode_job(Job(graph(), {}, Gradient(("x",)))) + message.SerializeToString()
    return [*parts(job, [X])]


def data_part(data: bytes) -> bytes:
    """A part of data."""
    return service_pb2.Part(data=data).SerializeToString()


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until it does."""
    async with asyncio.timeout(10.0):
        while not holds():  # noqa: ASYNC110  (nothing tells of it)
            await asyncio.sleep(0)


async def of(messages: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Messages one after another."""
    for message in messages:
        yield message


async def then_nothing(messages: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Messages, and then a call that stays open."""
    for message in messages:
        yield message
    await asyncio.Event().wait()


async def without_end(first: Iterable[bytes], message: bytes) -> AsyncIterator[bytes]:
    """Messages, and then one for ever."""
    for own in first:
        yield own
    while True:
        await asyncio.sleep(0)
        yield message


async def test_a_job_in_parts_is_answered(front_end: FrontEnd) -> None:
    """What these tests spoil is sound."""
    first, *data = await front_end.in_parts(of(sent_in_parts()))
    result = decode_result(service_pb2.Part.FromString(first).message, apart=[2 * X])
    assert result.outputs["y"] == np.sum(X**2)
    assert sum(map(len, data)) > X.nbytes


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("count", [0, 1, 2])
async def test_parts_that_stop_coming(front_end: FrontEnd, count: int) -> None:
    """Before the first, or in the midst of an array: the place is given to others."""
    with pytest.raises(DeadlineExceeded, match="too little came"):
        await front_end.in_parts(then_nothing(sent_in_parts()[:count]))


async def test_parts_that_trickle(front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part now and then, never so late that one is missed, does not keep a place for long."""
    monkeypatch.setattr(paced, "PATIENCE_S", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        yield sent_in_parts()[0]
        while True:
            await asyncio.sleep(0.01)
            yield data_part(b"x")

    with pytest.raises(DeadlineExceeded):
        await front_end.in_parts(trickle())


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 1000])
async def test_parts_without_number(front_end: FrontEnd, data: bytes) -> None:
    """Empty ones for ever, or an array byte by byte: refused after about a thousand."""
    with pytest.raises(LimitExceeded, match="send more at once"):
        await front_end.in_parts(without_end(sent_in_parts()[:1], data_part(data)))


async def test_data_without_end(front_end: FrontEnd) -> None:
    """Refused when the arrays are full."""
    with pytest.raises(WireError, match="more data came"):
        await front_end.in_parts(without_end(sent_in_parts(), data_part(b"x" * 8192)))


@pytest.mark.parametrize(
    "order",
    [(1, 0, 2), (1, 2, 0), (0, 0, 1, 2), (0, 1, 0, 2), (0, 1, 1, 2), (0, 1, 2, 2), (0, 1), (1, 2)],
)
async def test_parts_out_of_order(front_end: FrontEnd, order: tuple[int, ...]) -> None:
    """Doubled, missing or before the message: a WireError."""
    sent = sent_in_parts()
    with pytest.raises(WireError):
        await front_end.in_parts(of([sent[place] for place in order]))


@pytest.mark.parametrize(
    "types",
    [
        [tensor_pb2.TensorType(dtype=DOUBLE)] * 5000,
        [tensor_pb2.TensorType(dtype=DOUBLE, shape=[-1])],
        [tensor_pb2.TensorType(dtype=DOUBLE, shape=[-2, -2])],
        [tensor_pb2.TensorType(dtype=DOUBLE, shape=[1 << 62, 1 << 62])],
        [tensor_pb2.TensorType(dtype=DOUBLE, shape=[0, 1 << 62])],
        [tensor_pb2.TensorType(dtype=DOUBLE, shape=[1] * 1000)],
        [tensor_pb2.TensorType(dtype=DOUBLE, shape=[1 << 26])] * 4,
        [tensor_pb2.TensorType(dtype=99)],  # type: ignore[arg-type]  # on purpose
        [tensor_pb2.TensorType()],
    ],
)
async def test_types_of_arrays_that_cannot_be(
    front_end: FrontEnd, types: list[tensor_pb2.TensorType]
) -> None:
    """Too many, too large, of no size or kind that there is: nothing is made of them."""
    first = service_pb2.Part(message=b"", arrays=types).SerializeToString()
    with pytest.raises(PullbackError) as caught:
        await front_end.in_parts(of([first]))
    assert caught.value.status in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


async def test_a_full_server_refuses_arrays_before_they_come() -> None:
    """What a job in parts claims counts from its first part on, and no more than the queue's."""
    front_end = FrontEnd(queue_bytes=X.nbytes + 4096)
    holding = asyncio.create_task(front_end.in_parts(then_nothing(sent_in_parts()[:2])))
    await until(lambda: front_end.evaluation.held > 0)
    with pytest.raises(ServiceError, match="as much as it may"):
        await front_end.in_parts(then_nothing(sent_in_parts()[:1]))
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    front_end.assert_holds_nothing()
    assert await front_end.in_parts(of(sent_in_parts()))
    front_end.threads.close()


# --- uploads --------------------------------------------------------------------------------------


def header_of(array: Any, sha256: bytes | None = None) -> bytes:
    """The first chunk of an upload."""
    header = service_pb2.TensorHeader(
        dtype=DOUBLE,
        shape=array.shape,
        size_bytes=array.nbytes,
        sha256=bytes.fromhex(tensor_hash(array)) if sha256 is None else sha256,
    )
    return service_pb2.TensorChunk(header=header).SerializeToString()


def chunk(data: bytes) -> bytes:
    """A chunk of data."""
    return service_pb2.TensorChunk(data=data).SerializeToString()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("sent", [[], [header_of(X)], [header_of(X), chunk(X[:9].tobytes())]])
async def test_chunks_that_stop_coming(front_end: FrontEnd, sent: list[bytes]) -> None:
    """The room that an upload had is given to others."""
    with pytest.raises(DeadlineExceeded, match="too little came"):
        await front_end.put_tensor(then_nothing(sent))


@pytest.mark.parametrize("data", [b"", b"x"])
async def test_chunks_without_number(front_end: FrontEnd, data: bytes) -> None:
    """Refused after about a thousand."""
    with pytest.raises(LimitExceeded, match="send more at once"):
        await front_end.put_tensor(without_end([header_of(X)], chunk(data)))


async def test_unfinished_uploads_together_take_no_more_than_the_store() -> None:
    """The next is asked to wait; when one ends, it is taken."""
    front_end = FrontEnd(tensor_store_bytes=2 * X.nbytes)
    numbers = range(1, 3)
    under_way = [
        asyncio.create_task(
            front_end.put_tensor(then_nothing([header_of(X + n), chunk(X[:9].tobytes())]))
        )
        for n in numbers
    ]
    await until(lambda: front_end.service._uploads.size_bytes == 2 * X.nbytes)
    with pytest.raises(ServiceError, match=r"uploads of .* are under way") as caught:
        await front_end.put_tensor(of([header_of(X), chunk(X.tobytes())]))
    assert caught.value.retryable
    under_way[0].cancel()
    await asyncio.wait(under_way[:1])
    assert not (await front_end.put_tensor(of([header_of(X), chunk(X.tobytes())]))).already_stored
    assert (await front_end.put_tensor(of([header_of(X)]))).already_stored
    under_way[1].cancel()
    await asyncio.wait(under_way)
    front_end.assert_holds_nothing()
    front_end.threads.close()


async def test_a_header_at_odds_with_itself(front_end: FrontEnd) -> None:
    """Sizes that disagree are named before any data come."""
    header = service_pb2.TensorHeader(dtype=DOUBLE, shape=[4], size_bytes=31, sha256=b"h" * 32)
    first = service_pb2.TensorChunk(header=header).SerializeToString()
    with pytest.raises(WireError, match="takes 32 bytes, not 31"):
        await front_end.put_tensor(then_nothing([first]))


async def test_a_parameter_that_came_with_a_job_does_not_come_again(front_end: FrontEnd) -> None:
    """Its header is all that its upload takes; one that never came is not found."""
    await front_end.in_parts(of(sent_in_parts()))
    stored = await front_end.put_tensor(of([header_of(X)]))
    assert stored.already_stored
    np.testing.assert_array_equal(front_end.runner.tensors.get(tensor_hash(X)), X)
    with pytest.raises(WireError, match="missing"):
        await front_end.put_tensor(of([header_of(X + 1.0)]))


# --- cancellations --------------------------------------------------------------------------------


def batch(jobs: Iterable[bytes] = (), cancel: Iterable[int] = ()) -> bytes:
    """A message of a stream."""
    return job_pb2.JobBatch(jobs=jobs, cancel=cancel).SerializeToString()


def small_job(value: float) -> bytes:
    """A job that is nothing."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (2,)))
    return encode_job(Job(b.build({"y": x * 2.0}), {"x": np.full(2, value)}, Value()))


async def test_a_flood_of_cancellations_of_nothing(front_end: FrontEnd) -> None:
    """Positions that never were, are not yet, or are no more, in any number, change nothing."""
    nobody = [(1 << 64) - 1 - n for n in range(BATCH_JOBS)]
    replies = await front_end.stream(
        of(
            [
                *[batch(cancel=nobody)] * 20,
                batch(cancel=range(50)),
                batch([small_job(float(n)) for n in range(50)]),
                *[batch(cancel=nobody)] * 20,
            ]
        )
    )
    assert sorted([reply.position for reply in replies]) == [*range(50)]
    assert {reply.WhichOneof("outcome") for reply in replies} == {"result"}


async def test_a_flood_of_cancellations_of_everything(front_end: FrontEnd) -> None:
    """However often a job is cancelled, it is answered once."""
    jobs = batch([small_job(float(n)) for n in range(200)])
    replies = await front_end.stream(of([jobs, *[batch(cancel=[*range(200)] * 4)] * 20]))
    assert sorted([reply.position for reply in replies]) == [*range(200)]


async def test_a_message_of_too_many_cancellations(front_end: FrontEnd) -> None:
    """It ends the stream; jobs before it are answered first."""
    sent = of([batch([small_job(1.0)]), batch(cancel=range(BATCH_JOBS + 1))])
    replies = front_end.service.evaluate_stream(sent, front_end.context)
    (first,) = job_pb2.ReplyBatch.FromString(await anext(replies)).replies
    assert job_pb2.JobReply.FromString(first).position == 0
    with pytest.raises(LimitExceeded, match="cancel"):
        await anext(replies)
