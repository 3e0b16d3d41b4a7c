"""Figures read from the scheduler's state: what a job cost, and how the pool stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pullback_server.planner.plan import Phase, Placement


@dataclass(slots=True)
class TaskTiming:
    """How the attempt of a task that counted ran; `started_s` is from the job's submission."""

    worker: int
    placement: Placement
    attempts: int
    running_s: float
    compiling_s: float
    transferring_s: float
    program_cache_hit: bool
    executor: str = ""
    started_s: float = 0.0


@dataclass(slots=True)
class JobStatistics:
    """What a job cost.

    Attributes:
        queued_s: from submission to its first batch.
        retries: tasks run again after a loss: those lost before they began do not count.
        peak_bytes: the most memory a worker held while one of its tasks ran.
    """

    queued_s: float = 0.0
    seconds: dict[Phase, float] = field(default_factory=dict)
    compiling_s: float = 0.0
    transferring_s: float = 0.0
    tasks: int = 0
    workers: int = 0
    retries: int = 0
    peak_bytes: int = 0
    program_cache_hit: bool = False
    timings: Mapping[int, TaskTiming] = field(default_factory=dict)

    @property
    def spent_s(self) -> float:
        """Worker seconds in tasks that counted."""
        return sum(self.seconds.values()) + self.compiling_s + self.transferring_s


@dataclass(frozen=True, slots=True)
class KindCount:
    """Workers of one kind.

    `ready` are alive, `busy` those of them that have a batch; `wanted` is how many there should be.
    """

    starting: int = 0
    ready: int = 0
    busy: int = 0
    busy_s: float = 0.0
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How the pool stands. Totals only grow for as long as one scheduler lives.

    Attributes:
        copies: tasks given to a second worker because the first was late.
        wasted_s: worker seconds that no result came of, by why.
    """

    workers: Mapping[Placement, KindCount] = field(default_factory=dict)
    jobs: int = 0
    queued_jobs: int = 0
    queued_tasks: int = 0
    running_tasks: int = 0
    tasks_done: int = 0
    retries: int = 0
    copies: int = 0
    workers_lost: int = 0
    program_cache_hits: int = 0
    program_cache_misses: int = 0
    compiling_s: float = 0.0
    wasted_s: Mapping[str, float] = field(default_factory=dict)


WASTES = ("cancelled", "copied", "lost")
"""Why time was wasted: its job had ended, another worker was first, or the worker was lost."""


@dataclass(slots=True)
class Totals:
    """What only grows, over all jobs."""

    tasks_done: int = 0
    retries: int = 0
    copies: int = 0
    workers_lost: int = 0
    program_cache_hits: int = 0
    program_cache_misses: int = 0
    compiling_s: float = 0.0
    wasted_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WASTES, 0.0))

    def count(self, hit: bool, compiling_s: float) -> None:
        """A task ran."""
        self.tasks_done += 1
        self.compiling_s += compiling_s
        if hit:
            self.program_cache_hits += 1
        else:
            self.program_cache_misses += 1
