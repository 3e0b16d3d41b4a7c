"""What a front end learns of the dispatcher, through its restarts."""

from __future__ import annotations

import pytest

from pullback_graph.timeline import MOST_SPANS, TaskSpan
from pullback_proto.internal.v1 import dispatch_pb2 as wire
from pullback_server.dispatcher.service import status_of
from pullback_server.dispatcher.settings import DispatcherSettings
from pullback_server.dispatcher_figures import after_restart, figures_of, joined, outcome_of
from pullback_server.planner.plan import Placement
from pullback_server.scheduler import KindCount, Snapshot
from pullback_server.traffic import Traffic
from tests.server.plans import reduce_plan

SNAPSHOT = Snapshot(
    workers={Placement.CPU: KindCount(starting=1, ready=5, busy=2, busy_s=7.5, wanted=8)},
    queued_jobs=3,
    queued_tasks=4,
    running_tasks=6,
    tasks_done=100,
    retries=2,
    copies=4,
    wasted_s={"cancelled": 1.5, "copied": 0.25, "lost": 0.0},
    workers_lost=1,
    program_cache_hits=90,
    program_cache_misses=10,
    compiling_s=0.5,
)


def test_a_snapshot_arrives_as_figures():
    """Workers by kind and state, queues and totals; up, since workers are ready."""
    figures = figures_of(status_of(SNAPSHOT, Traffic(7, 3), "host:1"))
    assert figures.up
    assert figures.workers == {("cpu", "starting"): 1, ("cpu", "idle"): 3, ("cpu", "busy"): 2}
    assert (figures.queued_jobs, figures.queued_tasks, figures.running_tasks) == (3, 4, 6)
    assert (figures.tasks, figures.task_retries, figures.workers_lost) == (100, 2, 1)
    assert (figures.program_cache_hits, figures.program_cache_misses) == (90, 10)
    assert figures.busy_s == {"cpu": 7.5}
    assert (figures.wanted, figures.copies) == ({"cpu": 8}, 4)
    assert figures.wasted_s == {"cancelled": 1.5, "copied": 0.25, "lost": 0.0}
    assert figures.address == "host:1"
    assert (figures.moved_bytes, figures.network_bytes) == (7, 3)


def test_totals_go_on_over_a_restart():
    """What only grows does not fall back when a new dispatcher starts at nothing."""
    first = figures_of(status_of(SNAPSHOT, Traffic(7, 3), "host:1"))
    between = after_restart(first)
    assert (between.up, between.workers, between.running_tasks) == (False, {}, 0)
    assert (between.tasks, between.restarts, between.busy_s) == (100, 1, {"cpu": 7.5})
    second = joined(between, figures_of(status_of(SNAPSHOT, Traffic(7, 3), "host:2")))
    assert (second.tasks, second.restarts, second.busy_s) == (200, 1, {"cpu": 15.0})
    assert (second.copies, second.wasted_s["cancelled"]) == (8, 3.0)
    assert (second.moved_bytes, second.network_bytes) == (14, 6)
    assert second.running_tasks == 6


@pytest.mark.parametrize(
    ("count", "up"),
    [
        (KindCount(starting=2, wanted=2), False),
        (KindCount(wanted=2), False),
        (KindCount(starting=1), False),
        (KindCount(), True),
    ],
)
def test_up_means_workers_or_none_wanted(count: KindCount, up: bool):
    """While workers start, jobs wait; a pool that shrank to nothing takes jobs all the same."""
    assert figures_of(status_of(Snapshot(workers={Placement.CPU: count}), Traffic(), "")).up is up


def test_an_outcome_sums_seconds_by_phase():
    """Times of tasks are added by the phase their plan gives them."""
    plan = reduce_plan(2)
    timings = [
        wire.TaskTiming(task=k, running_s=1.0 + k, compiling_s=0.5, program_cache_hit=k != 1)
        for k in range(3)
    ]
    done = wire.Done(
        timings=timings,
        workers=2,
        retries=1,
        queued_s=0.1,
        peak_bytes=9,
        moved_bytes=5,
        network_bytes=3,
    )
    outcome = outcome_of(done, plan, [])
    assert outcome.phase_s == {"fused": 3.0, "reduce": 3.0}
    assert outcome.compiling_s == 1.5
    assert (outcome.tasks, outcome.workers, outcome.retries) == (3, 2, 1)
    assert not outcome.program_cache_hit


def test_a_timeline_is_bounded_and_in_the_plans_order():
    """A span a task with its phase; beyond the bound tasks are left out."""
    plan = reduce_plan(2)
    timings = [
        wire.TaskTiming(
            task=k, started_s=float(k), running_s=0.5, compiling_s=0.25, worker="4", attempts=2
        )
        for k in range(3)
    ]
    spans = outcome_of(wire.Done(timings=timings), plan, []).timeline
    assert [(span.task, span.phase) for span in spans] == [
        (0, "fused"),
        (1, "fused"),
        (2, "reduce"),
    ]
    assert spans[1] == TaskSpan(1, "fused", "4", 1.0, 1.75, 2, compiling_s=0.25)
    many = wire.Done(timings=timings * MOST_SPANS)
    assert len(outcome_of(many, plan, []).timeline) == MOST_SPANS


def test_settings_survive_the_command_line():
    """What the link writes is what the dispatcher reads."""
    settings = DispatcherSettings("/a", "/b", ("/a", "/b"), workers=3, gpus_per_worker=0.5)
    again = DispatcherSettings.from_json(settings.to_json())
    assert again.to_json() == settings.to_json()
    assert again.scheduler.workers == {Placement.GPU: 3}
    assert again.pool.gpus_per_worker == 0.5


def test_unknown_settings_are_refused():
    """A dispatcher of another version says so rather than guess."""
    with pytest.raises(TypeError):
        DispatcherSettings.from_json('{"folder": "/a", "shared_folder": "/b", "colour": 1}')
