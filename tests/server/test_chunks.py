"""A stream's jobs in chunks: which are worth a process, and which are answered before they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.codec import encode_job, encode_reply
from pullback_graph.errors import Cancelled
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Metrics
from pullback_graph.types import FLOAT64, ArrayType
from pullback_proto.v1 import job_pb2
from pullback_server.front_end import chunks
from pullback_server.front_end.arrivals import Answer, Arrival, brings_graph, id_in
from pullback_server.front_end.chunks import ChunkRunner


def _graph() -> Graph:
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, ()))
    return b.build({"y": x * x})


@pytest.mark.parametrize("id", ["", "7", "a job's own name"])
def test_a_job_with_its_graph_is_seen(id: str) -> None:
    """The graph's field is found behind an id or without one; a fingerprint is no graph."""
    inputs = {"x": np.asarray(1.0)}
    assert brings_graph(encode_job(Job(_graph(), inputs, id=id)))
    assert not brings_graph(encode_job(Job(GraphHash("ab" * 32), inputs, id=id)))


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\x05", b"\n\xff\xff", b"\x12", b"garbage"])
def test_garbage_is_only_a_guess(data: bytes) -> None:
    """Truncated and random bytes give an answer, not an error."""
    assert brings_graph(data) in (True, False)


class BusyFrontEnd:
    """An evaluation whose threads run what they are given when told so; it counts answers."""

    def __init__(self) -> None:
        self.may_run = asyncio.Event()
        self.counted: list[tuple[Arrival, str]] = []
        self.threads = self
        self.accounting = SimpleNamespace(
            answered=lambda arrival, _: self.counted.append((arrival, "ok")),
            failed=lambda arrival, error: self.counted.append((arrival, type(error).__name__)),
        )
        machine = SimpleNamespace(is_offered=False, batches_ready=False)
        self.runner = SimpleNamespace(
            tapes=SimpleNamespace(machine=machine), answer=lambda _: Answer(Metrics(), b"")
        )

    @contextmanager
    def holding(self, arrivals: Sequence[Arrival]) -> Iterator[None]:
        """Nothing to count."""
        yield

    async def machine_ready(self, arrivals: Sequence[Arrival], *, batches: bool = False) -> None:
        """It is."""

    async def run(self, priority: int, call: Callable[[], Any]) -> Any:
        """As a thread that compiles first, and hears nothing meanwhile."""
        await self.may_run.wait()
        return call()


