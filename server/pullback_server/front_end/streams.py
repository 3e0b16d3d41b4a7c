"""A stream of job batches: read ahead a little, run in chunks, answered as chunks finish."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from google.protobuf.message import DecodeError

from pullback_graph.errors import LimitExceeded, PullbackError, ServiceError, WireError
from pullback_proto.v1 import job_pb2
from pullback_server.front_end.arrivals import Arrival
from pullback_server.front_end.chunks import ChunkRunner
from pullback_server.front_end.packed_jobs import is_small
from pullback_server.front_end.stream_window import ReadAhead, Room
from pullback_server.outbox import together
from pullback_worker.executor import CancelFlag

CHUNK_JOBS = 32
"""Jobs that visit a thread together: enough to hide the visit, few enough to let others in."""
PACKED_JOBS = 512
"""Of those that may be run packed."""
CHUNK_BYTES = 1 << 20
CHUNKS_IN_FLIGHT = 2 + 2 * (os.cpu_count() or 1)
"""Full chunks a stream may have started, or as many jobs in smaller ones."""
BATCH_JOBS = 4096
REPLIES_WAITING = 16
"""Reply batches that may wait for a client that does not read them."""
JOINED_BYTES = 1 << 18
"""Of replies, above which no others that wait go along with them."""


class JobStream:
    """One EvaluateStream call."""

    def __init__(self, chunks: ChunkRunner, deadline_s: float | None, client: str = "") -> None:
        self._chunks = chunks
        self._evaluation = chunks.evaluation
        self._deadline_s = deadline_s
        self._client = client
        self._flag = CancelFlag()
        self._ahead = ReadAhead()
        self._room = Room(CHUNKS_IN_FLIGHT * CHUNK_JOBS)
        self._held: dict[int, Arrival] = {}
        self._replies: asyncio.Queue[list[bytes] | None] = asyncio.Queue(REPLIES_WAITING)
        self._count = 0

    async def replies(self, batches: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Serialised ReplyBatches for serialised JobBatches.

        Raises:
            WireError: a batch does not parse; replies to those before it have been given.
            LimitExceeded: a batch holds too many jobs.
        """
        reader = asyncio.create_task(self._read_all(batches))
        try:
            while waiting := await together(self._replies, _bytes_of, JOINED_BYTES):
                replies = [reply for some in waiting for reply in some]
                yield job_pb2.ReplyBatch(replies=replies).SerializeToString()
            await reader
        finally:
            self._flag.set()
            for arrival in self._held.values():
                arrival.flag.set()
            reader.cancel()

    async def _read_all(self, batches: AsyncIterator[bytes]) -> None:
        try:
            await self._read(batches)
        finally:
            if not self._flag.is_set:  # else nobody takes replies any more
                await self._replies.put(None)

    async def _read(self, batches: AsyncIterator[bytes]) -> None:
        """Start chunks as there is room for them, and see all of them to their end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_all(group))
            fault = await self._take_all(batches)
            self._ahead.end()
        if fault is not None:
            raise fault

    async def _start_all(self, group: asyncio.TaskGroup) -> None:
        while (arrivals := await self._ahead.get()) is not None:
            await self._room.take(_weight(arrivals))
            await self._evaluation.room_for(arrivals)
            group.create_task(self._run(arrivals))

    async def _take_all(self, batches: AsyncIterator[bytes]) -> PullbackError | None:
        """Line up the chunks of all batches; what is wrong with the batch after them, if one is.

        Handed back, not raised, since a group's tasks end with an error in its block.
        """
        async for data in _until(self._evaluation.stopping, batches):
            if data is None:
                return ServiceError("the server is stopping; send the rest to another")
            try:
                batch = _parsed(data)
            except PullbackError as error:
                return error
            await self._call_off(batch.cancel)
            if batch.jobs or not batch.cancel:
                self._evaluation.accounting.batch(len(batch.jobs))
            for chunk in _cut(batch.jobs):
                await self._ahead.put([self._arrival(job) for job in chunk])
        return None

    async def _call_off(self, positions: Iterable[int]) -> None:
        """Stop the jobs at these positions, where they are and are not answered."""
        held = [self._held[position] for position in positions if position in self._held]
        if held:
            await self._chunks.call_off(held, self._emit)

    async def _run(self, arrivals: Sequence[Arrival]) -> None:
        try:
            await self._chunks.run(arrivals, self._emit)
        finally:
            self._room.give_back(_weight(arrivals))
            for arrival in arrivals:
                del self._held[arrival.position]

    async def _emit(self, replies: list[bytes]) -> None:
        """Pass replies on; waits while the client does not take those before."""
        await self._replies.put(replies)

    def _arrival(self, data: bytes) -> Arrival:
        position, self._count = self._count, self._count + 1
        arrival = Arrival(data, self._deadline_s, self._flag, position, client=self._client)
        self._held[position] = arrival
        return arrival


async def _until(
    event: asyncio.Event, batches: AsyncIterator[bytes]
) -> AsyncIterator[bytes | None]:
    """The batches until the event is set, then None."""
    iterator = aiter(batches)
    stopped = asyncio.create_task(event.wait())
    try:
        while True:
            following = asyncio.ensure_future(anext(iterator, None))
            await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                following.cancel()
                yield None
                return
            data = following.result()
            if data is None:
                return
            yield data
    finally:
        stopped.cancel()


def _parsed(data: bytes) -> job_pb2.JobBatch:
    """The batch.

    Raises:
        WireError: it is none.
        LimitExceeded: it holds too many jobs, or cancels too many.
    """
    try:
        batch = job_pb2.JobBatch.FromString(data)
    except DecodeError as error:
        raise WireError(f"the JobBatch does not parse: {error}", field="batch") from None
    for what, found in (("jobs", len(batch.jobs)), ("cancel", len(batch.cancel))):
        if found > BATCH_JOBS:
            raise LimitExceeded(
                f"a batch of {found} {what}; at most {BATCH_JOBS} are taken: send smaller batches",
                field=f"batch.{what}",
            )
    return batch


def _bytes_of(replies: Sequence[bytes]) -> int:
    return sum(map(len, replies))


def _weight(chunk: Sequence[Arrival]) -> int:
    """The room that a chunk takes: of its jobs, or of a full chunk where they run packed."""
    return min(len(chunk), CHUNK_JOBS)


def _cut(jobs: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The jobs in runs of at most CHUNK_JOBS (or PACKED_JOBS) jobs and about CHUNK_BYTES bytes."""
    chunk: list[bytes] = []
    size_bytes, most = 0, CHUNK_JOBS
    for job in jobs:
        own = PACKED_JOBS if is_small(job) else CHUNK_JOBS
        full = len(chunk) >= min(most, own) or size_bytes + len(job) > CHUNK_BYTES
        if chunk and full:
            yield chunk
            chunk, size_bytes = [], 0
        most = own if not chunk else min(most, own)
        chunk.append(job)
        size_bytes += len(job)
    if chunk:
        yield chunk
