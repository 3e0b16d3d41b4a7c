"""Shells without a network or a clock: steps performed against a fake service, time by decree."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pullback.remote.address import parse_address
from pullback.remote.conversation import Conversation
from pullback.remote.job_window import Outcome
from pullback.remote.map_steps import (
    Broken,
    Deliver,
    Event,
    Exhausted,
    MapSteps,
    Next,
    Replied,
    Reset,
    Send,
    Taken,
)
from pullback.remote.retry import RetryPolicy
from pullback.remote.steps import Call, Compute, Effect, Pause, Steps
from pullback_graph.codec import error_to_status, status_to_error
from pullback_graph.errors import PullbackError
from pullback_proto.v1 import job_pb2
from tests.client.fake_service import FakeService

T = TypeVar("T")


class FakeTransport:
    """Performs steps against a FakeService; `now_s` moves only when a step waits.

    Attributes:
        pauses_s: the waits asked for.
        requests: bytes of each unary request.
    """

    def __init__(self, service: FakeService, retry: RetryPolicy | None = None) -> None:
        self.service = service
        self.now_s = 1000.0
        self.pauses_s: list[float] = []
        self.timeouts_s: list[float | None] = []
        self.conversation = Conversation(
            parse_address("fake:1"), retry or RetryPolicy(), lambda: self.now_s, lambda: 0.5
        )

    def run(self, steps: Steps[T]) -> T:
        """Perform steps to their end."""
        try:
            effect = next(steps)
            while True:
                try:
                    outcome = self.perform(effect)
                except PullbackError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(outcome)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def perform(self, effect: Effect) -> Any:
        """Perform one effect."""
        match effect:
            case Call(method, request, timeout_s, reply):
                self.timeouts_s.append(timeout_s)
                try:
                    answer = self.service.handle(method, request)
                except PullbackError as error:
                    raise status_to_error(error_to_status(error)) from None
                if reply is None:
                    return answer
                for part in answer:
                    reply.take(part)
                return reply
            case Pause(seconds):
                self.pauses_s.append(seconds)
                self.now_s += seconds
            case Compute(function):
                return function()
        return None


class FakeMap:
    """Performs a map's steps; batches are answered when the map waits for replies.

    Attributes:
        breaks: what the coming streams do when a reply is waited for: an error, or None to answer.
        batches: how many jobs each Send held.
        taken: items taken from the caller's iterable.
        most_under_way: the most items that were taken and not delivered.
        hurried: whether replies come before further items are taken, rather than after.
        silent: whether no reply ever comes.
    """

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport
        self.breaks: deque[PullbackError | bytes | None] = deque()
        self.batches: list[int] = []
        self.taken = self.delivered = self.most_under_way = self.streams = 0
        self.hurried = self.silent = False
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._position: int | None = None

    def run(self, steps: MapSteps, items: Iterable[Any]) -> Iterator[Outcome]:
        """The outcomes of the steps."""
        source = iter(items)
        try:
            effect = next(steps)
            while True:
                if isinstance(effect, Deliver):
                    self.delivered += 1
                    yield effect.outcome
                    effect = next(steps)
                    continue
                try:
                    outcome = self._perform(effect, source)
                except PullbackError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(outcome)
        except StopIteration:
            return

    def _perform(self, effect: Any, source: Iterator[Any]) -> Any:
        match effect:
            case Send(data):
                return self._send(data)
            case Reset():
                return self._drop()
            case Next(take, timeout_s):
                return self._next(take, timeout_s, source)
            case _:
                return self.transport.perform(effect)

    def _send(self, data: bytes) -> None:
        if self._position is None:
            self._position, self.streams = 0, self.streams + 1
        jobs = len(job_pb2.JobBatch.FromString(data).jobs)
        self.batches.append(jobs)
        self._waiting.append((data, self._position))
        self._position += jobs

    def _drop(self) -> None:
        self._position = None
        self._waiting.clear()

    def _next(self, take: bool, timeout_s: float | None, source: Iterator[Any]) -> Event:
        if take and not (self.hurried and self._waiting):
            return self._take(source)
        if self._waiting and not self.silent:
            return self._reply()
        assert timeout_s is not None, "the map waits for ever with nothing under way"
        self.transport.now_s += timeout_s
        return None

    def _take(self, source: Iterator[Any]) -> Event:
        try:
            item = next(source)
        except StopIteration:
            return Exhausted()
        self.taken += 1
        self.most_under_way = max(self.most_under_way, self.taken - self.delivered)
        return Taken(item)

    def _reply(self) -> Event:
        fate = self.breaks.popleft() if self.breaks else None
        if isinstance(fate, PullbackError):
            self._drop()
            return Broken(fate)
        if isinstance(fate, bytes):
            return Replied(fate)
        try:
            return Replied(self.transport.service.replies(*self._waiting.popleft())[0])
        except PullbackError as error:
            self._drop()
            return Broken(error)
