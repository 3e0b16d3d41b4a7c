"""One EvaluateStream call of the plain client: batches go out by a queue, events come in by one.

gRPC reads the outgoing queue on a thread of its own; a second thread waits for the replies.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import grpc

from pullback.remote.map_steps import Broken, Event, Replied
from pullback_graph.errors import PullbackError, ServiceError

ENDED = "the service ended the stream of jobs"


class BatchStream:
    """An open stream. `close()` must be called, whether it broke or not.

    Args:
        notify: told of each event, on a thread of the stream's; without it they wait for `event`.
    """

    def __init__(
        self,
        method: Any,
        metadata: Any,
        failure: Callable[[Any], PullbackError],
        notify: Callable[[Event], None] | None = None,
    ) -> None:
        self._failure = failure
        self._batches: SimpleQueue[bytes | None] = SimpleQueue()
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._notify = notify or self._events.put
        self._call = method(iter(self._batches.get, None), None, metadata)
        self._reader = Thread(target=self._read, name="pullback-map", daemon=True)
        self._reader.start()

    def send(self, batch: bytes) -> None:
        """Send a serialised JobBatch, in turn."""
        self._batches.put(batch)

    @property
    def has_event(self) -> bool:
        """Whether `event` would not wait."""
        return not self._events.empty()

    def event(self, timeout_s: float | None) -> Event:
        """What came next: a reply, or the stream's end; None where nothing did in time."""
        try:
            return self._events.get(timeout=timeout_s)
        except Empty:
            return None

    def close(self) -> None:
        """Call the stream off, and wait for the thread to end."""
        self._batches.put(None)
        self._call.cancel()
        self._reader.join()

    def _read(self) -> None:
        error: PullbackError = ServiceError(ENDED)
        try:
            for data in self._call:
                self._notify(Replied(data))
        except grpc.RpcError as failed:
            error = self._failure(failed)
        self._notify(Broken(error))
