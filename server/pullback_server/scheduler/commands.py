"""What the scheduler asks for. The pool and the dispatcher carry commands out, in order.

As with events, nobody changes one: there are several a batch, and `frozen` would slow each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pullback_graph.errors import PullbackError, Stop
from pullback_server.planner.plan import Placement, TaskOutput
from pullback_server.scheduler.events import BatchId, JobId, WorkerId
from pullback_server.scheduler.statistics import JobStatistics


class Call(NamedTuple):
    """One task of a batch.

    Attributes:
        keep: outputs its worker holds on to after the batch.
        send: outputs to hand to the dispatcher: results, and what other workers will need.
    """

    task: int
    keep: tuple[int, ...]
    send: tuple[int, ...]


class Fetch(NamedTuple):
    """A value that a batch needs and its worker does not hold."""

    value: TaskOutput
    holder: WorkerId


class Command:
    """The root of all commands."""

    __slots__ = ()


@dataclass(slots=True)
class StartWorker(Command):
    """Start a worker; it is answered by WorkerReady or WorkerLost, before by WorkerPlaced."""

    worker: WorkerId
    placement: Placement


@dataclass(slots=True)
class KillWorker(Command):
    """End a worker at once; it is answered by WorkerLost."""

    worker: WorkerId
    cause: str


@dataclass(slots=True)
class StopWorker(Command):
    """End a worker that has no batch, or has not started; it is answered by WorkerLost."""

    worker: WorkerId


@dataclass(slots=True)
class AskWorker(Command):
    """Ask a worker whether it lives and what it runs; answered by WorkerAnswered, if it does."""

    worker: WorkerId


@dataclass(slots=True)
class Run(Command):
    """Run tasks of one job, in order, on one worker; answered by events that name the batch.

    An express batch runs at once, beside another; the others, one after another.

    Attributes:
        call: the batch whose call of the worker it may go with: itself, or one given before.
    """

    worker: WorkerId
    batch: BatchId
    job: JobId
    calls: tuple[Call, ...]
    fetches: tuple[Fetch, ...]
    express: bool = False
    call: BatchId = -1


@dataclass(slots=True)
class CancelRun(Command):
    """Stop a batch as soon as may be; it is still answered by BatchEnded."""

    worker: WorkerId
    batch: BatchId
    express: bool = False


@dataclass(slots=True)
class Free(Command):
    """Drop values of a job that a holder has; without values, all it has of the job."""

    holder: WorkerId
    job: JobId
    values: tuple[TaskOutput, ...] | None = None


@dataclass(slots=True)
class Reply(Command):
    """Answer a job, once: with its results, which the dispatcher has, or with an error."""

    job: JobId
    statistics: JobStatistics
    error: PullbackError | None = None


@dataclass(frozen=True, slots=True)
class Stopped(Command):
    """Say that nothing runs any more of a job that was answered with an error; once for each."""

    job: JobId
    stop: Stop
