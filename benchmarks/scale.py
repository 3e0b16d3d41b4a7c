"""The scheduler in virtual time: decisions a second, utilisation, waiting and fairness as it grows.

The very code that the dispatcher runs decides; workers, their faults and the clock are simulated,
so that a million tasks on a thousand workers take minutes on one core.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.report import Figure, Goal, Report, Request
from benchmarks.simulator.arrivals import mixed, poisson, waiting
from benchmarks.simulator.plans import sharded, single
from benchmarks.simulator.simulation import Arrival, Outcome, Simulation
from benchmarks.simulator.virtual_pool import Costs
from benchmarks.svg_chart import axis_of, line_chart
from pullback_server.planner.plan import Placement
from pullback_server.scheduler import Settings

PLOTS = Path(__file__).parent / "plots"
LOAD = 0.95
WARM_UP = 0.1
"""Part of the time before utilisation is measured."""
RAMP_UP_S = 0.75
"""It is not measured sooner than this: the longest tasks have ended, and workers filled up."""
DECISIONS = Goal("at_least", 20_000)
UTILISATION = Goal("at_least", 0.90)
IDLE = Goal("at_most", 0.01)
FLAT = Goal("at_most", 1.5)
SMALL = Goal("at_most", 3.0)
FAIR = Goal("at_least", 0.95)
STRAGGLING = Costs(straggle=0.002, fault_every_s=2000.0)


def run(request: Request) -> Report:
    """Simulate all, and plot what grows unless it is to be quick."""
    workers = (8, 64) if request.quick else (10, 100, 1000)
    tasks = (500, 2_000) if request.quick else (10_000, 100_000, 1_000_000)
    by_workers = {n: _mixed(n, tasks[-2]) for n in workers}
    by_tasks = {n: _mixed(workers[-1], n, STRAGGLING) for n in tasks}
    figures = [
        *_growth("workers", by_workers),
        Figure(
            f"cost of a decision, {workers[-1]:,} over {workers[0]:,} workers",
            by_workers[workers[0]].decisions_per_s / by_workers[workers[-1]].decisions_per_s,
            "x",
            FLAT,
        ),
        *_growth("tasks, with faults", by_tasks),
        *_beside_huge(8 if request.quick else 64, 200 if request.quick else 20_000),
        *_fairness(4 if request.quick else 32, 4.0 if request.quick else 60.0),
        *_second_tries(16 if request.quick else 64, 1_000 if request.quick else 3_000),
    ]
    if not request.quick:
        _plot(by_workers, by_tasks)
    workload = [
        f"jobs of mixed sizes (half of them one task, a tenth 127), 8 clients, load {LOAD:g}; "
        "task times spread by 20 %, 1.5 ms a batch, operands at 1 GB/s",
        "with faults: every worker dies after 2,000 s on average and takes 2 s to replace; one "
        "batch in 500 takes 20 times as long",
        "utilisation: of the workers' time from when they have filled up until the last job comes",
        "decisions: tasks placed on workers, and sums left to the dispatcher, over the scheduler's "
        "processor time for all events; the sums themselves take it some 10 µs each besides",
        "the scheduler is the dispatcher's own; workers and time are simulated, the seeds fixed",
    ]
    return Report("scale", "", workload, figures)


def _mixed(workers: int, tasks: int, costs: Costs | None = None) -> Outcome:
    arrivals = poisson(mixed(), LOAD, workers, tasks, seed=1)
    last_s = arrivals[-1].at_s
    window_s = min(max(WARM_UP * last_s, RAMP_UP_S), last_s / 2), last_s
    return Simulation(arrivals, workers, costs=costs, window_s=window_s).run()


def _growth(what: str, outcomes: dict[int, Outcome]) -> list[Figure]:
    figures = []
    for number, outcome in outcomes.items():
        name = f"{number:,} {what}"
        figures += [
            Figure(f"{name}: decisions", outcome.decisions_per_s, "/s", DECISIONS),
            Figure(f"{name}: of these on workers", outcome.placed / outcome.scheduler_s, "/s"),
            Figure(f"{name}: utilisation", outcome.utilisation, "", UTILISATION),
            Figure(f"{name}: idle while tasks wait", outcome.idle_beside_work, "", IDLE),
            Figure(f"{name}: small jobs wait, p99", 1e3 * p99(outcome.queued_s["small"]), "ms"),
            Figure(f"{name}: jobs failed", float(outcome.failed), "", Goal("at_most", 0)),
        ]
    return figures


def _beside_huge(workers: int, tasks: int) -> list[Figure]:
    """Small jobs alone, and beside a job that could fill the workers for all that time."""
    huge = sharded(tasks, 0.1)
    plans = [single(0.01 * (1 + k)) for k in range(5)]
    seconds = huge.total_s / workers
    count = int(0.1 * workers * seconds / 0.03)
    small = [Arrival(seconds * k / count, plans[k % 5], "small", "small") for k in range(count)]
    alone = _p99_of_small(small, workers)
    figures = []
    for name, client in (("another client's", "huge"), ("the same client's", "small")):
        beside = _p99_of_small([Arrival(0.0, huge, client, "huge"), *small], workers)
        figures.append(
            Figure(f"small jobs beside {name} huge job, p99", beside / alone, "x", SMALL)
        )
    return [Figure("small jobs alone, p99", 1e3 * alone, "ms"), *figures]


def _p99_of_small(arrivals: Sequence[Arrival], workers: int) -> float:
    return p99(Simulation(arrivals, workers).run().latency_s["small"])


def _fairness(workers: int, seconds: float) -> list[Figure]:
    """Jain's index of the time clients got while all had work."""
    clients = 10
    arrivals = waiting(clients, 0.1, seconds * workers / clients * 2)
    outcome = Simulation(arrivals, workers, until_s=seconds).run()
    return [Figure("fairness between 10 clients (Jain)", jain(outcome.served_s.values()), "", FAIR)]


