"""How the pool stands, as the service last heard: gauges and totals, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pullback_server.metrics import labels
from pullback_server.metrics.totals import Totals


def _no_workers() -> dict[tuple[str, str], int]:
    return {("cpu", state): 0 for state in labels.WORKER_STATES}


@dataclass(frozen=True, slots=True)
class PoolReport:
    """One report. Its totals count from the server's start, over all dispatchers it has had.

    Attributes:
        workers: workers by (kind, state).
        queued_jobs: jobs of which no task has started.
        running_tasks: tasks that workers have at hand.
        wanted: how many workers there should be, by kind.
        busy_s: worker seconds spent in tasks, by kind.
        wasted_s: worker seconds that no result came of, by why.
        tasks, task_retries, task_copies, workers_lost, program_cache_hits, program_cache_misses,
            moved_bytes, network_bytes: totals too.
    """

    workers: Mapping[tuple[str, str], int] = field(default_factory=_no_workers)
    wanted: Mapping[str, int] = field(default_factory=dict)
    queued_jobs: int = 0
    running_tasks: int = 0
    busy_s: Mapping[str, float] = field(default_factory=dict)
    wasted_s: Mapping[str, float] = field(default_factory=dict)
    tasks: int = 0
    task_retries: int = 0
    task_copies: int = 0
    workers_lost: int = 0
    program_cache_hits: int = 0
    program_cache_misses: int = 0
    moved_bytes: int = 0
    network_bytes: int = 0

    def totals(self) -> Totals:
        """What only grows of it, to be added to what the front end counted."""
        own = {name: getattr(self, name) for name in TOTALS}
        busy_s = {kind: self.busy_s.get(kind, 0.0) for kind in labels.KINDS}
        wasted_s = {why: self.wasted_s.get(why, 0.0) for why in labels.WASTES}
        return Totals(worker_busy_s=busy_s, wasted_s=wasted_s, **own)


TOTALS = (
    "tasks",
    "task_retries",
    "task_copies",
    "workers_lost",
    "program_cache_hits",
    "program_cache_misses",
    "moved_bytes",
    "network_bytes",
)
"""Totals of a report that have the same name in the service's totals."""
