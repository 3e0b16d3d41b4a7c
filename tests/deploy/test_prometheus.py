"""A real Prometheus: it scrapes our listener, accepts the rules, and answers every panel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pullback_server.metrics import METRICS, MetricsServer, ServiceCounters
from pullback_server.metrics.table import Kind
from tests.deploy.dashboard_queries import Query, queries, variable_queries
from tests.deploy.prometheus_process import Prometheus, needs_prometheus, poll, scraping
from tests.deploy.synthetic_load import SyntheticLoad

pytestmark = needs_prometheus
LOAD = SyntheticLoad(ServiceCounters())


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a listener with the made-up load behind it."""
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        MetricsServer(LOAD.counters, port=0) as server,
        scraping(f"127.0.0.1:{server.port}", folder) as running,
    ):
        LOAD()
        yield running


def test_it_scrapes_the_listener(prometheus: Prometheus):
    """The target is up: the exposition is one that Prometheus takes."""
    assert poll(prometheus.scraped), prometheus.get("targets")


def test_every_query_of_the_dashboard_returns_data(prometheus: Prometheus):
    """After a small load no panel is empty, nor any of the dashboard's choices."""
    asked = {q.promql: q for q in [*queries(), *variable_queries()]}
    empty = prometheus.without_data(list(asked), LOAD)
    assert not [asked[promql] for promql in empty]


def test_panels_show_what_happened(prometheus: Prometheus):
    """Every fact of the load shows as more than zero: no panel reads a series nobody writes."""
    quiet = "pullback_dispatcher_restarts_total"
    asked = [Query(q.panel, f"{q.promql} > 0") for q in queries() if quiet not in q.promql]
    empty = prometheus.without_data([q.promql for q in asked], LOAD)
    assert not [q for q in asked if q.promql in empty]


def test_every_metric_arrives_under_its_name(prometheus: Prometheus):
    """The names of the table are the names in Prometheus."""
    stored = [
        f"{metric.name}_bucket" if metric.kind is Kind.HISTOGRAM else metric.name
        for metric in METRICS
    ]
    assert not prometheus.without_data(stored, LOAD)


def test_a_query_nobody_can_answer_is_noticed(prometheus: Prometheus):
    """The check above can fail: a metric that is not there has no data."""
    assert prometheus.without_data(["pullback_no_such_metric"], LOAD, deadline_s=0.0)


def test_the_rules_are_evaluated(prometheus: Prometheus):
    """Every alert rule is loaded and evaluates without an error."""

    def healthy() -> bool:
        (group,) = prometheus.get("rules")["groups"]
        return {rule["health"] for rule in group["rules"]} == {"ok"}

    assert poll(healthy), prometheus.get("rules")
