"""What the scheduler knows of a worker: its batches, oldest first, and how long they take.

One batch may run beside the oldest, in a thread of its own: the express one (see `express.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from pullback_server.planner.plan import Placement, TaskOutput
from pullback_server.scheduler.commands import Call, Fetch
from pullback_server.scheduler.events import BatchId, JobId, WorkerId


@dataclass(slots=True)
class Batch:
    """Tasks of one job that a worker was given together.

    Attributes:
        unreported: its calls that no event has told of yet, by task, in order.
        oldest_since_s: when every batch before it on its worker had ended; an express one waits for
            none.
        alone: whether nothing is to be queued behind it, or run beside it.
        express: whether it runs beside the others of its worker.
        cancelled_s: when it was asked to stop, by the end of its job.
        measured: whether all its programs ran on this kind of worker before, and on this worker.
        twin: the worker and the batch that tries the same tasks.
        superseded: whether its twin was done first.
        counted_s: time in those of its tasks whose results counted.
        fetched_bytes: operands that were to come from elsewhere.
        made_bytes: values of its tasks, and those brought for it.
        coming: what it is to be brought, until it is known to have come.
        doubted: of that, what its holder was found not to have since.
        missed: what it did not find.
        passing: values brought for it alone, which its worker has no room to keep.
        call: the first batch of the call it came with: itself, or one before it.
        peak_bytes: what its largest task takes while it runs, where memory is bounded; with what
            its worker holds of the job, once that is over.
    """

    id: BatchId
    job: JobId
    unreported: dict[int, Call]
    estimate_s: float
    oldest_since_s: float
    alone: bool = False
    measured: bool = False
    cancelled_s: float | None = None
    twin: tuple[WorkerId, BatchId] | None = None
    superseded: bool = False
    counted_s: float = 0.0
    fetched_bytes: int = 0
    made_bytes: int = 0
    coming: tuple[Fetch, ...] = ()
    doubted: tuple[TaskOutput, ...] = ()
    missed: tuple[TaskOutput, ...] = ()
    passing: tuple[TaskOutput, ...] = ()
    express: bool = False
    peak_bytes: int = 0
    call: BatchId = -1

    def builds_on(self, operands: Sequence[Sequence[TaskOutput]]) -> set[TaskOutput]:
        """What it is to find on its worker, unless a task was reported; `operands` are by task."""
        brought = {value for value, _ in self.coming}
        read = {value for task in self.unreported for value in operands[task]}
        return {value for value in read - brought if value.task not in self.unreported}


@dataclass(slots=True)
class Worker:
    """A worker that starts or lives.

    Attributes:
        memory_bytes: all it may have; 0 if that is unknown.
        made_bytes: values that its batches in flight make.
        batches: those in flight, in the order it runs them, but for the express one.
        oldest: the one it is running, of these, or one of the same call.
        express: the one that runs beside them.
        called_off: those in flight that it was told to stop.
        turn, turn_since_s: the batch that it last said it was running, but for the express one, and
            since when.
        programs: fingerprints of graphs it was given.
        start_s: how long its process may take to come up.
        doomed: the scheduler has it killed or stopped: it gets no more work.
        silent: it was killed because it did not answer: its batch is to blame.
        idle_since_s: when it last had nothing to do.
        watched: whether an alarm is set that looks whether it is idle still.
        asked_s, answered_s: when it was last asked whether it lives, and last said so.
        due_s: when it is to be looked at next.
        alarms_s: when alarms that are set for it ring, the soonest last.
    """

    id: WorkerId
    placement: Placement
    memory_bytes: int = 0
    made_bytes: int = 0
    ready: bool = False
    start_s: float = 0.0
    batches: dict[BatchId, Batch] = field(default_factory=dict)
    oldest: Batch | None = None
    express: Batch | None = None
    called_off: dict[BatchId, Batch] = field(default_factory=dict)
    turn: BatchId = -1
    turn_since_s: float = -inf
    programs: set[str] = field(default_factory=set)
    doomed: bool = False
    silent: bool = False
    idle_since_s: float = 0.0
    watched: bool = False
    asked_s: float = -inf
    answered_s: float = -inf
    due_s: float = inf
    alarms_s: list[float] = field(default_factory=list)

    def backlog_s(self, now_s: float) -> float:
        """Predicted time until it has nothing to do; what is late is so for as long again."""
        oldest = self.oldest
        if oldest is None:
            return 0.0
        left_s = abs(oldest.estimate_s - (now_s - oldest.oldest_since_s))
        if len(self.batches) == 1:
            return left_s
        return left_s + sum([b.estimate_s for b in self.batches.values() if b is not oldest])

    def call_off(self, batch: Batch, now_s: float) -> None:
        """One of its batches is told to stop."""
        batch.cancelled_s = now_s
        self.called_off[batch.id] = batch

    @property
    def is_asked(self) -> bool:
        """Whether it owes an answer, since it turned to what it runs."""
        since_s = -inf if self.oldest is None else self.oldest.oldest_since_s
        return self.asked_s > max(since_s, self.answered_s)

    @property
    def has_mates(self) -> bool:
        """Whether others came with the call of its oldest batch that are not reported."""
        own = iter(self.batches.values())
        oldest, behind = next(own, None), next(own, None)
        return oldest is not None and behind is not None and behind.call == oldest.call

    @property
    def has_one_call(self) -> bool:
        """Whether all its batches, express ones apart, came to it with one call."""
        oldest = self.oldest
        return oldest is not None and next(reversed(self.batches.values())).call == oldest.call

    @property
    def under_way(self) -> list[Batch]:
        """The batches it is running, and those that may be: others of the same call."""
        oldest = self.oldest
        own = [] if oldest is None else [b for b in self.batches.values() if b.call == oldest.call]
        return own if self.express is None else [*own, self.express]

    @property
    def foremost(self) -> list[Batch]:
        """The oldest of those it runs in turn, and the one beside them."""
        return [batch for batch in (self.oldest, self.express) if batch is not None]

    @property
    def running(self) -> list[Batch]:
        """The batches it is running, as far as it said so."""
        in_turn = self.batches.get(self.turn, self.oldest)
        return [batch for batch in (in_turn, self.express) if batch is not None]

    @property
    def in_flight(self) -> list[Batch]:
        """All its batches."""
        own = [*self.batches.values()]
        return own if self.express is None else [*own, self.express]
