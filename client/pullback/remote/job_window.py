"""The jobs of a map that are under way: which go next, which are out, what to do when one fails.

Pure: time comes in as `now_s`, dice as `draw`; nothing here sends or waits. A job's slot passes

    fresh -> ready -> flying -> settled -> delivered
               ^---- later <---'            (tried again, after a while)

and settles exactly once, with a result or an error. Outcomes are delivered in the jobs' order, or
as they come. A job that is called off settles at once, unless it is flying: then its reply says how
it ended, and it is not tried again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TypeAlias

from pullback.remote.request import Request
from pullback.remote.retry import GRACE_S, RetryPolicy
from pullback_graph.errors import Cancelled, DeadlineExceeded, PullbackError
from pullback_graph.job import Job, Result

Outcome: TypeAlias = "Result | PullbackError"

IN_FLIGHT = 512
"""Jobs under way at once, if the caller says nothing else."""


@dataclass(frozen=True, slots=True)
class WindowSize:
    """How much may be under way at once.

    Attributes:
        jobs: taken and not yet delivered.
        size_bytes: of the requests taken and not yet answered.
        batch_jobs, batch_bytes: in one message, and at most a quarter of `jobs`, so that some are
            on their way while others run; a larger job goes alone.
    """

    jobs: int = IN_FLIGHT
    size_bytes: int = 64 << 20
    batch_jobs: int = 64
    batch_bytes: int = 1 << 20

    @property
    def full_jobs(self) -> int:
        """Jobs of a full message."""
        return max(1, min(self.batch_jobs, self.jobs // 4))


@dataclass(slots=True, eq=False)
class Slot:
    """One job's place.

    Attributes:
        attempts: how often it was flying in vain.
        resent: the stream over which it went after what it names had been sent again; -1: none.
        until_s: its deadline, by the clock.
    """

    number: int
    job: Job | None
    until_s: float | None = None
    request: Request | None = None
    attempts: int = 0
    resent: int = -1
    is_settled: bool = False
    is_called_off: bool = False


@dataclass(slots=True)
class JobWindow:
    """All slots of one map.

    Attributes:
        breaks: how often in a row the stream broke without a reply in between.
        streams: how many streams broke before this one: each may lead to another service.
    """

    size: WindowSize
    retry: RetryPolicy
    draw: Callable[[], float]
    in_order: bool = True
    breaks: int = 0
    streams: int = 0
    _taken: int = 0
    _delivered: int = 0
    _bytes: int = 0
    _ready_bytes: int = 0
    _position: int = 0
    _resume_s: float = 0.0
    _outcomes: dict[int, Outcome] = field(default_factory=dict)
    _fresh: deque[Slot] = field(default_factory=deque)
    _ready: deque[Slot] = field(default_factory=deque)
    _flying: dict[int, Slot] = field(default_factory=dict)
    _later: list[tuple[float, int, Slot]] = field(default_factory=list)
    _deadlines: list[tuple[float, int, Slot]] = field(default_factory=list)
    _suspects: set[int] = field(default_factory=set)

    # --- what there is ----------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether another job may be taken."""
        return self._taken - self._delivered < self.size.jobs and self._bytes < self.size.size_bytes

    @property
    def is_empty(self) -> bool:
        """Whether every job taken has been delivered."""
        return self._delivered == self._taken

    @property
    def flying(self) -> int:
        """Jobs sent and not answered."""
        return len(self._flying)

    def wake_s(self, now_s: float) -> float | None:
        """When, by the clock, something is due even if no reply comes."""
        while self._deadlines and self._deadlines[0][2].is_settled:
            heappop(self._deadlines)
        times = [heap[0][0] for heap in (self._later, self._deadlines) if heap]
        if self._ready and self._resume_s > now_s:
            times.append(self._resume_s)
        return min(times, default=None)

    # --- in ---------------------------------------------------------------------------------------

    def take(self, job: Job, until_s: float | None) -> None:
        """Take the next job."""
        slot = Slot(self._taken, job, until_s)
        self._taken += 1
        self._fresh.append(slot)
        if until_s is not None:
            heappush(self._deadlines, (until_s + GRACE_S, slot.number, slot))

    def refuse(self, error: PullbackError) -> None:
        """Give the next place to something that is no job."""
        self._outcomes[self._taken] = error
        self._taken += 1

    def next_fresh(self) -> Slot | None:
        """A job whose request is to be made, or made anew."""
        while self._fresh:
            slot = self._fresh.popleft()
            if not slot.is_settled:
                return slot
        return None

    def prepared(self, slot: Slot, request: Request) -> None:
        """Note a job's request."""
        self._bytes += len(request.data) - (len(slot.request.data) if slot.request else 0)
        slot.request = request
        self._enqueue(slot)

    # --- out --------------------------------------------------------------------------------------

    def next_batch(self, now_s: float, *, flush: bool) -> list[bytes]:
        """Requests to send now as one message; they count as flying from here on.

        Args:
            flush: whether to send less than a full batch although jobs are flying.
        """
        self._wake(now_s)
        if not self._ready or now_s < self._resume_s:
            return []
        if self._suspects:
            return [] if self._flying else self._take_off(1)
        if self._flying and not flush and not self._is_full():
            return []
        return self._take_off(self.size.full_jobs)

    def deliverable(self) -> Iterator[tuple[int, Outcome]]:
        """The outcomes whose turn it is, each with its job's number."""
        while self._outcomes:
            number = self._delivered if self.in_order else next(iter(self._outcomes))
            if number not in self._outcomes:
                return
            self._delivered += 1
            yield number, self._outcomes.pop(number)

    # --- what came of it --------------------------------------------------------------------------

    def landed(self, position: int) -> Slot | None:
        """The job at that position of the stream, no longer flying; None where there is none."""
        self.breaks = 0
        slot = self._flying.pop(position, None)
        return None if slot is None or slot.is_settled else slot

    def settle(self, slot: Slot, outcome: Outcome) -> None:
        """Give a job its outcome."""
        if slot.is_settled:
            return
        slot.is_settled = True
        if slot.request is not None:
            self._bytes -= len(slot.request.data)
        slot.job = slot.request = None
        self._suspects.discard(slot.number)
        self._outcomes[slot.number] = outcome

    def failed(self, slot: Slot, error: PullbackError, now_s: float) -> None:
        """Settle a job that failed, or try it again later, as the retry policy says."""
        slot.attempts += 1
        remaining_s = None if slot.until_s is None else slot.until_s - now_s
        wait_s = self.retry.wait_s(error, slot.attempts, remaining_s, self.draw())
        if wait_s is None:
            self.settle(slot, error)
        elif slot.is_called_off:
            self.settle(slot, called_off())
        else:
            heappush(self._later, (now_s + wait_s, slot.number, slot))

    def call_off(self, number: int) -> int | None:
        """Stop a job, if it is not settled; where it is flying, its position on the stream."""
        for position, slot in self._flying.items():
            if slot.number == number and not slot.is_settled:
                slot.is_called_off = True
                return position
        for slot in (*self._fresh, *self._ready, *[entry[2] for entry in self._later]):
            if slot.number == number:
                self._give_up(slot, called_off())
                break
        return None

    def again(self, slot: Slot) -> None:
        """Make a job's request anew: what it named has to be sent once more."""
        if slot.is_called_off:
            self.settle(slot, called_off())
            return
        slot.resent = self.streams
        self._fresh.append(slot)

    def was_resent(self, slot: Slot) -> bool:
        """Whether what the job names has been sent again, and lost again, over this very stream."""
        return slot.resent == self.streams

    def broken(self, error: PullbackError, now_s: float) -> None:
        """The stream is gone, and with it what was flying; a new one starts at position 0.

        What can be tried again is, after a wait. An error that trying again can't help is one job's
        fault, but nobody says whose: from then on the suspects go one at a time.
        """
        for slot in self._flying.values():
            if slot.is_called_off:
                self.settle(slot, called_off())
        slots = [slot for slot in self._flying.values() if not slot.is_settled]
        self._flying.clear()
        self._position = 0
        self.streams += 1
        if not slots:
            return
        if error.status == "UNAVAILABLE" and error.retryable:
            self._come_back(slots, error, now_s)
        elif len(slots) == 1:
            self.settle(slots[0], error)
        else:
            self._suspects.update(slot.number for slot in slots)
            for slot in reversed(slots):
                self._enqueue(slot, first=True)

    # --- inside -----------------------------------------------------------------------------------

    def _come_back(self, slots: list[Slot], error: PullbackError, now_s: float) -> None:
        """Line up what was flying to be sent again after a wait; settle what was tried enough."""
        self.breaks += 1
        self._resume_s = now_s
        for slot in reversed(slots):
            slot.attempts += 1
            attempts = max(self.breaks, slot.attempts)
            remaining_s = None if slot.until_s is None else slot.until_s - now_s
            wait_s = self.retry.wait_s(error, attempts, remaining_s, self.draw())
            if wait_s is None:
                self.settle(slot, error)
            else:
                self._resume_s = max(self._resume_s, now_s + wait_s)
                self._enqueue(slot, first=True)

    def _enqueue(self, slot: Slot, *, first: bool = False) -> None:
        assert slot.request is not None, "what is ready has its request"
        self._ready_bytes += len(slot.request.data)
        if first:
            self._ready.appendleft(slot)
        else:
            self._ready.append(slot)

    def _take_off(self, jobs: int) -> list[bytes]:
        """The requests of the next jobs, at most so many and not over a batch's bytes."""
        batch: list[bytes] = []
        size_bytes = 0
        while self._ready and len(batch) < jobs:
            slot = self._ready[0]
            data = slot.request.data if slot.request else b""
            size_bytes += len(data)
            if batch and size_bytes > self.size.batch_bytes:
                break
            self._ready.popleft()
            self._ready_bytes -= len(data)
            self._flying[self._position] = slot
            self._position += 1
            batch.append(data)
        return batch

    def _is_full(self) -> bool:
        full_bytes = self._ready_bytes >= self.size.batch_bytes
        return full_bytes or len(self._ready) >= self.size.full_jobs

    def _wake(self, now_s: float) -> None:
        """Bring back what waited long enough, and settle what is past its deadline."""
        while self._later and self._later[0][0] <= now_s:
            slot = heappop(self._later)[2]
            if not slot.is_settled:
                self._enqueue(slot)
        while self._deadlines and self._deadlines[0][0] <= now_s:
            slot = heappop(self._deadlines)[2]
            error = DeadlineExceeded("no reply before the deadline; allow more with deadline_s")
            self._give_up(slot, error)

    def _give_up(self, slot: Slot, error: PullbackError) -> None:
        """Settle a job wherever it is."""
        if not slot.is_settled and slot in self._ready:
            self._ready.remove(slot)
            self._ready_bytes -= len(slot.request.data) if slot.request else 0
        self.settle(slot, error)


def called_off() -> Cancelled:
    """The error of a job that was cancelled while no service had it."""
    return Cancelled("the job was cancelled before the service had it, or had answered")
