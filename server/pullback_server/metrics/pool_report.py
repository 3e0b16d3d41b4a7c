"""How the pool stands, as the dispatcher last said: gauges as they are, totals as their growth.

The dispatcher's totals start anew with each dispatcher; the service's go on growing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pullback_proto.internal.v1 import dispatch_pb2
from pullback_proto.v1 import plan_pb2
from pullback_server.metrics import labels

KIND_OF_PLACEMENT: Mapping[int, str] = {
    plan_pb2.PLACEMENT_UNSPECIFIED: "cpu",
    plan_pb2.PLACEMENT_CPU: "cpu",
    plan_pb2.PLACEMENT_GPU: "gpu",
}


Number = TypeVar("Number", int, float)


def _no_workers() -> dict[tuple[str, str], int]:
    return {("cpu", state): 0 for state in labels.WORKER_STATES}


@dataclass(frozen=True, slots=True)
class PoolReport:
    """One report of the dispatcher.

    Attributes:
        workers: workers by (kind, state).
        queued_jobs: jobs of which no task has started.
        running_tasks: tasks that workers have at hand.
        busy_s: worker seconds spent in tasks, by kind, since the dispatcher started.
        tasks, task_retries, workers_lost, program_cache_hits, program_cache_misses: since then too.
    """

    workers: Mapping[tuple[str, str], int] = field(default_factory=_no_workers)
    queued_jobs: int = 0
    running_tasks: int = 0
    busy_s: Mapping[str, float] = field(default_factory=dict)
    tasks: int = 0
    task_retries: int = 0
    workers_lost: int = 0
    program_cache_hits: int = 0
    program_cache_misses: int = 0

    @classmethod
    def of(cls, status: dispatch_pb2.PoolStatus) -> PoolReport:
        """The report a dispatcher's message carries; kinds not known here count as cpu."""
        workers, busy_s = _no_workers(), dict[str, float]()
        for count in status.workers:
            kind = KIND_OF_PLACEMENT.get(count.placement, "cpu")
            idle = max(0, count.ready - count.busy)
            for state, number in zip(
                labels.WORKER_STATES, (count.starting, idle, count.busy), strict=True
            ):
                workers[kind, state] = workers.get((kind, state), 0) + number
            busy_s[kind] = busy_s.get(kind, 0.0) + count.busy_s_total
        return cls(
            workers=workers,
            queued_jobs=status.queued_jobs,
            running_tasks=status.running_tasks,
            busy_s=busy_s,
            tasks=status.tasks_done_total,
            task_retries=status.retries_total,
            workers_lost=status.workers_lost_total,
            program_cache_hits=status.program_cache_hits_total,
            program_cache_misses=status.program_cache_misses_total,
        )


TOTALS = ("tasks", "task_retries", "workers_lost", "program_cache_hits", "program_cache_misses")
"""Totals of a report that have the same name in the service's totals."""


def growth(before: Number, now: Number) -> Number:
    """How much a total grew; one that shrank has started anew."""
    return now - before if now >= before else now
