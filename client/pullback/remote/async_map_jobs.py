"""The map of the asyncio client: performs the map's steps, one outcome at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any, TypeAlias

from pullback.remote.async_batch_stream import AsyncBatchStream, AsyncStreamInUse
from pullback.remote.async_transport import AsyncTransport
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
from pullback.remote.steps import performing_async

Items: TypeAlias = "Iterable[Any] | AsyncIterable[Any]"
_Happened: TypeAlias = "tuple[AsyncBatchStream, Event] | tuple[None, Event | BaseException]"
"""An event of a stream; or what asking for an item came to."""

_BREATH = 32
"""Items taken from a plain iterable before the event loop gets its turn."""


async def async_map_jobs(
    transport: AsyncTransport, steps: MapSteps, items: Items
) -> AsyncIterator[Outcome]:
    """The outcomes of a map's steps; the stream is closed when the iterator is."""
    shell = _Shell(transport, items)
    try:
        async with aclosing(performing_async(steps, shell.perform)) as performed:
            async for effect in performed:
                if isinstance(effect, Deliver):
                    yield effect.outcome
    finally:
        await shell.close()


class _Shell:
    """The stream, and the caller's iterator, which is asked for one item at a time."""

    def __init__(self, transport: AsyncTransport, items: Items) -> None:
        self._transport = transport
        self._items: Iterator[Any] | AsyncIterator[Any] = (
            aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        )
        self._taken = 0
        self._taking: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[_Happened] = asyncio.Queue()
        self._stream = AsyncStreamInUse(
            transport.open_stream, lambda *happened: self._events.put_nowait(happened)
        )

    async def perform(self, effect: MapEffect) -> Any:
        match effect:
            case Next(take, timeout_s):
                return await self._next(take, timeout_s)
            case Send(data):
                return self._stream.send(data)
            case Reset():
                return await self._stream.close()
            case Deliver():
                return None  # the caller's
            case _:
                return await self._transport.perform(effect)

    async def close(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
        await self._stream.close()

    # --- inside -----------------------------------------------------------------------------------

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
            own = event if source is None else await self._stream.event(source, event)
            if own is not None:
                return own

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