def _second_tries(workers: int, jobs: int) -> list[Figure]:
    """Sharded jobs where one batch in fifty is stuck: with second tries and without.

    In about one job of three hundred, a second try is stuck as well: so many are needed that the
    p99 does not turn on whether there are two such or four.
    """
    found = {}
    for factor in (0.0, 3.0):
        plan = sharded(8, 1.0)
        arrivals = [Arrival(16.0 * k / workers, plan, "a", "job") for k in range(jobs)]
        settings = Settings(workers={Placement.CPU: workers}, late_factor=factor)
        costs = Costs(straggle=0.02)
        found[factor] = Simulation(arrivals, workers, costs=costs, settings=settings).run()
    before, after = (p99(outcome.latency_s["job"]) for outcome in found.values())
    return [
        Figure(
            "jobs with stuck batches, p99: second tries over none",
            after / before,
            "x",
            Goal("at_most", 0.8),
        ),
        Figure(
            "tasks tried twice",
            100 * found[3.0].copies / found[3.0].decisions,
            "%",
            Goal("at_most", 10),
        ),
    ]


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred is above."""
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]


def jain(shares: Iterable[float]) -> float:
    """Jain, Chiu & Hawe 1984: 1 where all are equal, 1 / n where one has everything."""
    values = list(shares)
    return float(sum(values) ** 2 / (len(values) * sum(value * value for value in values)))


def _plot(by_workers: dict[int, Outcome], by_tasks: dict[int, Outcome]) -> None:
    """Write the charts of what grows."""
    PLOTS.mkdir(exist_ok=True)
    for name, outcomes in (("workers", by_workers), ("tasks", by_tasks)):
        across = axis_of(name, list(outcomes), logarithmic=True)
        rates = [(n, outcome.decisions_per_s) for n, outcome in outcomes.items()]
        up = axis_of(
            "decisions/s on one core", [y for _, y in rates], logarithmic=False, from_zero=True
        )
        chart = line_chart(f"Scheduler decisions by {name}", across, up, {"decisions/s": rates})
        (PLOTS / f"scale-decisions-by-{name}.svg").write_text(chart)
        waits = {
            size: [(n, 1e3 * max(p99(o.queued_s[size]), 1e-4)) for n, o in outcomes.items()]
            for size in ("small", "medium", "large")
        }
        values = [y for points in waits.values() for _, y in points]
        up = axis_of("wait, p99, ms", values, logarithmic=True)
        chart = line_chart(f"Waiting at load {LOAD:g}, by {name}", across, up, waits)
        (PLOTS / f"scale-waiting-by-{name}.svg").write_text(chart)
