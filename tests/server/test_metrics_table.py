"""The table of metrics: a golden list, the law of names, and that all who derive from it agree."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pullback_graph import want
from pullback_graph.errors import ERRORS
from pullback_graph.job import Metrics
from pullback_server.metrics import METRICS, ServiceCounters, labels
from pullback_server.metrics.collector import new_registry
from pullback_server.metrics.histogram import Histogram
from pullback_server.metrics.live_page import live_page
from pullback_server.metrics.reference import markdown
from pullback_server.metrics.snapshot import snapshot
from pullback_server.metrics.table import Kind
from tests.deploy.synthetic_load import SyntheticLoad

GOLDEN = Path(__file__).with_name("metric_names.txt")
BASE_UNITS = {"seconds", "bytes"}
COUNTED = {"jobs", "tasks", "nodes", "evaluations", "flops", "workers", "requests"}
EVENTS = {"hits", "misses", "retries", "restarts", "lost", "killed", "promotions"}
STATES = {"flight", "up", "info"}


@pytest.fixture
def loaded() -> ServiceCounters:
    """Counters that have seen every fact."""
    counters = ServiceCounters()
    load = SyntheticLoad(counters)
    load()
    load()
    return counters


def test_metrics_match_the_golden_list():
    """Dashboards rest on names, types and labels: a change of one is a change of this list."""
    lines = [f"{m.name} {m.kind.value} {','.join(m.labels)}".strip() for m in METRICS]
    assert lines == GOLDEN.read_text("utf-8").splitlines()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_keep_the_law(metric):
    """`pullback_<noun>_<unit>[_total]`, counters alone with _total; the help is a sentence."""
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert re.fullmatch(r"pullback(_[a-z]+)+", metric.name)
    last = metric.name.removesuffix("_total").rsplit("_", 1)[1]
    assert last in BASE_UNITS | COUNTED | EVENTS | STATES
    assert metric.help.endswith(".")


def test_names_are_unique():
    """One row a metric."""
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_samples_fit_their_row(metric, loaded):
    """Every sample has a value per label, each series once, histograms where the row says so."""
    samples = list(metric.read(loaded.read()))
    assert samples, "a full load leaves no metric empty"
    assert all(len(values) == len(metric.labels) for values, _ in samples)
    assert len({values for values, _ in samples}) == len(samples)
    for _, value in samples:
        assert isinstance(value, Histogram) == (metric.kind is Kind.HISTOGRAM)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_series_do_not_depend_on_the_load(metric, loaded):
    """A counter's series are there at zero from the start, so that the first event is a rise."""
    if metric.kind in {Kind.COUNTER, Kind.HISTOGRAM}:
        before = {values for values, _ in metric.read(ServiceCounters().read())}
        assert before == {values for values, _ in metric.read(loaded.read())}


@pytest.mark.parametrize(
    ("generate", "parse"),
    [(generate_latest, parse_text), (generate_openmetrics, parse_openmetrics)],
    ids=["text", "openmetrics"],
)
def test_a_scrape_parses_and_carries_every_row(generate, parse, loaded):
    """Both exposition formats are valid and say for each row its type, help and values."""
    families = {f.name: f for f in parse(generate(new_registry(loaded)).decode())}
    for metric in METRICS:
        name = metric.name.removesuffix("_total")
        family = families[name if parse is parse_text else name.removesuffix("_info")]
        plain = "gauge" if metric.kind is Kind.INFO else metric.kind.value
        assert family.documentation == metric.help
        assert family.type == (plain if parse is parse_text else metric.kind.value)
        assert {k for s in family.samples for k in s.labels} - {"le"} == set(metric.labels)


def test_the_scrape_shows_the_numbers(loaded):
    """Values arrive: counters, gauges, and a histogram's buckets, count and sum."""
    families = parse_text(generate_latest(new_registry(loaded)).decode())
    value = {(s.name, *sorted(s.labels.items())): s.value for f in families for s in f.samples}
    assert value["pullback_nodes_total",] == 2 * len(labels.WANTS) * (400 + 9 + 9)
    assert value["pullback_workers", ("kind", "cpu"), ("state", "busy")] == 3
    assert value["pullback_queue_depth_jobs",] == 1 + 2
    assert value["pullback_batch_jobs_count",] == 2
    assert value["pullback_batch_jobs_sum",] == 64
    assert value["pullback_batch_jobs_bucket", ("le", "16.0")] == 0
    assert value["pullback_batch_jobs_bucket", ("le", "32.0")] == 2
    assert value["pullback_batch_jobs_bucket", ("le", "+Inf")] == 2


def test_a_server_without_workers_shows_no_pool():
    """No dispatcher is not a dispatcher that is down: its series are absent then."""
    text = generate_latest(new_registry(ServiceCounters())).decode()
    assert "\npullback_dispatcher_up" not in text
    assert "\npullback_workers{" not in text
    assert "\npullback_queue_depth_jobs 0.0" in text


def test_a_lost_dispatcher_shows_as_down():
    """Its workers count as none until the next one reports."""
    counters = ServiceCounters()
    SyntheticLoad(counters)()
    counters.dispatcher_lost()
    text = generate_latest(new_registry(counters)).decode()
    assert "\npullback_dispatcher_up 0.0" in text
    assert '\npullback_workers{kind="cpu",state="busy"} 0.0' in text
    assert "\npullback_tasks_total 12.0" in text


def test_the_snapshot_holds_the_same_metrics(loaded):
    """The live page sees what Prometheus sees."""
    data = json.loads(snapshot(loaded.read(), time_s=5.0, uptime_s=2.0, unready="why"))
    assert (data["time_s"], data["uptime_s"], data["unready"]) == (5.0, 2.0, "why")
    assert list(data["metrics"]) == [metric.name for metric in METRICS]
    phases = {v[0]: h for v, h in data["metrics"]["pullback_job_seconds"]["samples"]}
    assert sum(phases["forward"]["counts"]) == 2 * len(labels.WANTS)


def test_the_live_page_asks_only_for_metrics_there_are():
    """Every metric named by the page's script is a row of the table."""
    named = set(re.findall(r"pullback_[a-z_]+", live_page().decode()))
    assert named <= {metric.name for metric in METRICS}
    assert len(named) > 10


def test_the_reference_has_a_line_a_metric():
    """The table for people is complete."""
    lines = markdown().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [metric.name for metric in METRICS]
    assert all(line.count("|") == 6 for line in lines)


def test_label_sets_follow_what_they_label():
    """Wants, phases and outcomes are those of the graph language, none missing."""
    wants = {name.strip().lower() for name in str(want.Want).split("|")}
    assert set(labels.WANTS) == wants | {labels.UNKNOWN}
    seconds = {f.name.removesuffix("_s") for f in fields(Metrics) if f.name.endswith("_s")}
    assert set(labels.PHASES) == seconds
    assert {kind.status.lower() for kind in ERRORS.values()} == set(labels.OUTCOMES) - {"ok"}
