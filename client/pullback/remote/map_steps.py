"""A map over jobs as steps: take, prepare, send, receive, deliver. The shells perform them.

Pure but for the conversation's clock and dice. The rules: nothing is taken that the window has no
room for; a message goes when it is full, when nothing is out, when nothing more can be taken, or
when a reply came and the service may soon run dry. Jobs that come by themselves, rather than from
an iterable, wait for nothing but others that are there, and are delivered as replies come.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from pullback.map_items import MakeJob
from pullback.remote.conversation import Conversation
from pullback.remote.failure import garbled
from pullback.remote.job_window import JobWindow, Outcome, Slot, WindowSize
from pullback.remote.reply import parse_result
from pullback.remote.steps import Effect
from pullback_graph.codec import status_to_error
from pullback_graph.errors import NotFoundError, PullbackError, ServiceError
from pullback_proto.v1 import job_pb2


class Send(NamedTuple):
    """Send a serialised JobBatch, on a new stream where none is open."""

    data: bytes


class Deliver(NamedTuple):
    """Hand an outcome to the caller.

    Attributes:
        number: of its job, counted from 0 as they were taken.
    """

    outcome: Outcome
    number: int


class Next(NamedTuple):
    """Wait for what happens next: an `Event`.

    Attributes:
        take: whether a job may be taken from the caller's iterable.
        timeout_s: when to give up and answer None; None waits for ever.
    """

    take: bool
    timeout_s: float | None


class Taken(NamedTuple):
    """The caller's iterable gave something.

    Attributes:
        more: whether more is there already; nothing goes before it is taken.
    """

    item: Any
    more: bool = False


class CalledOff(NamedTuple):
    """The caller wants a job no more, by its number."""

    number: int


class Exhausted(NamedTuple):
    """The caller's iterable has ended."""


class Replied(NamedTuple):
    """The stream gave a serialised ReplyBatch."""

    data: bytes


class Broken(NamedTuple):
    """The stream failed or ended; the next Send opens a new one."""

    error: PullbackError


class Reset(NamedTuple):
    """Drop the stream, which talks nonsense."""


Event: TypeAlias = "Taken | CalledOff | Exhausted | Replied | Broken | None"
MapEffect: TypeAlias = "Effect | Send | Deliver | Next | Reset"
MapSteps: TypeAlias = "Generator[MapEffect, Any, None]"


def map_steps(conversation: Conversation, size: WindowSize, make_job: MakeJob) -> MapSteps:
    """All steps of one map, from the first job to the last outcome."""
    return _Map(conversation, size, make_job).steps()


def submission_steps(conversation: Conversation, size: WindowSize) -> MapSteps:
    """The steps of jobs that come one by one and are delivered as they end, without an end."""
    return _Map(conversation, size, lambda job: job, is_map=False).steps()


class _Map:
    """The state of one map, or of jobs submitted one by one."""

    def __init__(
        self,
        conversation: Conversation,
        size: WindowSize,
        make_job: MakeJob,
        *,
        is_map: bool = True,
    ) -> None:
        self._conversation = conversation
        self._make_job = make_job
        self._window = JobWindow(size, conversation.retry, conversation.draw, in_order=is_map)
        self._is_map = is_map
        self._exhausted = self._more = False

    def steps(self) -> MapSteps:
        window, clock = self._window, self._conversation.clock
        replied = False
        while True:
            while (slot := window.next_fresh()) is not None:
                yield from self._prepare(slot)
            flush = self._flush(replied)
            while batch := window.next_batch(clock(), flush=flush):
                yield Send(job_pb2.JobBatch(jobs=batch).SerializeToString())
            for number, outcome in window.deliverable():
                yield Deliver(outcome, number)
            if self._exhausted and window.is_empty:
                return
            take = window.has_room and not self._exhausted
            event = yield Next(take, self._timeout_s())
            replied = isinstance(event, Replied)
            yield from self._on(event)

    def _on(self, event: Event) -> MapSteps:
        window, conversation = self._window, self._conversation
        match event:
            case Taken(item, more):
                self._more = more
                self._take(item)
            case CalledOff(number):
                position = window.call_off(number)
                if position is not None:
                    yield Send(job_pb2.JobBatch(cancel=[position]).SerializeToString())
            case Exhausted():
                self._exhausted = True
            case Replied(data):
                try:
                    self._replied(data)
                except DecodeError as error:
                    yield Reset()
                    broken = garbled("reply", conversation.address, error)
                    window.broken(broken, conversation.clock())
            case Broken(error):
                window.broken(error, conversation.clock())

    def _flush(self, replied: bool) -> bool:
        """Whether to send what there is, rather than wait for a full message."""
        window = self._window
        if self._exhausted:
            return True
        if not self._is_map:
            return not self._more or not window.has_room
        return (replied or not window.has_room) and window.flying <= window.size.jobs // 2

    def _take(self, item: Any) -> None:
        try:
            job = self._make_job(item)
        except PullbackError as error:
            self._window.refuse(error)
        else:
            self._window.take(job, self._conversation.until(job.options.deadline_s))

    def _prepare(self, slot: Slot) -> MapSteps:
        """Make a job's request; a graph that comes again is sent ahead, and then named."""
        conversation, window = self._conversation, self._window
        assert slot.job is not None, "a fresh slot has its job"
        try:
            named = conversation.has_travelled(slot.job.graph) or slot.resent >= 0
            request = yield from conversation.request(
                slot.job, slot.until_s, named=named, patient=window.breaks == 0
            )
        except PullbackError as error:
            if error.retryable:  # it was retried; those behind it need not be as patient again
                window.breaks = max(window.breaks, 1)
            window.settle(slot, error)
        else:
            window.prepared(slot, request)

    def _replied(self, data: bytes) -> None:
        """Settle the jobs that a ReplyBatch answers.

        Raises:
            DecodeError: it does not parse, so that nobody knows what it answers.
        """
        for reply in job_pb2.ReplyBatch.FromString(data).replies:
            message = job_pb2.JobReply.FromString(reply)
            slot = self._window.landed(message.position)
            if slot is not None:
                self._answered(slot, message)

    def _answered(self, slot: Slot, reply: job_pb2.JobReply) -> None:
        conversation, window = self._conversation, self._window
        assert slot.job is not None, "a slot that flies has its job"
        assert slot.request is not None, "a slot that flies has its request"
        try:
            if reply.WhichOneof("outcome") == "result":
                result = parse_result(reply.result, slot.job.id, conversation.address)
                conversation.arrived(slot.request)
                window.settle(slot, result)
            elif reply.WhichOneof("outcome") == "error":
                raise status_to_error(reply.error)
            else:
                raise ServiceError(f"{conversation.address} answered with neither result nor error")
        except NotFoundError as error:
            if window.was_resent(slot) or not conversation.forget(slot.request):
                window.settle(slot, error)
            else:
                window.again(slot)
        except PullbackError as error:
            window.failed(slot, error, conversation.clock())

    def _timeout_s(self) -> float | None:
        now_s = self._conversation.clock()
        wake_s = self._window.wake_s(now_s)
        return None if wake_s is None else max(0.0, wake_s - now_s)
