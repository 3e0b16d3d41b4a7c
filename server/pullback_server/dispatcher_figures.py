"""What a front end learns of the dispatcher: a job's outcome, and how the pool stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from pullback_graph.job import NDArray
from pullback_graph.timeline import MOST_SPANS, TaskSpan
from pullback_proto.internal.v1 import dispatch_pb2 as wire
from pullback_proto.v1 import plan_pb2
from pullback_server.planner.plan import Plan

STARTING, IDLE, BUSY = "starting", "idle", "busy"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of a job, and what they cost.

    Attributes:
        results: an array per result of the plan, read-only.
        phase_s: seconds in programs, summed over tasks, by phase: forward, backward, fused, reduce.
        tasks, workers: tasks of the plan, and workers that ran one.
        retries: tasks run again after a loss.
        peak_bytes: the most memory a worker took while it ran a task.
        moved_bytes, network_bytes: what processes were handed, and of it what changed machines.
        executor: the one that tasks spent most time on.
        executors: all that ran a task, each with its version, joined by `+`.
        timeline: a span per task, up to MOST_SPANS.
    """

    results: Sequence[NDArray]
    phase_s: Mapping[str, float] = field(default_factory=dict)
    compiling_s: float = 0.0
    transferring_s: float = 0.0
    queued_s: float = 0.0
    tasks: int = 0
    workers: int = 0
    retries: int = 0
    peak_bytes: int = 0
    moved_bytes: int = 0
    network_bytes: int = 0
    program_cache_hit: bool = False
    executor: str = ""
    executors: str = ""
    timeline: Sequence[TaskSpan] = ()


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """How the pool stands, as last heard. Totals only grow, also over a dispatcher's restart.

    Attributes:
        up: whether jobs can be run now; if not, they wait.
        restarts: dispatchers that ended and were replaced.
        workers: workers by (kind, state), such as ("cpu", "busy").
        wanted: how many workers there should be, by kind.
        busy_s: worker seconds spent in batches, by kind.
        wasted_s: worker seconds that no result came of, by why.
        copies: tasks given to a second worker because the first was late.
        moved_bytes, network_bytes: as of one job, over those that ended.
    """

    up: bool = False
    restarts: int = 0
    workers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    wanted: Mapping[str, int] = field(default_factory=dict)
    jobs: int = 0
    queued_jobs: int = 0
    queued_tasks: int = 0
    running_tasks: int = 0
    busy_s: Mapping[str, float] = field(default_factory=dict)
    wasted_s: Mapping[str, float] = field(default_factory=dict)
    tasks: int = 0
    task_retries: int = 0
    copies: int = 0
    workers_lost: int = 0
    program_cache_hits: int = 0
    program_cache_misses: int = 0
    compiling_s: float = 0.0
    moved_bytes: int = 0
    network_bytes: int = 0
    address: str = ""


TOTALS = (
    "tasks",
    "task_retries",
    "copies",
    "workers_lost",
    "program_cache_hits",
    "program_cache_misses",
    "compiling_s",
    "moved_bytes",
    "network_bytes",
)
"""The figures that only grow, besides `restarts` and these by label."""
TOTALS_BY_LABEL = ("busy_s", "wasted_s")

assert {item.name for item in fields(PoolFigures)}.issuperset(TOTALS)


def outcome_of(done: wire.Done, plan: Plan, results: Sequence[NDArray]) -> Outcome:
    """The outcome that a message tells of a job with that plan."""
    phase_s: dict[str, float] = {}
    executor_s: dict[str, float] = {}
    for timing in done.timings:
        phase = plan.tasks[timing.task].phase.value
        phase_s[phase] = phase_s.get(phase, 0.0) + timing.running_s
        executor_s[timing.executor] = executor_s.get(timing.executor, 0.0) + timing.running_s
    return Outcome(
        results=results,
        phase_s=phase_s,
        compiling_s=sum(timing.compiling_s for timing in done.timings),
        transferring_s=done.transferring_s,
        queued_s=done.queued_s,
        tasks=len(plan.tasks),
        workers=done.workers,
        retries=done.retries,
        peak_bytes=done.peak_bytes,
        moved_bytes=done.moved_bytes,
        network_bytes=done.network_bytes,
        program_cache_hit=all(timing.program_cache_hit for timing in done.timings),
        executor=max(executor_s, key=executor_s.__getitem__, default="").partition("-")[0],
        executors="+".join(sorted(executor_s)),
        timeline=[_span(timing, plan) for timing in done.timings[:MOST_SPANS]],
    )


def _span(timing: wire.TaskTiming, plan: Plan) -> TaskSpan:
    """Compiling comes before running; both are the task's own time."""
    return TaskSpan(
        task=timing.task,
        phase=plan.tasks[timing.task].phase.value,
        worker=timing.worker,
        start_s=timing.started_s,
        end_s=timing.started_s + timing.compiling_s + timing.running_s,
        attempts=timing.attempts,
        executor=timing.executor,
        compiling_s=timing.compiling_s,
        transferring_s=timing.transferring_s,
    )


def figures_of(status: wire.PoolStatus) -> PoolFigures:
    """The figures of one dispatcher's message."""
    workers: dict[tuple[str, str], int] = {}
    busy_s: dict[str, float] = {}
    wanted: dict[str, int] = {}
    for count in status.workers:
        kind = plan_pb2.Placement.Name(count.placement).removeprefix("PLACEMENT_").lower()
        workers[kind, STARTING] = count.starting
        workers[kind, IDLE] = count.ready - count.busy
        workers[kind, BUSY] = count.busy
        busy_s[kind] = count.busy_s_total
        wanted[kind] = count.wanted
    return PoolFigures(
        up=status.ready,
        workers=workers,
        wanted=wanted,
        queued_jobs=status.queued_jobs,
        queued_tasks=status.queued_tasks,
        running_tasks=status.running_tasks,
        busy_s=busy_s,
        wasted_s=dict(status.wasted_s_total),
        copies=status.copies_total,
        tasks=status.tasks_done_total,
        task_retries=status.retries_total,
        workers_lost=status.workers_lost_total,
        program_cache_hits=status.program_cache_hits_total,
        program_cache_misses=status.program_cache_misses_total,
        compiling_s=status.compiling_s_total,
        moved_bytes=status.moved_bytes_total,
        network_bytes=status.network_bytes_total,
        address=status.address,
    )


def after_restart(figures: PoolFigures) -> PoolFigures:
    """What stays of the figures when a dispatcher ends: its totals."""
    totals = {name: getattr(figures, name) for name in (*TOTALS, *TOTALS_BY_LABEL)}
    return PoolFigures(restarts=figures.restarts + 1, **totals)


def joined(before: PoolFigures, now: PoolFigures) -> PoolFigures:
    """The figures of a dispatcher, its totals on top of those before it."""
    totals = {name: getattr(before, name) + getattr(now, name) for name in TOTALS}
    for name in TOTALS_BY_LABEL:
        earlier, later = getattr(before, name), getattr(now, name)
        labels = {**earlier, **later}
        totals[name] = {label: earlier.get(label, 0.0) + later.get(label, 0.0) for label in labels}
    return replace(now, restarts=before.restarts, **totals)
