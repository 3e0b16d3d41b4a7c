"""What `pullback top` shows of two scrapes: rates between them, quantiles of what was added.

Pure: scrapes to rows of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan

from pullback.command_line.exposition import Scrape
from pullback_graph.quantities import duration, si

PHASES = (
    "queued",
    "planning",
    "compiling",
    "forward",
    "backward",
    "fused",
    "reducing",
    "transferring",
    "total",
)


@dataclass(frozen=True, slots=True)
class Section:
    """A small table: its heads, and its rows of as many cells."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Between:
    """Two scrapes of one server; a counter that fell was started anew and counts from zero."""

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        """Time from the one to the other."""
        return max(self.after.at_s - self.before.at_s, 1e-9)

    def added(self, name: str, **labels: str) -> float:
        """What a counter gained."""
        now = self.after.total(name, **labels)
        then = self.before.total(name, **labels)
        return now - then if now >= then else now

    def rate(self, name: str, **labels: str) -> float:
        """What a counter gained per second."""
        return self.added(name, **labels) / self.seconds

    def quantile(self, share: float, name: str, **labels: str) -> float:
        """A quantile of what a histogram gained; NaN where that is nothing."""
        then = dict(self.before.buckets(name, **labels))
        now = self.after.buckets(name, **labels)
        restarted = any(count < then.get(bound, 0.0) for bound, count in now)
        gained = [(b, n if restarted else n - then.get(b, 0.0)) for b, n in now]
        return quantile(share, gained)


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float:
    """A quantile of cumulative counts, by a straight line within the bucket it falls in.

    Source: as Prometheus's histogram_quantile.
    """
    count = buckets[-1][1] if buckets else 0.0
    if count <= 0:
        return nan
    rank, low, below = share * count, 0.0, 0.0
    for bound, at_most in buckets:
        if at_most >= rank and at_most > below:
            if bound == inf:
                return low
            return low + (bound - low) * (rank - below) / (at_most - below)
        low, below = bound, at_most
    return low


def frame(between: Between) -> list[Section]:
    """The sections, from top to bottom."""
    return [section for part in _PARTS if (section := part(between)).rows]


def _overview(between: Between) -> Section:
    after = between.after
    hits = between.added("pullback_program_cache_hits_total")
    programs = hits + between.added("pullback_program_cache_misses_total")
    cells = (
        ("jobs/s", si(between.rate("pullback_jobs_total"))),
        ("in flight", si(after.total("pullback_jobs_in_flight"))),
        ("queued", si(after.total("pullback_queue_depth_jobs"))),
        ("tasks running", si(after.total("pullback_in_flight_tasks"))),
        ("nodes/s", si(between.rate("pullback_nodes_total"))),
        ("adjoints/s", si(between.rate("pullback_adjoint_evaluations_total"))),
        ("FLOP/s", si(between.rate("pullback_flops_total"))),
        ("in B/s", si(between.rate("pullback_received_bytes_total"))),
        ("out B/s", si(between.rate("pullback_sent_bytes_total"))),
        ("cache hits", percent(hits / programs if programs else nan)),
    )
    return Section(("now", ""), cells)


def _jobs(between: Between) -> Section:
    """A row per want that was ever asked for, a column per outcome that ever came."""
    name = "pullback_jobs_total"
    wants = [w for w in between.after.values(name, "want") if between.after.total(name, want=w)]
    outcomes = [
        o for o in between.after.values(name, "outcome") if between.after.total(name, outcome=o)
    ]
    rows = [
        (want, *[si(between.rate(name, want=want, outcome=o)) for o in outcomes]) for want in wants
    ]
    return Section(("want", *[f"{outcome}/s" for outcome in outcomes]), tuple(rows))


def _phases(between: Between) -> Section:
    """Latency by phase, and each phase's share of the time spent in all of them."""
    name = "pullback_job_seconds"
    spent = {phase: between.added(f"{name}_sum", phase=phase) for phase in PHASES}
    whole = sum(spent.values()) - spent["total"]
    rows = []
    for phase in PHASES:
        if between.added(f"{name}_count", phase=phase):
            p50, p99 = (between.quantile(share, name, phase=phase) for share in (0.5, 0.99))
            share = nan if phase == "total" or not whole else spent[phase] / whole
            rows.append((phase, duration(p50), duration(p99), percent(share)))
    return Section(("phase", "p50", "p99", "share"), tuple(rows))


def _workers(between: Between) -> Section:
    after, rows = between.after, []
    for kind in after.values("pullback_workers", "kind"):
        idle, busy = (
            after.total("pullback_workers", kind=kind, state=state) for state in ("idle", "busy")
        )
        spent_s = between.rate("pullback_worker_busy_seconds_total", kind=kind)
        used = spent_s / (idle + busy) if idle + busy else nan
        rows.append((kind, si(idle), si(busy), percent(used)))
    return Section(("workers", "idle", "busy", "used"), tuple(rows))


def _trouble(between: Between) -> Section:
    """What went wrong: in this interval, and since the server started."""
    names: dict[str, tuple[str, dict[str, str]]] = {
        "tasks retried": ("pullback_task_retries_total", {}),
        "workers lost": ("pullback_workers_lost_total", {}),
        "dispatcher restarts": ("pullback_dispatcher_restarts_total", {}),
    }
    for reason in between.after.values("pullback_rejected_requests_total", "reason"):
        names[f"rejected: {reason}"] = ("pullback_rejected_requests_total", {"reason": reason})
    rows = [
        (label, si(between.added(name, **labels)), si(between.after.total(name, **labels)))
        for label, (name, labels) in names.items()
        if between.after.total(name, **labels)
    ]
    return Section(("trouble", "now", "in all"), tuple(rows))


_PARTS = (_overview, _jobs, _phases, _workers, _trouble)


# --- numbers as text ------------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share as a whole percentage."""
    return f"{100 * share:.0f}%" if isfinite(share) else "-"