async def test_a_job_that_cannot_stop_is_answered_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While its thread goes on, and once; its neighbour is answered when the thread is done."""
    monkeypatch.setattr(chunks, "LOOK_S", 0.001)
    monkeypatch.setattr(chunks, "PATIENCE_S", 0.002)
    front_end: Any = BusyFrontEnd()
    processes: Any = SimpleNamespace(ready=False)
    replies: asyncio.Queue[job_pb2.JobReply] = asyncio.Queue()

    async def emit(serialised: list[bytes]) -> None:
        for data in serialised:
            await replies.put(job_pb2.JobReply.FromString(data))

    jobs = [Arrival(b"", position=k) for k in range(3)]
    running = asyncio.create_task(ChunkRunner(front_end, processes).run(jobs, emit))
    jobs[1].flag.set()
    first = await asyncio.wait_for(replies.get(), 10.0)
    assert (first.position, first.error.code) == (1, 1)
    front_end.may_run.set()
    await asyncio.wait_for(running, 10.0)
    assert {replies.get_nowait().position for _ in range(replies.qsize())} == {0, 2}
    assert [kind for arrival, kind in front_end.counted if arrival is jobs[1]] == [
        Cancelled.__name__
    ]


async def test_a_packed_job_is_cancelled_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered while the others run, under its own id; they get what they would have got."""
    front_end: Any = BusyFrontEnd()
    front_end.runner.tapes.machine = SimpleNamespace(is_offered=True, batches_ready=True)
    front_end.runner.remember_packed = list
    front_end.accounting.answered_together = lambda arrivals, totals: front_end.counted.extend(
        [(arrival, totals) for arrival in arrivals]
    )
    totals_of: list[list[bool]] = []

    def run_packed(_: Any, arrivals: Sequence[Arrival]) -> Any:
        replies = [encode_reply(str(a.position), a.position, b"") for a in arrivals]

        def totals(is_counted: Callable[[int], bool]) -> list[str]:
            totals_of.append([is_counted(number) for number in range(len(arrivals))])
            return ["together"]

        return SimpleNamespace(replies=replies, totals=totals)

    monkeypatch.setattr(chunks, "run_packed_jobs", run_packed)
    replies: asyncio.Queue[job_pb2.JobReply] = asyncio.Queue()

    async def emit(serialised: list[bytes]) -> None:
        for data in serialised:
            await replies.put(job_pb2.JobReply.FromString(data))

    inputs = {"x": np.asarray(1.0)}
    jobs = [Arrival(encode_job(Job(_graph(), inputs, id=str(k))), position=k) for k in range(6)]
    runner = ChunkRunner(front_end, SimpleNamespace(ready=False))  # type: ignore[arg-type]
    running = asyncio.create_task(runner.run(jobs, emit))
    await asyncio.sleep(0)
    await runner.call_off([jobs[2]], emit)
    await runner.call_off([jobs[2]], emit)
    first = replies.get_nowait()
    assert (first.position, first.id, first.error.code) == (2, "2", 1)
    assert replies.empty()
    front_end.may_run.set()
    await asyncio.wait_for(running, 10.0)
    rest = [replies.get_nowait() for _ in range(replies.qsize())]
    assert [(reply.position, reply.WhichOneof("outcome")) for reply in rest] == [
        (k, "result") for k in (0, 1, 3, 4, 5)
    ]
    assert totals_of == [[True, True, False, True, True, True]]
    assert front_end.counted == [
        (jobs[2], Cancelled.__name__),
        *[(jobs[k], "together") for k in (0, 1, 3, 4, 5)],
    ]


async def test_a_job_that_waits_is_cancelled_at_once_and_never_starts() -> None:
    """Its place in the chunk is passed over."""
    front_end: Any = BusyFrontEnd()
    front_end.may_run.set()
    sent: list[int] = []

    async def emit(serialised: list[bytes]) -> None:
        sent.extend([job_pb2.JobReply.FromString(data).position for data in serialised])

    jobs = [Arrival(b"", position=k) for k in range(3)]
    runner = ChunkRunner(front_end, SimpleNamespace(ready=False))  # type: ignore[arg-type]
    await runner.call_off(jobs[:2], emit)
    assert sent == [0, 1]
    await runner.run(jobs, emit)
    assert sent == [0, 1, 2]
    await runner.run(jobs, emit)
    assert sent == [0, 1, 2]


async def test_a_job_on_the_cluster_is_answered_when_it_has_stopped() -> None:
    """Its workers say how it ended; calling it off sets its flag alone."""
    front_end: Any = BusyFrontEnd()
    sent: list[bytes] = []

    async def emit(serialised: list[bytes]) -> None:
        sent.extend(serialised)

    job = Arrival(b"", on_cluster=True)
    await ChunkRunner(front_end, SimpleNamespace(ready=False)).call_off([job], emit)  # type: ignore[arg-type]
    assert job.flag.is_set
    assert not sent


@pytest.mark.parametrize(
    ("data", "id"),
    [
        (encode_job(Job(_graph(), {}, id="first")), "first"),
        (encode_job(Job(_graph(), {})) + job_pb2.Job(id="last").SerializeToString(), "last"),
        (encode_job(Job(_graph(), {})), ""),
        (b"", ""),
        (b"\n\xff\xff", ""),
        (b"\n\x02\xff\xfe", ""),
        (bytes([0x28, 0x01]) * 100_000 + job_pb2.Job(id="far").SerializeToString(), ""),
    ],
)
def test_the_id_of_a_job_that_nobody_parsed(data: bytes, id: str) -> None:
    """It is found where encoders put it, and looked for no further."""
    assert id_in(data) == id
