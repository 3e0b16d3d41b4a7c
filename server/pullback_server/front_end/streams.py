"""A stream of job batches: read as there is room, run in chunks, answered as chunks finish."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence

from google.protobuf.message import DecodeError

from pullback_graph.errors import LimitExceeded, PullbackError, ServiceError, WireError
from pullback_proto.v1 import job_pb2
from pullback_server.front_end.arrivals import Arrival
from pullback_server.front_end.chunks import ChunkRunner
from pullback_server.front_end.packed_jobs import is_small
from pullback_worker.executor import CancelFlag

CHUNK_JOBS = 32
"""Jobs that visit a thread together: enough to hide the visit, few enough to let others in."""
PACKED_JOBS = 512
"""Of those that may be run packed."""
CHUNK_BYTES = 1 << 20
CHUNKS_IN_FLIGHT = 2 + 2 * (os.cpu_count() or 1)
"""Chunks a stream may have running or waiting; more stay unread with the client."""
BATCH_JOBS = 4096
REPLIES_WAITING = 16
"""Reply batches that may wait for a client that does not read them."""


class JobStream:
    """One EvaluateStream call."""

    def __init__(self, chunks: ChunkRunner, deadline_s: float | None, client: str = "") -> None:
        self._chunks = chunks
        self._evaluation = chunks.evaluation
        self._deadline_s = deadline_s
        self._client = client
        self._flag = CancelFlag()
        self._window = asyncio.Semaphore(CHUNKS_IN_FLIGHT)
        self._replies: asyncio.Queue[bytes | None] = asyncio.Queue(REPLIES_WAITING)
        self._count = 0

    async def replies(self, batches: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Serialised ReplyBatches for serialised JobBatches.

        Raises:
            WireError: a batch does not parse; replies to those before it have been given.
            LimitExceeded: a batch holds too many jobs.
        """
        reader = asyncio.create_task(self._read_all(batches))
        try:
            while (reply := await self._replies.get()) is not None:
                yield reply
            await reader
        finally:
            self._flag.set()
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
            fault = await self._start_all(batches, group)
        if fault is not None:
            raise fault

    async def _start_all(
        self, batches: AsyncIterator[bytes], group: asyncio.TaskGroup
    ) -> PullbackError | None:
        """Start the chunks of all batches; what is wrong with the batch after them, if one is.

        Handed back, not raised, since a group's tasks end with an error in its block.
        """
        async for data in _until(self._evaluation.stopping, batches):
            if data is None:
                return ServiceError("the server is stopping; send the rest to another")
            try:
                jobs = _parsed(data)
            except PullbackError as error:
                return error
            self._evaluation.accounting.batch(len(jobs))
            for chunk in _cut(jobs):
                await self._window.acquire()
                arrivals = [self._arrival(job) for job in chunk]
                await self._evaluation.room_for(arrivals)
                group.create_task(self._run(arrivals))
        return None

    async def _run(self, arrivals: Sequence[Arrival]) -> None:
        try:
            await self._chunks.run(arrivals, self._emit)
        finally:
            self._window.release()

    async def _emit(self, replies: list[bytes]) -> None:
        """Pass replies on; waits while the client does not take those before."""
        await self._replies.put(job_pb2.ReplyBatch(replies=replies).SerializeToString())

    def _arrival(self, data: bytes) -> Arrival:
        self._count += 1
        return Arrival(data, self._deadline_s, self._flag, self._count - 1, client=self._client)


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


def _parsed(data: bytes) -> Sequence[bytes]:
    """The serialised jobs of a batch."""
    try:
        jobs = job_pb2.JobBatch.FromString(data).jobs
    except DecodeError as error:
        raise WireError(f"the JobBatch does not parse: {error}", field="batch") from None
    if len(jobs) > BATCH_JOBS:
        raise LimitExceeded(
            f"a batch of {len(jobs)} jobs; at most {BATCH_JOBS} are taken: send smaller batches",
            field="batch.jobs",
        )
    return jobs


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
