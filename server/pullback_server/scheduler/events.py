"""What the scheduler is told. Every event carries when it happened and what brought it about.

Times are seconds of one monotonic clock, the caller's. Nobody changes an event once it is told:
that is a rule and not `frozen`, which makes one three times as dear, and there is one a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pullback_graph.errors import PullbackError
from pullback_server.planner.plan import Placement, TaskOutput
from pullback_server.scheduler.dependencies import Dependencies

JobId: TypeAlias = int
WorkerId: TypeAlias = int
BatchId: TypeAlias = int

HERE: WorkerId = 0
"""The holder that is no worker: the dispatcher itself, for values sent to it."""


@dataclass(slots=True, kw_only=True)
class Event:
    """The root of all events."""

    now_s: float
    cause: str = ""


@dataclass(slots=True, kw_only=True)
class Submitted(Event):
    """A job came in.

    Attributes:
        client: who shares the workers with whom; empty for nobody in particular.
        deadline_s: a time of the clock, not a span.
    """

    job: JobId
    plan: Dependencies
    client: str = ""
    priority: int = 0
    deadline_s: float | None = None


@dataclass(slots=True, kw_only=True)
class WorkerPlaced(Event):
    """A worker that was to start has a process; how long it takes from now is its own matter."""

    worker: WorkerId


@dataclass(slots=True, kw_only=True)
class WorkerReady(Event):
    """A worker that was to start takes work; `memory_bytes` is all it may have, 0 if unknown."""

    worker: WorkerId
    placement: Placement
    memory_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class WorkerAnswered(Event):
    """A worker that was asked whether it lives said so, and what it runs.

    Attributes:
        batch: the one it is running, but for an express one; -1 where there is none.
        running_s: since it turned to that.
    """

    worker: WorkerId
    batch: BatchId = -1
    running_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class WorkerMeasured(Event):
    """A worker measured what work takes it: seconds per unit of `numpy_work`."""

    worker: WorkerId
    unit_s: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class TaskDone(Event):
    """A task ran; its values are where the Run command asked for them.

    Attributes:
        running_s: time in the program; `compiling_s` and `transferring_s` are besides.
        network_bytes: what came from other machines in `transferring_s`.
        peak_bytes: the most memory its worker held of its own while it ran.
        executor: what ran it, with its version behind a hyphen.
    """

    worker: WorkerId
    batch: BatchId
    task: int
    running_s: float = 0.0
    compiling_s: float = 0.0
    transferring_s: float = 0.0
    peak_bytes: int = 0
    program_cache_hit: bool = True
    executor: str = ""
    started_s: float = 0.0
    network_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class TaskFailed(Event):
    """A task's program raised: the job's own fault, so it is not run again."""

    worker: WorkerId
    batch: BatchId
    task: int
    error: PullbackError


@dataclass(slots=True, kw_only=True)
class ValuesLost(Event):
    """Values that a batch was to find were not there; `holder` had them, it was thought."""

    worker: WorkerId
    batch: BatchId
    values: tuple[TaskOutput, ...]
    holder: WorkerId


@dataclass(slots=True, kw_only=True)
class BatchEnded(Event):
    """A worker has no more to do with a batch; its tasks not reported before did not run.

    Attributes:
        company_s: how long it was busy with batches of the same call that are reported later.
    """

    worker: WorkerId
    batch: BatchId
    busy_s: float = 0.0
    company_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class WorkerLost(Event):
    """A worker died, was killed, or did not start."""

    worker: WorkerId
    out_of_memory: bool = False


@dataclass(slots=True, kw_only=True)
class Cancel(Event):
    """Whoever submitted a job no longer wants it."""

    job: JobId


@dataclass(slots=True, kw_only=True)
class Tick(Event):
    """Time passed: deadlines, grace periods and delayed starts are looked at."""
