"""The errors a scheduler answers with, each saying what happened and what to do about it."""

from __future__ import annotations

from pullback_graph.errors import (
    DeadlineExceeded,
    ExecutionError,
    OutOfMemory,
    UnsupportedError,
)
from pullback_server.planner.plan import Placement
from pullback_server.scheduler.events import WorkerLost
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.states import FINISHED


def unserved(kind: Placement) -> UnsupportedError:
    """No worker of this pool may run a task of the plan."""
    return UnsupportedError(
        f"the plan needs a {kind.value} worker and this server has none; "
        "start it with --gpus-per-worker, or choose another executor",
        field="options.executor",
    )


def overdue(job: Job) -> DeadlineExceeded:
    """The job's time is up."""
    done = sum(state in FINISHED for state in job.states)
    return DeadlineExceeded(
        f"the deadline passed with {done} of {len(job.states)} tasks done; allow more time"
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


def unlucky(task: int, attempts: int) -> ExecutionError:
    """A task was given out again and again and never ran."""
    return ExecutionError(
        f"task {task} was given to workers {attempts} times and each time something it needs was "
        "lost; the cluster is failing faster than it computes, look at its nodes",
        field=f"plan.tasks[{task}]",
    )
