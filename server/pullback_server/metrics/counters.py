"""The facts the front end states as they happen, one method a fact; `read` sums them at a scrape.

Every thread adds to a `Totals` of its own, so no addition takes a lock and none is ever lost; the
reader sums them all. A lock guards only the list of them: a new thread's entry, and a reader. What
a thread leaves behind when it ends is folded into one sum, so the list is of living threads alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from pullback_graph.errors import Stop
from pullback_graph.job import Metrics
from pullback_server.metrics import labels
from pullback_server.metrics.pool_report import PoolReport
from pullback_server.metrics.totals import Totals

JobsInFlight: TypeAlias = Callable[[], Mapping[tuple[str, str], int]]
"""Jobs taken in and not yet answered, by (want, state); called at each scrape, on its thread."""

_SECONDS = attrgetter(*(f"{phase}_s" for phase in labels.PHASES))


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything there is to show, at one moment.

    Attributes:
        jobs_in_flight: jobs by (want, state).
        pool: the last report, or None while the dispatcher is away.
        has_dispatcher: False for a server that runs every job in its front end.
    """

    totals: Totals
    jobs_in_flight: Mapping[tuple[str, str], int]
    pool: PoolReport | None
    has_dispatcher: bool


class ServiceCounters:
    """State behind `/metrics`. Any method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: list[tuple[threading.Thread, Totals]] = []
        self._ended = Totals()
        self._mine = _OfThread(self._enter)
        self._jobs_in_flight: JobsInFlight = dict
        self._pool: PoolReport | None = None
        self._last_report = PoolReport()
        self._has_dispatcher = False

    # --- jobs, on the hot path --------------------------------------------------------------------

    def job_finished(self, want: str, metrics: Metrics) -> None:
        """Count a job that was answered with a result, and what it cost."""
        totals = self._mine.totals
        _count_job(totals, want, labels.OK)
        totals.nodes += metrics.nodes
        totals.adjoint_evaluations += metrics.adjoint_evaluations
        totals.flops += metrics.flops
        for histogram, seconds in zip(totals.job_seconds.values(), _SECONDS(metrics), strict=True):
            if seconds > 0.0:
                histogram.observe(seconds)

    def jobs_finished(
        self,
        jobs: Mapping[str, int],
        nodes: int,
        adjoints: int,
        flops: float,
        seconds: Mapping[str, float],
    ) -> None:
        """Count jobs that were answered together, by want, and what they cost together.

        Args:
            seconds: of each job, by phase.
        """
        totals = self._mine.totals
        for want, count in jobs.items():
            totals.jobs[want, labels.OK] += count
        totals.nodes += nodes
        totals.adjoint_evaluations += adjoints
        totals.flops += flops
        for phase, each_s in seconds.items():
            totals.job_seconds[phase].observe(each_s, sum(jobs.values()))

    def job_failed(self, want: str, outcome: str) -> None:
        """Count a job that was answered with an error.

        Args:
            outcome: the error's gRPC status name, in lower case.
        """
        _count_job(self._mine.totals, want, outcome)

    def request_rejected(self, reason: str) -> None:
        """Count a request turned away before it became a job; `reason` is one of REASONS."""
        reason = labels.member(reason, labels.REASONS, labels.OTHER)
        self._mine.totals.rejected[reason] += 1

    def bytes_received(self, size_bytes: int) -> None:
        """Count a message that came in."""
        self._mine.totals.received_bytes += size_bytes

    def bytes_sent(self, size_bytes: int) -> None:
        """Count a message that went out."""
        self._mine.totals.sent_bytes += size_bytes

    def batch_received(self, jobs: int) -> None:
        """Count a batch of a stream."""
        self._mine.totals.batch_jobs.observe(jobs)

    def program_cache_hit(self) -> None:
        """Count a program that the front end found compiled."""
        self._mine.totals.program_cache_hits += 1

    def program_cache_missed(self) -> None:
        """Count a program that the front end had to compile."""
        self._mine.totals.program_cache_misses += 1

    def compiled(self, executor: str, seconds: float) -> None:
        """Count a compilation, here or by a worker."""
        executor = labels.member(executor, labels.EXECUTORS, labels.OTHER)
        self._mine.totals.compile_seconds[executor].observe(seconds)

    def job_stopped(self, stop: Stop) -> None:
        """Count a job that was called off, when nothing of it ran any more."""
        self._mine.totals.stop_seconds.observe(stop.stopped_s)
        self._mine.totals.workers_killed += stop.workers_killed

    def promotion_ended(self, result: str) -> None:
        """Count a graph tried on XLA; `result` is one of PROMOTIONS."""
        self._mine.totals.promotions[result] += 1

    # --- the dispatcher, from the event loop alone ------------------------------------------------

    def dispatcher_started(self) -> None:
        """Note that a dispatcher process was started; each one after the first is a restart."""
        self._mine.totals.dispatcher_restarts += self._has_dispatcher
        self._has_dispatcher = True
        self._pool = None

    def dispatcher_lost(self) -> None:
        """Note that the dispatcher no longer answers."""
        self._pool = None

    def pool_reported(self, report: PoolReport) -> None:
        """Take over how the pool stands; its totals stay when the dispatcher goes."""
        self._last_report = self._pool = report

    # --- at a scrape ------------------------------------------------------------------------------

    def watch_jobs(self, jobs_in_flight: JobsInFlight) -> None:
        """Have `jobs_in_flight` called at each scrape for the jobs that are not answered yet."""
        self._jobs_in_flight = jobs_in_flight

    def read(self) -> Reading:
        """Everything as it stands. A job being counted meanwhile may show in part of it only."""
        return Reading(
            totals=self._sum().plus(self._last_report.totals()),
            jobs_in_flight=self._jobs_in_flight(),
            pool=self._pool,
            has_dispatcher=self._has_dispatcher,
        )

    def _enter(self) -> Totals:
        """A new thread's own totals."""
        totals = Totals()
        with self._lock:
            self._live.append((threading.current_thread(), totals))
        return totals

    def _sum(self) -> Totals:
        with self._lock:
            live = []
            for thread, totals in self._live:
                if thread.is_alive():
                    live.append((thread, totals))
                else:
                    self._ended = self._ended.plus(totals)
            self._live = live
            whole = self._ended
            for _, totals in live:
                whole = whole.plus(totals)
            return whole


class _OfThread(threading.local):
    """Totals of the thread that looks: Python runs the constructor once in each."""

    def __init__(self, enter: Callable[[], Totals]) -> None:
        self.totals = enter()


def _count_job(totals: Totals, want: str, outcome: str) -> None:
    try:
        totals.jobs[want, outcome] += 1
    except KeyError:
        want = labels.member(want, labels.WANTS, labels.UNKNOWN)
        totals.jobs[want, labels.member(outcome, labels.OUTCOMES, labels.UNKNOWN)] += 1
