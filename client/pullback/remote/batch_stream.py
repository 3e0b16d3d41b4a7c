"""One EvaluateStream call of the plain client: batches go out by a queue, events come as they are.

gRPC reads the outgoing queue on a thread of its own; a second thread waits for the replies.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias

import grpc

from pullback.remote.map_steps import Broken, Event, Replied
from pullback_graph.errors import PullbackError, ServiceError

ENDED = "the service ended the stream of jobs"


class BatchStream:
    """An open stream. `close()` must be called, whether it broke or not.

    Args:
        notify: told of what comes, on a thread of the stream's: replies, and the stream's end.
    """

    def __init__(
        self,
        method: Any,
        metadata: Any,
        failure: Callable[[Any], PullbackError],
        notify: Callable[[BatchStream, Event], None],
    ) -> None:
        self._failure = failure
        self._batches: SimpleQueue[bytes | None] = SimpleQueue()
        self._notify = notify
        self._call = method(iter(self._batches.get, None), None, metadata)
        self._reader = Thread(target=self._read, name="pullback-stream", daemon=True)
        self._reader.start()

    def send(self, batch: bytes) -> None:
        """Send a serialised JobBatch, in turn."""
        self._batches.put(batch)

    def close(self) -> None:
        """Call the stream off, and wait for the thread to end."""
        self._batches.put(None)
        self._call.cancel()
        self._reader.join()

    def _read(self) -> None:
        error: PullbackError = ServiceError(ENDED)
        try:
            for data in self._call:
                self._notify(self, Replied(data))
        except grpc.RpcError as failed:
            error = self._failure(failed)
        self._notify(self, Broken(error))


OpenStream: TypeAlias = Callable[[Callable[[BatchStream, Event], None]], BatchStream]


class StreamInUse:
    """The stream that jobs go by: opened when one is to go, and anew when it broke.

    Args:
        open_stream: opens one, given what is told of its events.
        notify: told of them, each with the stream it is of.
    """

    def __init__(
        self, open_stream: OpenStream, notify: Callable[[BatchStream, Event], None]
    ) -> None:
        self._open_stream = open_stream
        self._notify = notify
        self._stream: BatchStream | None = None

    def send(self, batch: bytes) -> None:
        """Send a serialised JobBatch."""
        if self._stream is None:
            self._stream = self._open_stream(self._notify)
        self._stream.send(batch)

    def close(self) -> None:
        """Drop the stream, if there is one."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def event(self, stream: BatchStream, event: Event) -> Event:
        """What came, or nothing where it is of a stream dropped since; a broken one is dropped."""
        if stream is not self._stream:
            return None
        if isinstance(event, Broken):
            self.close()
        return event
