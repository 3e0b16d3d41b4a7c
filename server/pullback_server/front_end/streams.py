"""A stream of job batches: read as there is room, run in chunks, answered as chunks finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from google.protobuf.message import DecodeError

from pullback_graph.errors import LimitExceeded, WireError
from pullback_proto.v1 import job_pb2
from pullback_server.front_end.evaluation import Evaluation
from pullback_server.front_end.run_job import Arrival
from pullback_worker.executor import CancelFlag

CHUNK_JOBS = 32
"""Jobs that visit a thread together: enough to hide the visit, few enough to let others in."""
CHUNK_BYTES = 1 << 20
CHUNKS_IN_FLIGHT = 4
"""Chunks a stream may have running or waiting; more stay unread with the client."""
BATCH_JOBS = 4096


class JobStream:
    """One EvaluateStream call."""

    def __init__(self, evaluation: Evaluation, deadline_s: float | None) -> None:
        self._evaluation = evaluation
        self._deadline_s = deadline_s
        self._flag = CancelFlag()
        self._window = asyncio.Semaphore(CHUNKS_IN_FLIGHT)
        self._replies: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._count = 0

    async def replies(self, batches: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Serialised ReplyBatches for serialised JobBatches.

        Raises:
            WireError: a batch does not parse; replies to those before it have been given.
            LimitExceeded: a batch holds too many jobs.
        """
        reader = asyncio.create_task(self._read(batches))
        reader.add_done_callback(lambda _: self._replies.put_nowait(None))
        try:
            while (reply := await self._replies.get()) is not None:
                yield reply
            await reader
        finally:
            self._flag.set()
            reader.cancel()

    async def _read(self, batches: AsyncIterator[bytes]) -> None:
        """Start chunks as there is room for them, and see all of them to their end."""
        async with asyncio.TaskGroup() as group:
            async for data in batches:
                jobs = _parsed(data)
                self._evaluation.accounting.batch(len(jobs))
                for chunk in _chunks(jobs):
                    await self._window.acquire()
                    await self._evaluation.room_for(len(chunk))
                    arrivals = [self._arrival(job) for job in chunk]
                    group.create_task(self._run(arrivals))

    async def _run(self, arrivals: Sequence[Arrival]) -> None:
        try:
            await self._evaluation.evaluate_chunk(arrivals, self._emit)
        finally:
            self._window.release()

    def _emit(self, replies: list[bytes]) -> None:
        self._replies.put_nowait(job_pb2.ReplyBatch(replies=replies).SerializeToString())

    def _arrival(self, data: bytes) -> Arrival:
        self._count += 1
        return Arrival(data, self._deadline_s, self._flag, self._count - 1)


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


def _chunks(jobs: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The jobs in runs of at most CHUNK_JOBS jobs and about CHUNK_BYTES bytes."""
    chunk: list[bytes] = []
    size_bytes = 0
    for job in jobs:
        if chunk and (len(chunk) == CHUNK_JOBS or size_bytes + len(job) > CHUNK_BYTES):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(job)
        size_bytes += len(job)
    if chunk:
        yield chunk
