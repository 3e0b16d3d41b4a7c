"""What `Plan` predicts beside what jobs take: many kinds of job, none of them run before.

Workers have measured themselves and run a few programs of other kinds; then each job's time is
predicted, and the job runs, its graph new to the service.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np

import pullback as pb
from benchmarks.held_out_cases import HELD_OUT, UNSEEN
from benchmarks.prediction_cases import CASES, WARM_UPS, Job
from benchmarks.report import Figure, Goal, Report, Request
from examples.server_process import running_server
from pullback.command_line.plan import plan_here
from pullback.job_arguments import make_job
from pullback.remote.descriptions import PlanReport
from pullback_graph.errors import ServiceError

WORKERS = (1, 2)
LEAST_S = 10e-3
FACTOR = 2.0
SHARE = Goal("at_least", 90.0)
RUNS = 2
"""Counted ones; after more, a graph may move to XLA, of which nothing is predicted."""
MEASURED_S = 30.0
"""Workers have measured themselves by then."""
SETTLED_S = 2.0
"""What the warm-ups took has reached the front end by then."""


class Outcome(NamedTuple):
    """One job on some workers: what was predicted, by the table alone too, and what it took.

    Attributes:
        took_s: from the start of its first task to the end of its last, which is what is predicted.
        seen_s: what the client waited, with the inputs' and the results' way.
    """

    title: str
    predicted_s: float
    table_s: float
    took_s: float
    seen_s: float

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted_s / self.took_s


def run(request: Request) -> Report:
    """Measure every job on each number of workers."""
    jobs = (*CASES, *HELD_OUT, *UNSEEN)
    cases = [job.quick() for job in jobs] if request.quick else jobs
    cases = [job for job in cases if not request.only or job.title in request.only]
    figures: list[Figure] = []
    for workers in WORKERS:
        with running_server("--workers", str(workers)) as server:
            server.wait_for_workers(workers)
            with pb.connect(server.address) as service:
                outcomes = list(_outcomes(service, cases, workers))
        figures += _figures(outcomes, workers, least_s=0.0 if request.quick else LEAST_S)
    workload = [
        f"{len(cases)} jobs, each with a graph of its own that did not run before: elementwise, "
        "products, linear algebra, networks, signals, loops, Jacobians and Hessians",
        "predicted by Plan before the job's first run; measured from the start of its first task "
        f"to the end of its last, the least of {RUNS} runs, data resident, new parameters each",
        f"jobs that took less than {LEAST_S * 1e3:g} ms do not count",
        f"{len(HELD_OUT) + len(UNSEEN)} of them came last: other shapes, dtypes and operators; "
        f"{len(UNSEEN)} after most prices",
    ]
    return Report("predictions", "", workload, figures)


def _outcomes(service: Any, cases: Sequence[Job], workers: int) -> Iterator[Outcome]:
    """Each job's prediction, and then what it took."""
    for job in WARM_UPS:
        _took(service, job, pb.trace(job.function, **_drawn(job)))
    _await_rates(service)
    for job in cases:
        graph = pb.trace(job.function, **_drawn(job))
        said = service.plan(graph, want=job.wanted)
        by_table = plan_here(make_job(graph, {}, want=job.wanted))
        yield Outcome(
            job.title,
            _predicted_s(said, workers),
            _predicted_s(by_table, workers),
            *_took(service, job, graph),
        )


def _await_rates(service: Any) -> None:
    """Wait until what workers measured has reached the front end."""
    job = WARM_UPS[0]
    graph, ends_s = pb.trace(job.function, **_drawn(job)), perf_counter() + MEASURED_S
    while "measured" not in service.plan(graph, want=job.wanted).rates:
        if perf_counter() > ends_s:
            raise ServiceError(f"no worker measured itself within {MEASURED_S:g} s; see its log")
        sleep(0.1)
    sleep(SETTLED_S)


def _predicted_s(report: PlanReport, workers: int) -> float:
    """The prediction for so many workers; of a job that needs none, the one there is."""
    found = {item.workers: item.estimated_s for item in report.predictions}
    return found.get(workers, report.estimated_s)


def _drawn(job: Job) -> dict[str, Any]:
    random = np.random.default_rng()
    return {name: random.normal(size=shape).astype(job.dtype) for name, shape in job.shapes.items()}


def _took(service: Any, job: Job, graph: pb.Graph) -> tuple[float, float]:
    """Seconds on the workers, and in the client: data are there before, parameters are not.

    The least of a few runs, after one that is not counted: others only slow a job down.
    """
    held = {name: service.put(array) for name, array in _drawn(job).items()}
    took_s, seen_s = [], []
    for _ in range(RUNS + 1):
        drawn = _drawn(job)
        inputs = {name: drawn[name] if name in job.parameters else held[name] for name in drawn}
        start_s = perf_counter()
        result = service.evaluate(graph, inputs, want=job.wanted, timeline=True)
        seen_s.append(perf_counter() - start_s)
        spans = result.metrics.timeline
        took_s.append(max(s.end_s for s in spans) - min(s.start_s for s in spans))
    return min(took_s[1:]), min(seen_s[1:])


def _figures(outcomes: Sequence[Outcome], workers: int, least_s: float) -> list[Figure]:
    """A job's figures, and over all jobs that are long enough the shares within the factor."""
    on = f"{workers} worker{'s' * (workers > 1)}"
    figures = []
    for item in outcomes:
        figures.append(Figure(f"{item.title}, {on}", 1e3 * item.took_s, "ms"))
        figures.append(Figure(f"{item.title}, {on}: in the client", 1e3 * item.seen_s, "ms"))
        figures.append(Figure(f"{item.title}, {on}: predicted over measured", item.ratio, "x"))
    counted = [item for item in outcomes if item.took_s >= least_s]
    figures.append(Figure(f"jobs that count, {on}", len(counted), ""))
    share = _within([item.ratio for item in counted])
    figures.append(Figure(f"within {FACTOR:g} x, {on}", share, "%", SHARE))
    for jobs, which in (((*HELD_OUT, *UNSEEN), "that came last"), (UNSEEN, "after most prices")):
        held = {job.title for job in jobs}
        own = _within([item.ratio for item in counted if item.title in held])
        figures.append(Figure(f"of those {which}, within {FACTOR:g} x, {on}", own, "%"))
    table = _within([item.table_s / item.took_s for item in counted])
    figures.append(Figure(f"within {FACTOR:g} x by the fixed cost table, {on}", table, "%"))
    return figures


def _within(ratios: Sequence[float]) -> float:
    """The share of ratios within the factor of one, in percent."""
    held = [ratio for ratio in ratios if 1 / FACTOR <= ratio <= FACTOR]
    return 100.0 * len(held) / max(len(ratios), 1)
