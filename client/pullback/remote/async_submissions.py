"""Jobs submitted one by one, for asyncio: a task for each, and one that speaks on their stream."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

from pullback.remote.async_batch_stream import AsyncBatchStream, AsyncStreamInUse
from pullback.remote.async_transport import AsyncTransport
from pullback.remote.conversation import Conversation
from pullback.remote.job_window import Outcome, WindowSize, called_off
from pullback.remote.map_steps import (
    CalledOff,
    Deliver,
    Event,
    MapEffect,
    Next,
    Reset,
    Send,
    Taken,
    submission_steps,
)
from pullback.remote.steps import perform_all_async
from pullback_graph.errors import Cancelled, PullbackError, ServiceError
from pullback_graph.job import Job, Result


@dataclass(slots=True, eq=False)
class _Submitted:
    """A job, and what will come of it.

    Attributes:
        is_dropped: whether nobody wants it any more.
    """

    job: Job
    outcome: asyncio.Future[Outcome]
    number: int | None = None
    is_dropped: bool = False


_Message: TypeAlias = "_Submitted | tuple[AsyncBatchStream, Event]"


class AsyncSubmissions:
    """The jobs submitted to a service, on one event loop."""

    def __init__(self, transport: AsyncTransport, conversation: Conversation) -> None:
        self._transport = transport
        self._conversation = conversation
        self._shell: _Shell | None = None
        self._speaker: asyncio.Task[None] | None = None
        self._is_closed = False

    def submit(self, job: Job) -> asyncio.Task[Result]:
        """Send a job on its way.

        Raises:
            ServiceError: the service is closed, or was used on another event loop.
        """
        self._transport.check_usable()
        if self._is_closed:
            raise ServiceError("the service is closed; connect again")
        if self._shell is None:
            self._shell = _Shell(self._transport)
            self._speaker = asyncio.create_task(self._speak(self._shell))
        loop = asyncio.get_running_loop()
        submitted = _Submitted(job, loop.create_future())
        shell = self._shell
        shell.messages.put_nowait(submitted)
        task = loop.create_task(_answered(submitted, shell))
        task.add_done_callback(lambda _: shell.drop(submitted))
        return task

    async def close(self) -> None:
        """Call off what is not finished."""
        self._is_closed = True
        if self._speaker is not None:
            self._speaker.cancel()
            await asyncio.gather(self._speaker, return_exceptions=True)

    async def _speak(self, shell: _Shell) -> None:
        steps = submission_steps(self._conversation, WindowSize())
        try:
            await perform_all_async(steps, shell.perform)
        finally:
            await shell.close()


async def _answered(submitted: _Submitted, shell: _Shell) -> Result:
    """The job's result; cancelled, it waits to hear that the job has stopped.

    Raises:
        CancelledError: the caller's, from the `Cancelled` that says how the job ended.
        PullbackError: the job failed.
    """
    try:
        outcome = await asyncio.shield(submitted.outcome)
    except asyncio.CancelledError as error:
        if submitted.outcome.done():
            raise
        shell.drop(submitted)
        outcome = await asyncio.shield(submitted.outcome)
        raise error from outcome if isinstance(outcome, PullbackError) else None
    if isinstance(outcome, PullbackError):
        raise outcome
    return outcome


class _Shell:
    """The stream, and the jobs: some wait to be taken, the others are known by number."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.messages: asyncio.Queue[_Message] = asyncio.Queue()
        self._transport = transport
        self._stream = AsyncStreamInUse(
            transport.open_stream, lambda *happened: self.messages.put_nowait(happened)
        )
        self._waiting: deque[_Submitted] = deque()
        self._taken: dict[int, _Submitted] = {}
        self._count = 0

    def drop(self, submitted: _Submitted) -> None:
        """Stop a job, if it is not finished."""
        if not submitted.outcome.done() and not submitted.is_dropped:
            submitted.is_dropped = True
            self.messages.put_nowait(submitted)

    async def perform(self, effect: MapEffect) -> Any:
        match effect:
            case Next(take, timeout_s):
                return await self._next(take, timeout_s)
            case Send(data):
                return self._stream.send(data)
            case Deliver(outcome, number):
                return _end(self._taken.pop(number), outcome)
            case Reset():
                return await self._stream.close()
            case _:
                return await self._transport.perform(effect)

    async def close(self) -> None:
        """Call off every job that is left."""
        await self._stream.close()
        while not self.messages.empty():
            message = self.messages.get_nowait()
            if isinstance(message, _Submitted):
                self._waiting.append(message)
        for submitted in (*self._taken.values(), *self._waiting):
            _end(submitted, Cancelled("the service was closed before the job was done"))

    async def _next(self, take: bool, timeout_s: float | None) -> Event:
        """What has happened first, then jobs; None where nothing did in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    if take and self._waiting and self.messages.empty():
                        return self._take()
                    event = await self._event(await self.messages.get())
                    if event is not None:
                        return event
        except TimeoutError:
            return None

    def _take(self) -> Taken:
        submitted = self._waiting.popleft()
        submitted.number = self._count
        self._taken[self._count] = submitted
        self._count += 1
        return Taken(submitted.job, more=bool(self._waiting))

    async def _event(self, message: _Message) -> Event:
        """What the steps are to know of a message, if anything."""
        if isinstance(message, tuple):
            return await self._stream.event(*message)
        if message.number is not None and message.number in self._taken:
            return CalledOff(message.number)
        if message.number is None and message.is_dropped:
            if message in self._waiting:
                self._waiting.remove(message)
            _end(message, called_off())
        elif message.number is None:
            self._waiting.append(message)
        return None


def _end(submitted: _Submitted, outcome: Outcome) -> None:
    if not submitted.outcome.done():
        submitted.outcome.set_result(outcome)
