"""What only ever grows, as plain numbers: one `Totals` a thread, summed when somebody reads.

Every key a dict may hold stands in it from the start, so that a reader never meets a dict growing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import product
from typing import Any

from pullback_server.metrics import labels
from pullback_server.metrics.histogram import JOBS, SECONDS, Histogram


def _job_cells() -> dict[tuple[str, str], int]:
    return dict.fromkeys(product(labels.WANTS, labels.OUTCOMES), 0)


@dataclass(slots=True)
class Totals:
    """Counts of one thread, or of all of them once added up.

    Attributes:
        jobs: jobs answered, by want and outcome.
        job_seconds: a histogram per phase; a job is observed in the phases it spent time in.
        compile_seconds: a histogram per executor.
        stop_seconds: from when a job was called off to the end of its last task.
        workers_killed: workers killed because a task ran on then.
        promotions: graphs tried on XLA, by how that ended.
        rejected: requests turned away, by reason.
        worker_busy_s: worker seconds spent in tasks, by kind.
        wasted_s: those of them that no result came of, by why.
    """

    jobs: dict[tuple[str, str], int] = field(default_factory=_job_cells)
    job_seconds: dict[str, Histogram] = field(
        default_factory=lambda: {phase: Histogram(SECONDS) for phase in labels.PHASES}
    )
    compile_seconds: dict[str, Histogram] = field(
        default_factory=lambda: {name: Histogram(SECONDS) for name in labels.EXECUTORS}
    )
    stop_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    batch_jobs: Histogram = field(default_factory=lambda: Histogram(JOBS))
    promotions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(labels.PROMOTIONS, 0))
    rejected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(labels.REASONS, 0))
    worker_busy_s: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(labels.KINDS, 0.0)
    )
    wasted_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(labels.WASTES, 0.0))
    nodes: int = 0
    adjoint_evaluations: int = 0
    flops: float = 0.0
    received_bytes: int = 0
    sent_bytes: int = 0
    program_cache_hits: int = 0
    program_cache_misses: int = 0
    tasks: int = 0
    task_retries: int = 0
    task_copies: int = 0
    workers_lost: int = 0
    moved_bytes: int = 0
    network_bytes: int = 0
    workers_killed: int = 0
    dispatcher_restarts: int = 0

    def plus(self, other: Totals) -> Totals:
        """The sum of both, without a part shared with either."""
        return Totals(**{n: _sum(getattr(self, n), getattr(other, n)) for n in NAMES})


NAMES = tuple(f.name for f in fields(Totals))


def _sum(first: Any, second: Any) -> Any:
    """First plus second, for a number, a histogram, or a dict of either under the same keys."""
    if isinstance(first, dict):
        return {key: _sum(value, second[key]) for key, value in first.items()}
    return first.plus(second) if isinstance(first, Histogram) else first + second
