"""What the scheduler knows of a worker: its batches, oldest first, and how long they take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.commands import Call
from pullback_server.scheduler.events import BatchId, JobId, WorkerId

MOST_PROGRAMS = 4096


@dataclass(slots=True)
class Batch:
    """Tasks of one job that a worker was given together.

    Attributes:
        unreported: its calls that no event has told of yet, by task, in order.
        oldest_since_s: when every batch before it on its worker had ended.
        alone: whether nothing is to be queued behind it.
        cancelled_s: when it was asked to stop.
    """

    id: BatchId
    job: JobId
    unreported: dict[int, Call]
    estimate_s: float
    oldest_since_s: float
    alone: bool = False
    cancelled_s: float | None = None

    def overdue(self, now_s: float, grace_s: float) -> bool:
        """Whether it goes on although it was cancelled a grace period ago."""
        if self.cancelled_s is None:
            return False
        return now_s - max(self.cancelled_s, self.oldest_since_s) >= grace_s


@dataclass(slots=True)
class Worker:
    """A worker that starts or lives.

    Attributes:
        batches: those in flight, in the order it runs them.
        programs: fingerprints of graphs it was given.
        doomed: the scheduler had it killed, so its end is nobody's fault.
    """

    id: WorkerId
    placement: Placement
    ready: bool = False
    batches: dict[BatchId, Batch] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    doomed: bool = False

    def remember(self, fingerprints: Iterable[str]) -> None:
        """It is given these graphs; of too many, all are forgotten, which costs a hint."""
        if len(self.programs) > MOST_PROGRAMS:
            self.programs.clear()
        self.programs.update(fingerprints)

    def backlog_s(self, now_s: float) -> float:
        """Predicted time until it has nothing to do."""
        oldest = self.oldest
        if oldest is None:
            return 0.0
        left_s = max(0.0, oldest.estimate_s - (now_s - oldest.oldest_since_s))
        return left_s + sum(b.estimate_s for b in self.batches.values() if b is not oldest)

    @property
    def oldest(self) -> Batch | None:
        """The batch it is running."""
        return next(iter(self.batches.values()), None)
