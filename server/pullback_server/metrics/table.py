"""The table of metrics: one row a metric, and everything else that speaks of metrics walks it.

The collector, the live page's snapshot, the reference table and the golden list derive from it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

from pullback_server.metrics import labels
from pullback_server.metrics.counters import Reading
from pullback_server.metrics.histogram import Histogram

LabelValues: TypeAlias = tuple[str, ...]
Samples: TypeAlias = Iterable[tuple[LabelValues, "float | Histogram"]]


class Kind(Enum):
    """Prometheus's type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row.

    Attributes:
        name: in full, as queries write it.
        labels: names of its labels; their values are closed sets.
        help: one sentence, shown beside the metric everywhere.
        source: which part of the service knows it.
        read: its samples in a reading; none while there is nothing to say.
    """

    name: str
    kind: Kind
    labels: LabelValues
    help: str
    source: str
    read: Callable[[Reading], Samples]


def _one(value: float | Histogram) -> Samples:
    yield (), value


def _by_label(cells: Mapping[str, float] | Mapping[str, Histogram]) -> Samples:
    for name, value in cells.items():
        yield (name,), value


def _jobs_in_flight(reading: Reading) -> Samples:
    for want in labels.WANTS:
        for state in labels.STATES:
            yield (want, state), reading.jobs_in_flight.get((want, state), 0)


def _queue_depth(reading: Reading) -> Samples:
    here = sum(n for (_, state), n in reading.jobs_in_flight.items() if state == "queued")
    yield (), here + (reading.pool.queued_jobs if reading.pool else 0)


def _workers(reading: Reading) -> Iterator[tuple[LabelValues, float]]:
    if reading.has_dispatcher:
        known = reading.pool.workers if reading.pool else {}
        kinds = [kind for kind in labels.KINDS if kind == "cpu" or (kind, "idle") in known]
        for kind in kinds:
            for state in labels.WORKER_STATES:
                yield (kind, state), known.get((kind, state), 0)


def _wanted_workers(reading: Reading) -> Iterator[tuple[LabelValues, float]]:
    if reading.has_dispatcher and reading.pool:
        for kind in labels.KINDS:
            if kind in reading.pool.wanted:
                yield (kind,), reading.pool.wanted[kind]


def _dispatcher_up(reading: Reading) -> Iterator[tuple[LabelValues, float]]:
    if reading.has_dispatcher:
        yield (), float(reading.pool is not None)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


@lru_cache(maxsize=1)
def _build_info() -> list[tuple[LabelValues, float]]:
    versions = (_version("pullback"), platform.python_version(), _version("numpy"))
    return [((*versions, _version("ray")), 1.0)]


FRONT_END = "front end"
DISPATCHER = "dispatcher"
BOTH = "front end and dispatcher"
COUNTER, GAUGE, HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

METRICS: tuple[Metric, ...] = (
    Metric(
        "pullback_jobs_total",
        COUNTER,
        ("want", "outcome"),
        "Jobs answered, by what was wanted and how they ended.",
        FRONT_END,
        lambda r: r.totals.jobs.items(),
    ),
    Metric(
        "pullback_jobs_in_flight",
        GAUGE,
        ("want", "state"),
        "Jobs taken in and not yet answered.",
        FRONT_END,
        _jobs_in_flight,
    ),
    Metric(
        "pullback_job_seconds",
        HISTOGRAM,
        ("phase",),
        "Seconds a successful job spent in each phase it had; total is from arrival to answer.",
        FRONT_END,
        lambda r: _by_label(r.totals.job_seconds),
    ),
    Metric(
        "pullback_queue_depth_jobs",
        GAUGE,
        (),
        "Jobs that wait for a thread of the front end or for a worker.",
        BOTH,
        _queue_depth,
    ),
    Metric(
        "pullback_in_flight_tasks",
        GAUGE,
        (),
        "Tasks that workers have at hand.",
        DISPATCHER,
        lambda r: _one(r.pool.running_tasks if r.pool else 0),
    ),
    Metric(
        "pullback_workers",
        GAUGE,
        ("kind", "state"),
        "Workers by kind and state; absent on a server without workers.",
        DISPATCHER,
        _workers,
    ),
    Metric(
        "pullback_wanted_workers",
        GAUGE,
        ("kind",),
        "Workers the pool is sized to, for what runs and waits, between the least and the most.",
        DISPATCHER,
        _wanted_workers,
    ),
    Metric(
        "pullback_worker_busy_seconds_total",
        COUNTER,
        ("kind",),
        "Worker seconds spent in tasks.",
        DISPATCHER,
        lambda r: _by_label(r.totals.worker_busy_s),
    ),
    Metric(
        "pullback_wasted_seconds_total",
        COUNTER,
        ("reason",),
        "Worker seconds that no result came of: cancelled, done by another first, or lost.",
        DISPATCHER,
        lambda r: _by_label(r.totals.wasted_s),
    ),
    Metric(
        "pullback_tasks_total",
        COUNTER,
        (),
        "Tasks that workers finished.",
        DISPATCHER,
        lambda r: _one(r.totals.tasks),
    ),
    Metric(
        "pullback_nodes_total",
        COUNTER,
        (),
        "Graph nodes evaluated by successful jobs.",
        FRONT_END,
        lambda r: _one(r.totals.nodes),
    ),
    Metric(
        "pullback_adjoint_evaluations_total",
        COUNTER,
        (),
        "Node adjoints evaluated by successful jobs.",
        FRONT_END,
        lambda r: _one(r.totals.adjoint_evaluations),
    ),
    Metric(
        "pullback_flops_total",
        COUNTER,
        (),
        "Floating-point operations of successful jobs, as the operator table counts them.",
        FRONT_END,
        lambda r: _one(r.totals.flops),
    ),
    Metric(
        "pullback_received_bytes_total",
        COUNTER,
        (),
        "Bytes of request messages received.",
        FRONT_END,
        lambda r: _one(r.totals.received_bytes),
    ),
    Metric(
        "pullback_sent_bytes_total",
        COUNTER,
        (),
        "Bytes of reply messages sent.",
        FRONT_END,
        lambda r: _one(r.totals.sent_bytes),
    ),
    Metric(
        "pullback_program_cache_hits_total",
        COUNTER,
        (),
        "Programs found compiled.",
        BOTH,
        lambda r: _one(r.totals.program_cache_hits),
    ),
    Metric(
        "pullback_program_cache_misses_total",
        COUNTER,
        (),
        "Programs that had to be compiled first.",
        BOTH,
        lambda r: _one(r.totals.program_cache_misses),
    ),
    Metric(
        "pullback_compile_seconds",
        HISTOGRAM,
        ("executor",),
        "Seconds a compilation took.",
        FRONT_END,
        lambda r: _by_label(r.totals.compile_seconds),
    ),
    Metric(
        "pullback_promotions_total",
        COUNTER,
        ("result",),
        "Graphs that the front end tried on XLA, compiled in the background, by what was measured.",
        FRONT_END,
        lambda r: _by_label(r.totals.promotions),
    ),
    Metric(
        "pullback_task_retries_total",
        COUNTER,
        (),
        "Tasks run again after a loss; those that had not begun are not counted.",
        DISPATCHER,
        lambda r: _one(r.totals.task_retries),
    ),
    Metric(
        "pullback_speculated_tasks_total",
        COUNTER,
        (),
        "Tasks tried on a second worker because the first was late.",
        DISPATCHER,
        lambda r: _one(r.totals.task_copies),
    ),
    Metric(
        "pullback_workers_lost_total",
        COUNTER,
        (),
        "Workers that died or were given up.",
        DISPATCHER,
        lambda r: _one(r.totals.workers_lost),
    ),
    Metric(
        "pullback_moved_bytes_total",
        COUNTER,
        (),
        "Bytes of arrays that workers were given to read or handed back, in jobs that are over.",
        DISPATCHER,
        lambda r: _one(r.totals.moved_bytes),
    ),
    Metric(
        "pullback_network_bytes_total",
        COUNTER,
        (),
        "Of the moved bytes, those that went from one machine to another.",
        DISPATCHER,
        lambda r: _one(r.totals.network_bytes),
    ),
    Metric(
        "pullback_stop_seconds",
        HISTOGRAM,
        (),
        "Seconds from when a job was called off, or its deadline, until none of its tasks ran.",
        DISPATCHER,
        lambda r: _one(r.totals.stop_seconds),
    ),
    Metric(
        "pullback_workers_killed_total",
        COUNTER,
        (),
        "Workers killed because a task ran on past the grace period after its job was called off.",
        DISPATCHER,
        lambda r: _one(r.totals.workers_killed),
    ),
    Metric(
        "pullback_rejected_requests_total",
        COUNTER,
        ("reason",),
        "Requests turned away before they became jobs, and failed calls that carry none.",
        FRONT_END,
        lambda r: _by_label(r.totals.rejected),
    ),
    Metric(
        "pullback_batch_jobs",
        HISTOGRAM,
        (),
        "Jobs in a batch of a stream.",
        FRONT_END,
        lambda r: _one(r.totals.batch_jobs),
    ),
    Metric(
        "pullback_dispatcher_up",
        GAUGE,
        (),
        "1 while the dispatcher answers, 0 while it does not; absent on a server without one.",
        FRONT_END,
        _dispatcher_up,
    ),
    Metric(
        "pullback_dispatcher_restarts_total",
        COUNTER,
        (),
        "Dispatchers started after the first.",
        FRONT_END,
        lambda r: _one(r.totals.dispatcher_restarts),
    ),
    Metric(
        "pullback_build_info",
        Kind.INFO,
        ("version", "python", "numpy", "ray"),
        "Versions of what serves; always 1.",
        FRONT_END,
        lambda _: _build_info(),
    ),
)
