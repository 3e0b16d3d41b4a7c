"""A made-up load on the real counters: every fact the service can state, in each bout of it."""

from __future__ import annotations

from itertools import count

from pullback_graph.errors import Stop
from pullback_graph.job import Metrics
from pullback_server.metrics import PoolReport, ServiceCounters, labels

SHARDED = Metrics(
    queued_s=2e-3,
    planning_s=1e-3,
    compiling_s=4e-4,
    forward_s=0.02,
    backward_s=0.05,
    reducing_s=4e-3,
    transferring_s=3e-3,
    total_s=0.09,
    nodes=400,
    adjoint_evaluations=210,
    flops=4e7,
)
SMALL = Metrics(
    queued_s=2e-5, fused_s=8e-5, total_s=2e-4, nodes=9, adjoint_evaluations=5, flops=120.0
)


class SyntheticLoad:
    """Counts a bout of jobs of every want, some failed, on a pool of four workers at each call."""

    def __init__(self, counters: ServiceCounters) -> None:
        self.counters = counters
        self._bouts = count(1)
        counters.dispatcher_started()
        counters.watch_jobs(lambda: {("gradient", "running"): 3, ("hvp", "queued"): 1})

    def __call__(self) -> None:
        """Count one bout."""
        for want in labels.WANTS:
            self._jobs(want)
        self.counters.compiled("numpy", 4e-4)
        self.counters.promotion_ended("faster")
        self.counters.batch_received(32)
        self.counters.job_stopped(Stop(stopped_s=0.02, wasted_s=1.5, workers_killed=1))
        self.counters.request_rejected(labels.QUEUE_FULL)
        self.counters.pool_reported(self._report(next(self._bouts)))

    def _jobs(self, want: str) -> None:
        counters = self.counters
        for metrics in (SMALL, SMALL, SHARDED):
            counters.bytes_received(900)
            counters.program_cache_hit()
            counters.job_finished(want, metrics)
            counters.bytes_sent(300)
        counters.program_cache_missed()
        for outcome in labels.OUTCOMES[1:]:
            counters.job_failed(want, outcome)

    def _report(self, bout: int) -> PoolReport:
        return PoolReport(
            workers={("cpu", "starting"): 0, ("cpu", "idle"): 1, ("cpu", "busy"): 3},
            wanted={"cpu": 4},
            queued_jobs=2,
            running_tasks=6,
            busy_s={"cpu": 0.3 * bout},
            tasks=12 * bout,
            wasted_s={"cancelled": 0.1 * bout, "copied": 0.02 * bout},
            task_retries=bout,
            task_copies=bout,
            workers_lost=bout,
            moved_bytes=4096 * bout,
            network_bytes=1024 * bout,
        )
