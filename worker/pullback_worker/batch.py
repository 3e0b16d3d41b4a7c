"""What a worker is told to run, and what it tells back: plain data, picklable, without Ray.

A worker knows jobs and tasks by number only; where things run is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from pullback_graph.errors import ExecutionError, PullbackError, ServiceError
from pullback_graph.graph import Graph
from pullback_worker.executor import NDArray


class InputOperand(NamedTuple):
    """Elements start:stop along `axis` of a job's input; all of it where the axis is -1."""

    position: int
    axis: int = -1
    start: int = 0
    stop: int = 0


class ValueKey(NamedTuple):
    """An output of a task: a value that workers hold and hand on."""

    task: int
    output: int


class Packed(NamedTuple):
    """One of several values that were handed back together: their reference, and its place."""

    reference: Any
    position: int


Operand: TypeAlias = "InputOperand | ValueKey"


class Call(NamedTuple):
    """One task to run.

    Attributes:
        keep: outputs to hold for later batches.
        send: outputs to hand back.
        peak_bytes: estimated memory while it runs.
        executor: the one that must run it, or `auto`.
    """

    task: int
    fingerprint: str
    operands: tuple[Operand, ...]
    keep: tuple[int, ...] = ()
    send: tuple[int, ...] = ()
    peak_bytes: int = 0
    executor: str = "auto"


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks of one job, to run in order.

    Attributes:
        number: rises from batch to batch of a worker, express ones by themselves.
        graphs: those the worker was not given before.
        inputs: inputs of the job, or blocks of them, that come along, each once a worker.
        fetched: the values that come along behind them, in order.
        apart: values to hand back beside the report, those of a group together; the rest is small
            and goes in the report.
        freed: what to drop first: a job, and its values or None for all it has.
        express: whether it runs beside another batch, one of another job.
    """

    number: int
    job: int
    calls: tuple[Call, ...]
    graphs: tuple[Graph, ...] = ()
    inputs: tuple[InputOperand, ...] = ()
    fetched: tuple[ValueKey, ...] = ()
    apart: tuple[tuple[ValueKey, ...], ...] = ()
    freed: tuple[Freed, ...] = ()
    express: bool = False


class Freed(NamedTuple):
    """Values of a job that nobody needs any more; None: nothing of the job is needed."""

    job: int
    values: tuple[ValueKey, ...] | None


class TaskReport(NamedTuple):
    """How a task ran; `executor` has the version behind a hyphen.

    `running_s` is processor time where the other lane was busy meanwhile; `offset_s` is from the
    start of its batch to its own.
    """

    task: int
    running_s: float
    compiling_s: float
    program_cache_hit: bool
    peak_bytes: int
    executor: str = ""
    offset_s: float = 0.0


@dataclass(slots=True)
class Report:
    """What became of a batch.

    Attributes:
        done: the tasks that ran, in order.
        sent: the outputs handed back.
        failed: the task whose program raised, and what; nothing of the batch ran after it.
        lost: values that were to be here and were not; what needs them did not run.
        unknown_graphs: fingerprints without a graph; nothing ran, send the batch with them.
        cut_off: inputs of the job did not arrive; nothing ran, and this worker can't be used.
        busy_s, transferring_s: time the batch took, and fetching for it before.
    """

    number: int
    done: list[TaskReport] = field(default_factory=list)
    sent: dict[ValueKey, NDArray] = field(default_factory=dict)
    failed: tuple[int, PullbackError] | None = None
    lost: list[ValueKey] = field(default_factory=list)
    unknown_graphs: list[str] = field(default_factory=list)
    cut_off: bool = False
    busy_s: float = 0.0
    transferring_s: float = 0.0


TRY_AGAIN_S = 10.0
"""When there may be room again: what fills a store are the values of jobs, most of them brief."""


def no_room(what: str) -> ServiceError:
    """What a job fails with where the object store is full, by whosever values."""
    return ServiceError(
        f"the object store has no room for {what}, on disk neither; try again later, send less at "
        "once, or give the server more shared memory or disk",
        retry_after_s=TRY_AGAIN_S,
    )


def not_taken(task: int, error: Exception) -> ExecutionError:
    """What a job fails with where a worker could not even take its batch."""
    return ExecutionError(
        f"a worker could not take task {task}: {type(error).__name__}: {str(error)[:300]}"
    )
