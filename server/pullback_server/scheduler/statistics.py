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
        retries: tasks run again after a loss.
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


@dataclass(frozen=True, slots=True)
class KindCount:
    """Workers of one kind; `ready` are alive, `busy` those of them that have a batch."""

    starting: int = 0
    ready: int = 0
    busy: int = 0
    busy_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How the pool stands. Totals only grow for as long as one scheduler lives."""

    workers: Mapping[Placement, KindCount] = field(default_factory=dict)
    jobs: int = 0
    queued_jobs: int = 0
    queued_tasks: int = 0
    running_tasks: int = 0
    tasks_done: int = 0
    retries: int = 0
    workers_lost: int = 0
    program_cache_hits: int = 0
    program_cache_misses: int = 0
    compiling_s: float = 0.0


@dataclass(slots=True)
class Totals:
    """What only grows, over all jobs."""

    tasks_done: int = 0
    retries: int = 0
    workers_lost: int = 0
    program_cache_hits: int = 0
    program_cache_misses: int = 0
    compiling_s: float = 0.0
    busy_s: dict[Placement, float] = field(default_factory=dict)
