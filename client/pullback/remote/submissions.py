"""Jobs submitted one by one: they share a stream, which a thread of their own speaks on.

Everything that happens comes to that thread by one queue: jobs, cancellations, replies.
"""

from __future__ import annotations

from collections import deque
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from pullback.job_future import JobFuture
from pullback.remote.batch_stream import BatchStream, StreamInUse
from pullback.remote.conversation import Conversation
from pullback.remote.job_window import WindowSize, called_off
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
from pullback.remote.steps import perform_all
from pullback.remote.transport import Transport
from pullback_graph.errors import Cancelled, ServiceError
from pullback_graph.job import Job


class _Submitted(NamedTuple):
    job: Job
    future: JobFuture


class _Dropped(NamedTuple):
    future: JobFuture


class _Happened(NamedTuple):
    stream: BatchStream
    event: Event


_Message: TypeAlias = "_Submitted | _Dropped | _Happened | None"


class Submissions:
    """The jobs submitted to a service; safe to use from several threads at once."""

    def __init__(self, transport: Transport, conversation: Conversation) -> None:
        self._transport = transport
        self._conversation = conversation
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        self._thread: Thread | None = None
        self._lock = Lock()
        self._is_closed = False

    def submit(self, job: Job) -> JobFuture:
        """Send a job on its way.

        Raises:
            ServiceError: the service is closed, or was connected in another process.
        """
        self._transport.check_usable()
        future = JobFuture(lambda own: self._messages.put(_Dropped(own)))
        with self._lock:
            if self._is_closed:
                raise ServiceError("the service is closed; connect again")
            if self._thread is None:
                self._thread = Thread(target=self._run, name="pullback-submit", daemon=True)
                self._thread.start()
            self._messages.put(_Submitted(job, future))
        return future

    def close(self) -> None:
        """Call off what is not finished."""
        with self._lock:
            self._is_closed = True
        if self._thread is not None:
            self._messages.put(None)
            if self._thread is not current_thread():  # a future's callback may close the service
                self._thread.join()

    def _run(self) -> None:
        shell = _Shell(self._transport, self._messages)
        steps = submission_steps(self._conversation, WindowSize())
        try:
            perform_all(steps, shell.perform)
        except _Closed:
            pass
        finally:
            with self._lock:
                self._is_closed = True
            shell.close()


class _Closed(Exception):
    """There is no more to wait for."""


class _Shell:
    """The stream, and the jobs: some wait to be taken, the others are known by number."""

    def __init__(self, transport: Transport, messages: SimpleQueue[_Message]) -> None:
        self._transport = transport
        self._messages = messages
        self._stream = StreamInUse(
            transport.open_stream, lambda *happened: messages.put(_Happened(*happened))
        )
        self._waiting: deque[_Submitted] = deque()
        self._taken: dict[int, JobFuture] = {}
        self._count = 0
        self._is_closed = False

    def perform(self, effect: MapEffect) -> Any:
        match effect:
            case Next(take, timeout_s):
                return self._next(take, timeout_s)
            case Send(data):
                return self._stream.send(data)
            case Deliver(outcome, number):
                return self._taken.pop(number).end(outcome)
            case Reset():
                return self._stream.close()
            case _:
                return self._transport.perform(effect)

    def close(self) -> None:
        """Call off every job that is left."""
        self._stream.close()
        while not self._messages.empty():
            self._event(self._messages.get())
        error = Cancelled("the service was closed before the job was done")
        for future in [*self._taken.values(), *[item.future for item in self._waiting]]:
            future.end(error)

    def _next(self, take: bool, timeout_s: float | None) -> Event:
        """What has happened first, then jobs; None where nothing did in time.

        Raises:
            _Closed: all is over.
        """
        until_s = None if timeout_s is None else monotonic() + timeout_s
        while not self._is_closed:
            taking = take and bool(self._waiting)
            try:
                if taking:
                    message = self._messages.get_nowait()
                else:
                    left_s = None if until_s is None else max(0.0, until_s - monotonic())
                    message = self._messages.get(timeout=left_s)
            except Empty:
                return self._take() if taking else None
            event = self._event(message)
            if event is not None:
                return event
        raise _Closed

    def _take(self) -> Taken:
        job, future = self._waiting.popleft()
        self._taken[self._count] = future
        self._count += 1
        return Taken(job, more=bool(self._waiting))

    def _event(self, message: _Message) -> Event:
        """What the steps are to know of a message, if anything."""
        match message:
            case _Submitted():
                self._waiting.append(message)
            case _Dropped(future):
                return self._dropped(future)
            case _Happened(stream, event):
                return self._stream.event(stream, event)
            case None:
                self._is_closed = True
        return None

    def _dropped(self, future: JobFuture) -> CalledOff | None:
        for item in self._waiting:
            if item.future is future:
                self._waiting.remove(item)
                future.end(called_off())
                return None
        numbers = [number for number, own in self._taken.items() if own is future]
        return CalledOff(numbers[0]) if numbers else None
