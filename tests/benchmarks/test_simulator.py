"""The scheduler's simulation: nothing is lost, and the same seeds give the same."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.scale import jain, p99
from benchmarks.simulator.arrivals import Size, mixed, poisson, waiting
from benchmarks.simulator.occupancy import Occupancy, idle_beside_work
from benchmarks.simulator.plans import sharded, single
from benchmarks.simulator.simulation import Arrival, Simulation
from benchmarks.simulator.virtual_pool import Costs
from benchmarks.svg_chart import axis_of, line_chart
from pullback_server.planner.plan import Placement
from pullback_server.scheduler import Command, Event, KindCount, Settings, Snapshot

FAULTS = Costs(straggle=0.05, fault_every_s=20.0)


@pytest.mark.parametrize("costs", [Costs(), FAULTS], ids=["whole", "with faults"])
def test_every_job_is_answered(costs: Costs):
    """All arrivals are answered with results, and each task is placed or left to the dispatcher."""
    arrivals = poisson(mixed(), 0.9, 8, 400, seed=3)
    outcome = Simulation(arrivals, 8, costs=costs).run()
    assert outcome.failed == 0
    assert sum(map(len, outcome.latency_s.values())) == len(arrivals)
    plans = [arrival.plan for arrival in arrivals]
    tasks = sum(len(plan.tasks) for plan in plans)
    assert outcome.left > 0
    assert outcome.decisions >= tasks
    assert (outcome.decisions > tasks) == (costs is FAULTS)


def test_a_run_repeats():
    """The same seeds give the same placements, times and waits, faults included."""
    arrivals = poisson(mixed(), 0.9, 4, 200, 5)
    runs = [Simulation(arrivals, 4, costs=FAULTS).run() for _ in range(2)]
    first, second = ((r.decisions, r.virtual_s, r.queued_s, r.served_s) for r in runs)
    assert first == second


def test_time_is_accounted_for():
    """One worker with one job of known times is busy for the sum of them."""
    outcome = Simulation([Arrival(0.0, sharded(4, 1.0))], 1, costs=Costs(spread=0.0)).run()
    assert sum(outcome.served_s.values()) == pytest.approx(4.0, rel=1e-3)
    assert outcome.utilisation == pytest.approx(1.0, rel=0.02)
    assert outcome.virtual_s == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize("load", [0.3, 0.95])
def test_arrivals_are_the_load_they_say(load: float):
    """However few jobs are drawn, their work over the time they come in is that load."""
    arrivals = poisson(mixed(), load, 100, 200, seed=7)
    work_s = sum(arrival.plan.total_s for arrival in arrivals)
    assert work_s / (100 * arrivals[-1].at_s) == pytest.approx(load)
    assert [a.at_s for a in arrivals] == sorted(a.at_s for a in arrivals)


def test_work_under_way_counts_as_it_is_done():
    """A task that runs through a whole window makes its worker busy in it, and one of two idle."""
    for workers, share in ((1, 1.0), (2, 0.5)):
        ticks = [Arrival(0.5 * k, single(1e-6), "b", "tick") for k in range(1, 8)]
        arrivals = [Arrival(0.0, single(4.0)), *ticks]
        run = Simulation(arrivals, workers, costs=Costs(spread=0.0), window_s=(1.0, 3.0)).run()
        assert run.utilisation == pytest.approx(share, rel=0.02)
        assert run.idle_beside_work == 0.0


def test_idle_workers_count_only_beside_work():
    """Of five workers, two idle while three tasks wait: two fifths of the time were wasted."""
    kind = KindCount(ready=5, busy=3)
    pools = [Snapshot({Placement.CPU: kind}, queued_tasks=queued) for queued in (3, 1, 0)]
    assert [idle_beside_work(pool) for pool in pools] == [2, 1, 0]
    occupancy = Occupancy((0.0, 9.0), lambda: 0.0, lambda: pools[0])
    for now_s in range(10):
        occupancy.at(float(now_s))
    assert occupancy.idle_beside_work(5) == pytest.approx(0.4)


def test_a_window_that_never_opens_measures_nothing():
    """A run that is over before its window has no utilisation, and does not fail."""
    outcome = Simulation([Arrival(0.0, single(0.1))], 1, window_s=(50.0, 60.0)).run()
    assert (outcome.utilisation, outcome.idle_beside_work) == (0.0, 0.0)


def test_alarms_do_not_pile_up():
    """However many batches a worker has run, only a few alarms are set for it."""
    arrivals = poisson([Size("small", [single(0.06)], 1.0)], 0.9, 4, 400, seed=3)
    simulation = Simulation(arrivals, 4)
    alarms, handle, most = simulation.scheduler._board.alarms, simulation.scheduler.handle, [0]

    def watched(*events: Event) -> list[Command]:
        commands = handle(*events)
        most[0] = max(most[0], len(alarms))
        return commands

    simulation.scheduler.handle = watched  # type: ignore[method-assign]  # to look in between
    assert simulation.run().failed == 0
    assert 4 <= most[0] <= 4 * 4


def test_the_pool_grows_and_shrinks_in_virtual_time():
    """Elastic settings start with the least, and all work is done all the same."""
    settings = Settings(workers={Placement.CPU: 16}, least_workers={Placement.CPU: 1}, idle_s=5.0)
    arrivals = [Arrival(20.0 * k, sharded(64, 1.0)) for k in range(3)]
    simulation = Simulation(arrivals, 16, settings=settings)
    outcome = simulation.run()
    assert outcome.failed == 0
    assert max(outcome.latency_s[""]) < 20.0


def test_measures_of_fairness_and_waiting():
    """Jain's index is one for equals and 1 / n for a sole owner; p99 is near the top."""
    assert jain([2.0] * 5) == pytest.approx(1.0)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert p99([float(k) for k in range(1000)]) == 990.0
    assert p99([3.0]) == 3.0
    assert single(0.5).total_s == pytest.approx(0.5, rel=1e-3)
    assert len({arrival.client for arrival in waiting(5, 0.1, 1.0)}) == 5


@pytest.mark.parametrize("logarithmic", [True, False])
def test_charts_are_svg_and_repeat(logarithmic: bool):
    """The same figures give the same text, which is XML with a line for each series."""
    across = axis_of("workers <n>", [10, 1000], logarithmic=logarithmic)
    up = axis_of("per & s", [3.0, 30.0], logarithmic=logarithmic)
    lines = {"a<b": [(10, 3.0), (1000, 30.0)], "b": [(10, 5.0), (1000, 5.0)]}
    text = line_chart("a & b", across, up, lines)
    assert text == line_chart("a & b", across, up, lines)
    root = ElementTree.fromstring(text)
    assert len([item for item in root if item.tag.endswith("polyline")]) == 2
    assert all(0.0 <= across.place(tick) <= 1.0 for tick in across.ticks())
