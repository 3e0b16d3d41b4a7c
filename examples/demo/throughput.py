"""What the service says of the demo itself, read from /metrics as Prometheus would read it."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from examples.demo.stage import Stage

COUNTERS = {
    "pullback_tasks_total": "tasks run by workers",
    "pullback_nodes_total": "graph nodes evaluated",
    "pullback_adjoint_evaluations_total": "adjoints evaluated",
    "pullback_flops_total": "floating point operations",
    "pullback_received_bytes_total": "bytes received",
    "pullback_sent_bytes_total": "bytes sent",
    "pullback_worker_busy_seconds_total": "seconds workers were busy",
    "pullback_task_retries_total": "tasks run again",
}
LEAST_ANSWERED = 9_950
PHASES = ("queued", "planning", "compiling", "fused", "reducing", "transferring", "total")


def run(stage: Stage) -> None:
    """Print counters, and where the time of a job went."""
    samples = stage.server.metrics()
    counters = Table("counter", "", box=None, pad_edge=False)
    counters.columns[1].justify = "right"
    for name, value in samples.items():
        if name.startswith("pullback_jobs_total") and value:
            counters.add_row(f"jobs {name.partition('{')[2].rstrip('}')}", f"{value:,.0f}")
    for name, words in COUNTERS.items():
        counters.add_row(words, f"{_sum(samples, name):,.{1 if 'seconds' in words else 0}f}")
    stage.console.print(counters)
    means = [f"{phase} {_mean_ms(samples, phase):.2f}" for phase in PHASES]
    stage.console.print(
        f"\nmilliseconds of a job by phase, mean over the jobs that had it:\n{', '.join(means)}"
    )
    stage.console.print(f"live, while a server runs: http://{stage.server.http}/")
    answered = sum(
        value
        for name, value in samples.items()
        if name.startswith("pullback_jobs_total{") and 'outcome="ok"' in name
    )
    stage.claim(f"it counted {answered:,.0f} jobs answered", answered >= LEAST_ANSWERED)


def _sum(samples: Mapping[str, float], name: str) -> float:
    """The sum over a metric's labels."""
    return sum(value for key, value in samples.items() if key.partition("{")[0] == name)


def _mean_ms(samples: Mapping[str, float], phase: str) -> float:
    """Mean milliseconds of the jobs that had the phase."""
    label = f'{{phase="{phase}"}}'
    count = samples.get(f"pullback_job_seconds_count{label}", 0.0)
    return 1e3 * samples.get(f"pullback_job_seconds_sum{label}", 0.0) / count if count else 0.0
