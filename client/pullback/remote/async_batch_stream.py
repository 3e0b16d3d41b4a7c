"""One EvaluateStream call of the asyncio client: batches go out, events come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from pullback.remote.batch_stream import ENDED
from pullback.remote.map_steps import Broken, Event, Replied
from pullback_graph.errors import PullbackError, ServiceError


class AsyncBatchStream:
    """An open stream. `close()` must be awaited, whether it broke or not."""

    def __init__(self, method: Any, metadata: Any, failure: Callable[[Any], PullbackError]) -> None:
        self._failure = failure
        self._batches: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._call = method(self._outgoing(), metadata=metadata)
        self._reader: asyncio.Task[None] | None = None

    def start(self, notify: Callable[[Event], None]) -> None:
        """Have `notify` called with what comes: replies, and the stream's end."""
        self._reader = asyncio.create_task(self._read(notify))

    def send(self, batch: bytes) -> None:
        """Send a serialised JobBatch, in turn."""
        self._batches.put_nowait(batch)

    async def close(self) -> None:
        """Call the stream off, and wait for its tasks to end."""
        self._batches.put_nowait(None)
        self._call.cancel()
        if self._reader is not None:
            await self._reader

    async def _outgoing(self) -> AsyncIterator[bytes]:
        while (batch := await self._batches.get()) is not None:
            yield batch

    async def _read(self, notify: Callable[[Event], None]) -> None:
        error: PullbackError = ServiceError(ENDED)
        try:
            async for data in self._call:
                notify(Replied(data))
        except grpc.RpcError as failed:
            error = self._failure(failed)
        except asyncio.CancelledError:
            if not self._call.cancelled():
                raise
        notify(Broken(error))
