"""The counters: nothing lost between threads, nothing lost when a dispatcher starts anew."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as ReferenceHistogram

from pullback_graph.job import Metrics
from pullback_server.metrics import PoolReport, ServiceCounters, labels
from pullback_server.metrics.histogram import SECONDS, Histogram

THREADS, JOBS = 6, 500


def _count_jobs(counters: ServiceCounters) -> None:
    for _ in range(JOBS):
        counters.bytes_received(3)
        counters.job_finished("gradient", Metrics(fused_s=1e-3, total_s=2e-3, nodes=5, flops=7.0))
        counters.job_failed("value", "internal")


def test_no_addition_of_any_thread_is_lost():
    """Additions from several threads at once all show, also once the threads have ended."""
    counters = ServiceCounters()
    threads = [threading.Thread(target=_count_jobs, args=(counters,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    seen = [counters.read().totals.nodes for _ in range(20)]
    for thread in threads:
        thread.join()
    for _ in range(2):  # the second reading finds the ended threads already folded
        totals = counters.read().totals
        assert totals.jobs["gradient", "ok"] == totals.jobs["value", "internal"] == THREADS * JOBS
        assert totals.nodes == 5 * THREADS * JOBS
        assert totals.flops == 7.0 * THREADS * JOBS
        assert totals.received_bytes == 3 * THREADS * JOBS
        assert totals.job_seconds["total"].count == THREADS * JOBS
    assert seen == sorted(seen)


def test_ended_threads_leave_nothing_behind_but_their_sum():
    """A server whose threads come and go does not grow with them."""
    counters = ServiceCounters()
    for _ in range(20):
        thread = threading.Thread(target=counters.bytes_sent, args=(1,))
        thread.start()
        thread.join()
    assert counters.read().totals.sent_bytes == 20
    assert [thread for thread, _ in counters._live] == [threading.current_thread()]


def test_a_job_is_observed_in_the_phases_it_had():
    """A phase that took no time is not observed; the others are, with their seconds."""
    counters = ServiceCounters()
    counters.job_finished("hvp", Metrics(queued_s=0.25, forward_s=0.5, total_s=1.0))
    seconds = counters.read().totals.job_seconds
    assert {phase: h.sum for phase, h in seconds.items() if h.count} == {
        "queued": 0.25,
        "forward": 0.5,
        "total": 1.0,
    }


def test_failed_jobs_do_not_flatter_the_latency():
    """Only jobs that were answered with a result are observed in the histograms."""
    counters = ServiceCounters()
    counters.job_failed("value", "invalid_argument")
    assert not any(h.count for h in counters.read().totals.job_seconds.values())


def test_values_outside_a_label_set_are_counted_under_its_catch_all():
    """No request can add a series: each label's values are a closed set."""
    counters = ServiceCounters()
    before = set(counters.read().totals.jobs)
    counters.job_failed("curl", "teapot")
    counters.job_finished("curl", Metrics(total_s=1.0))
    counters.request_rejected("a reason made up by a client")
    counters.compiled("fortran", 0.1)
    totals = counters.read().totals
    assert set(totals.jobs) == before
    assert totals.jobs["unknown", "unknown"] == totals.jobs["unknown", "ok"] == 1
    assert totals.rejected["other"] == 1
    assert totals.compile_seconds["other"].count == 1


@given(st.lists(st.floats(0, 1000) | st.sampled_from(SECONDS), max_size=50))
def test_histogram_counts_as_prometheus_does(values: list[float]):
    """Buckets, bounds included, are those of prometheus_client's own histogram."""
    mine = Histogram(SECONDS)
    reference = ReferenceHistogram("x", "x", buckets=SECONDS, registry=CollectorRegistry())
    for value in values:
        mine.observe(value)
        reference.observe(value)
    (family,) = reference.collect()
    theirs = [s.value for s in family.samples if s.name == "x_bucket"]
    assert mine.cumulative() == theirs
    assert mine.sum == pytest.approx(sum(values))


def test_the_pool_s_totals_stay_over_dispatchers():
    """Totals of the pool go on from where they were; each dispatcher after the first is counted."""
    counters = ServiceCounters()
    counters.program_cache_hit()
    for tasks in (4, 9):
        counters.dispatcher_started()
        counters.pool_reported(
            PoolReport(tasks=tasks, program_cache_hits=2 * tasks, busy_s={"cpu": 0.5 * tasks})
        )
        counters.dispatcher_lost()
        totals = counters.read().totals
        assert (totals.tasks, totals.program_cache_hits) == (tasks, 2 * tasks + 1)
        assert totals.worker_busy_s == {"cpu": 0.5 * tasks, "gpu": 0.0}
    assert counters.read().totals.dispatcher_restarts == 1


def test_reading_changes_nothing():
    """Two readings without a fact between them are the same."""
    counters = ServiceCounters()
    counters.dispatcher_started()
    counters.pool_reported(PoolReport(tasks=4))
    counters.bytes_sent(2)
    assert counters.read().totals.tasks == counters.read().totals.tasks == 4
    assert counters.read().totals.sent_bytes == counters.read().totals.sent_bytes == 2


def test_the_pool_is_unknown_while_the_dispatcher_is_away():
    """Gauges of the pool come from the last report of a dispatcher that still answers."""
    counters = ServiceCounters()
    assert not counters.read().has_dispatcher
    counters.dispatcher_started()
    assert counters.read().pool is None
    report = PoolReport(running_tasks=3)
    counters.pool_reported(report)
    assert counters.read().pool is report
    counters.dispatcher_lost()
    assert counters.read().pool is None
    assert counters.read().has_dispatcher


def test_a_kind_of_worker_nobody_knows_is_left_out():
    """A report can add no series, whatever kinds of worker it names."""
    counters = ServiceCounters()
    counters.pool_reported(PoolReport(busy_s={"tpu": 3.0, "cpu": 1.0}))
    assert counters.read().totals.worker_busy_s == {"cpu": 1.0, "gpu": 0.0}


def test_every_state_of_a_worker_is_a_label():
    """A report names only kinds and states of the closed sets."""
    assert {kind for kind, _ in PoolReport().workers} <= set(labels.KINDS)
    assert {state for _, state in PoolReport().workers} == set(labels.WORKER_STATES)
