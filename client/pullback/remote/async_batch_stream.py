"""One EvaluateStream call of the asyncio client: batches go out, events come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import grpc

from pullback.remote.batch_stream import ENDED
from pullback.remote.map_steps import Broken, Event, Replied
from pullback_graph.errors import PullbackError, ServiceError


class AsyncBatchStream:
    """An open stream. `close()` must be awaited, whether it broke or not.

    Args:
        notify: told of what comes: replies, and the stream's end.
    """

    def __init__(
        self,
        method: Any,
        metadata: Any,
        failure: Callable[[Any], PullbackError],
        notify: Callable[[AsyncBatchStream, Event], None],
    ) -> None:
        self._failure = failure
        self._batches: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._notify = notify
        self._call = method(self._outgoing(), metadata=metadata)
        self._reader = asyncio.create_task(self._read())

    def send(self, batch: bytes) -> None:
        """Send a serialised JobBatch, in turn."""
        self._batches.put_nowait(batch)

    async def close(self) -> None:
        """Call the stream off, and wait for its tasks to end."""
        self._batches.put_nowait(None)
        self._call.cancel()
        await self._reader

    async def _outgoing(self) -> AsyncIterator[bytes]:
        while (batch := await self._batches.get()) is not None:
            yield batch

    async def _read(self) -> None:
        error: PullbackError = ServiceError(ENDED)
        try:
            async for data in self._call:
                self._notify(self, Replied(data))
        except grpc.RpcError as failed:
            error = self._failure(failed)
        except asyncio.CancelledError:
            if not self._call.cancelled():
                raise
        self._notify(self, Broken(error))


OpenStream: TypeAlias = Callable[[Callable[[AsyncBatchStream, Event], None]], AsyncBatchStream]


class AsyncStreamInUse:
    """The stream that jobs go by; as `StreamInUse`."""

    def __init__(
        self, open_stream: OpenStream, notify: Callable[[AsyncBatchStream, Event], None]
    ) -> None:
        self._open_stream = open_stream
        self._notify = notify
        self._stream: AsyncBatchStream | None = None

    def send(self, batch: bytes) -> None:
        """Send a serialised JobBatch."""
        if self._stream is None:
            self._stream = self._open_stream(self._notify)
        self._stream.send(batch)

    async def close(self) -> None:
        """Drop the stream, if there is one."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def event(self, stream: AsyncBatchStream, event: Event) -> Event:
        """What came, or nothing where it is of a stream dropped since; a broken one is dropped."""
        if stream is not self._stream:
            return None
        if isinstance(event, Broken):
            await self.close()
        return event
