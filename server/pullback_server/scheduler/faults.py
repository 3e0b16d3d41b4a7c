"""The errors a scheduler answers with, each saying what happened and what to do about it."""

from __future__ import annotations

from pullback_graph.errors import (
    Cancelled,
    DeadlineExceeded,
    ExecutionError,
    OutOfMemory,
    ServiceError,
    UnsupportedError,
)
from pullback_server.planner.plan import Placement
from pullback_server.scheduler.events import WorkerLost
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.states import FINISHED

TRY_AGAIN_S = 10.0
"""When a job may fare better that failed because the cluster does not hold."""


def unserved(kind: Placement) -> UnsupportedError:
    """No worker of this pool may run a task of the plan."""
    return UnsupportedError(
        f"the job needs a {kind.value} worker and this server has none; "
        "start it with --gpus-per-worker, or leave out device",
        field="options.device",
    )


def unstarted(kind: Placement, waited_s: float, failures: int, cause: str) -> ServiceError:
    """No worker that could run the job comes up."""
    times = "once" if failures == 1 else f"{failures} times in a row"
    return ServiceError(
        f"no {kind.value} worker is up: the job waited {waited_s:.0f} s for one, and starting one "
        f"failed {times}, at last with: {cause}; the server goes on trying, and its log says more",
        retry_after_s=TRY_AGAIN_S,
    )


def overdue(job: Job) -> DeadlineExceeded:
    """The job's time is up."""
    return DeadlineExceeded(f"the deadline passed with {progress(job)}; allow more time")


def abandoned(job: Job, cause: str) -> Cancelled:
    """Nobody wants the job any more."""
    return Cancelled(f"{cause or 'the job was cancelled'}, with {progress(job)}")


def progress(job: Job) -> str:
    """How far a job had got, and what that took."""
    done = sum(state in FINISHED for state in job.states)
    spent_s = sum(job.statistics.seconds.values())
    return f"{done} of {len(job.states)} tasks done in {spent_s:.3g} worker seconds"


def too_large(task: int, peak_bytes: int, limit_bytes: int, held_bytes: int) -> OutOfMemory:
    """No worker has room for a task."""
    held = f", of which values of jobs take {held_bytes}" if held_bytes else ""
    return OutOfMemory(
        f"task {task}, estimated at {peak_bytes} bytes, does not fit in a worker's memory of "
        f"{limit_bytes} bytes{held}; use smaller inputs or more shards, or fewer workers a machine",
        field=f"plan.tasks[{task}]",
    )


def poisonous(task: int, losses: int, lost: WorkerLost) -> ExecutionError:
    """A task took too many workers down."""
    kind = OutOfMemory if lost.out_of_memory else ExecutionError
    cause = f" ({lost.cause})" if lost.cause else ""
    return kind(
        f"task {task} took {losses} workers down, the last one now{cause}; it is not run again: "
        "use smaller inputs or more shards",
        field=f"plan.tasks[{task}]",
    )


def unlucky(task: int, attempts: int) -> ServiceError:
    """A task was given out again and again and never ran."""
    return ServiceError(
        f"task {task} was given to workers {attempts} times and each time something it needs was "
        "lost; the cluster is failing faster than it computes, look at its nodes",
        field=f"plan.tasks[{task}]",
        retry_after_s=TRY_AGAIN_S,
    )
