"""The map of the plain client: performs the map's steps, one outcome at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from pullback.remote.batch_stream import BatchStream, StreamInUse
from pullback.remote.job_window import Outcome
from pullback.remote.map_steps import (
    Deliver,
    Event,
    Exhausted,
    MapEffect,
    MapSteps,
    Next,
    Reset,
    Send,
    Taken,
)
from pullback.remote.steps import performing
from pullback.remote.transport import Transport


def map_jobs(transport: Transport, steps: MapSteps, items: Iterable[Any]) -> Iterator[Outcome]:
    """The outcomes of a map's steps; the stream is closed when the iterator is."""
    shell = _Shell(transport, iter(items))
    try:
        for effect in performing(steps, shell.perform):
            if isinstance(effect, Deliver):
                yield effect.outcome
    finally:
        steps.close()
        shell.close()


class _Shell:
    """The stream, and the caller's iterator."""

    def __init__(self, transport: Transport, items: Iterator[Any]) -> None:
        self._transport = transport
        self._items = items
        self._events: SimpleQueue[tuple[BatchStream, Event]] = SimpleQueue()
        self._stream = StreamInUse(transport.open_stream, self._tell)
        self.close = self._stream.close

    def perform(self, effect: MapEffect) -> Any:
        match effect:
            case Next(take, timeout_s):
                return self._next(take, timeout_s)
            case Send(data):
                return self._stream.send(data)
            case Reset():
                return self._stream.close()
            case Deliver():
                return None  # the caller's
            case _:
                return self._transport.perform(effect)

    def _tell(self, stream: BatchStream, event: Event) -> None:
        self._events.put((stream, event))

    def _next(self, take: bool, timeout_s: float | None) -> Event:
        """Replies first: they make room, and the caller waits for them."""
        until_s = None if timeout_s is None else monotonic() + timeout_s
        while not take or not self._events.empty():
            left_s = None if until_s is None else max(0.0, until_s - monotonic())
            try:
                event = self._stream.event(*self._events.get(timeout=left_s))
            except Empty:
                return None
            if event is not None:
                return event
        try:
            return Taken(next(self._items))
        except StopIteration:
            return Exhausted()
