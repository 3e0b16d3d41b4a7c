"""The map of the plain client: performs the map's steps, one outcome at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import sleep
from typing import Any

from pullback.remote.batch_stream import BatchStream
from pullback.remote.job_window import Outcome
from pullback.remote.map_steps import (
    Broken,
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
from pullback.remote.transport import Transport
from pullback_graph.errors import PullbackError


def map_jobs(transport: Transport, steps: MapSteps, items: Iterable[Any]) -> Iterator[Outcome]:
    """The outcomes of a map's steps; the stream is closed when the iterator is."""
    shell = _Shell(transport, iter(items))
    try:
        effect = next(steps)
        while True:
            if isinstance(effect, Deliver):
                yield effect.outcome
                effect = next(steps)
                continue
            try:
                outcome = shell.perform(effect)
            except PullbackError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(outcome)
    except StopIteration:
        return
    finally:
        steps.close()
        shell.close()


class _Shell:
    """The stream, and the caller's iterator."""

    def __init__(self, transport: Transport, items: Iterator[Any]) -> None:
        self._transport = transport
        self._items = items
        self._stream: BatchStream | None = None

    def perform(self, effect: MapEffect) -> Any:
        match effect:
            case Next(take, timeout_s):
                event = self._next(take, timeout_s)
                if isinstance(event, Broken):
                    self.close()
                return event
            case Send(data):
                if self._stream is None:
                    self._stream = self._transport.open_stream()
                return self._stream.send(data)
            case Reset():
                return self.close()
            case _:
                return self._transport.perform(effect)  # type: ignore[arg-type]  # all others

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _next(self, take: bool, timeout_s: float | None) -> Event:
        """Replies first: they make room, and the caller waits for them."""
        stream = self._stream
        if stream is not None and (stream.has_event or not take):
            return stream.event(timeout_s)
        if not take:
            sleep(timeout_s or 0.0)
            return None
        try:
            return Taken(next(self._items))
        except StopIteration:
            return Exhausted()
