"""The map of the asyncio client: performs the map's steps, one outcome at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, TypeAlias

from pullback.remote.async_batch_stream import AsyncBatchStream
from pullback.remote.async_transport import AsyncTransport
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
from pullback_graph.errors import PullbackError

Items: TypeAlias = "Iterable[Any] | AsyncIterable[Any]"

_BREATH = 32
"""Items taken from a plain iterable before the event loop gets its turn."""


async def async_map_jobs(
    transport: AsyncTransport, steps: MapSteps, items: Items
) -> AsyncIterator[Outcome]:
    """The outcomes of a map's steps; the stream is closed when the iterator is."""
    shell = _Shell(transport, items)
    try:
        effect = next(steps)
        while True:
            if isinstance(effect, Deliver):
                yield effect.outcome
                effect = next(steps)
                continue
            try:
                outcome = await shell.perform(effect)
            except PullbackError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(outcome)
    except StopIteration:
        return
    finally:
        steps.close()
        await shell.close()


class _Shell:
    """The stream, and the caller's iterator, which is asked for one item at a time."""

    def __init__(self, transport: AsyncTransport, items: Items) -> None:
        self._transport = transport
        self._items: Iterator[Any] | AsyncIterator[Any] = (
            aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        )
        self._taken = 0
        self._stream: AsyncBatchStream | None = None
        self._taking: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[tuple[AsyncBatchStream | None, Event | BaseException]] = (
            asyncio.Queue()
        )

    async def perform(self, effect: MapEffect) -> Any:
        match effect:
            case Next(take, timeout_s):
                event = await self._next(take, timeout_s)
                if isinstance(event, Broken):
                    await self._close_stream()
                return event
            case Send(data):
                self._open_stream().send(data)
            case Reset():
                await self._close_stream()
            case _:
                return await self._transport.perform(effect)  # type: ignore[arg-type]  # all others
        return None

    async def close(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
        await self._close_stream()

    # --- inside -----------------------------------------------------------------------------------

    def _open_stream(self) -> AsyncBatchStream:
        if self._stream is None:
            stream = self._stream = self._transport.open_stream()
            stream.start(lambda event: self._events.put_nowait((stream, event)))
        return self._stream

    async def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _next(self, take: bool, timeout_s: float | None) -> Event:
        """Replies first: they make room, and the caller waits for them."""
        if take and self._events.empty():
            if isinstance(self._items, Iterator):
                return await self._take_now(self._items)
            if self._taking is None:
                self._taking = asyncio.create_task(self._take(self._items))
        try:
            async with asyncio.timeout(timeout_s):
                return await self._event()
        except TimeoutError:
            return None

    async def _event(self) -> Event:
        """The next event that is not of a stream dropped since."""
        while True:
            source, event = await self._events.get()
            if isinstance(event, BaseException):
                raise event
            if source is None or source is self._stream:
                return event

    async def _take_now(self, items: Iterator[Any]) -> Event:
        self._taken += 1
        if self._taken % _BREATH == 0:
            await asyncio.sleep(0)
        try:
            return Taken(next(items))
        except StopIteration:
            return Exhausted()

    async def _take(self, items: AsyncIterator[Any]) -> None:
        """Ask for one item; what the caller's iterator raises, the map raises."""
        event: Event | BaseException
        try:
            event = Taken(await anext(items))
        except StopAsyncIteration:
            event = Exhausted()
        except Exception as error:
            event = error
        self._taking = None
        self._events.put_nowait((None, event))
