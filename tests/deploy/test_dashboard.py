"""The dashboard: generated, complete, and made of metrics that there are."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from deploy.grafana import dashboard as generator
from pullback_server.metrics import METRICS
from tests.deploy.dashboard_queries import dashboard, filled_in, panels, queries
from tests.deploy.metric_names import named
from tests.deploy.prometheus_process import PROMETHEUS_FOLDER

PANELS = list(panels())
TITLES = [panel["title"] for panel in PANELS]
PROVISIONING = PROMETHEUS_FOLDER.parent / "grafana" / "provisioning"


def test_the_json_is_what_the_table_makes():
    """The committed dashboard has not drifted from its table."""
    assert generator.main(["--check"]) == 0


def test_drift_is_noticed(tmp_path, capsys):
    """The check fails on a missing and on a changed file, and passes on what it wrote."""
    path = tmp_path / "folder" / "pullback.json"
    assert generator.main(["--check", "--out", str(path)]) == 1
    assert generator.main(["--out", str(path)]) == 0
    assert generator.main(["--check", "--out", str(path)]) == 0
    path.write_text(path.read_text().replace("Latency", "Delay"))
    assert generator.main(["--check", "--out", str(path)]) == 1
    assert "drifted" in capsys.readouterr().out


def test_queries_ask_only_for_metrics_there_are():
    """Every metric named on the dashboard is a row of the table."""
    assert named(" ".join(q.promql for q in queries())) <= {metric.name for metric in METRICS}


def test_every_metric_is_on_the_dashboard():
    """No metric is counted that nobody can see."""
    assert {metric.name for metric in METRICS} <= named(" ".join(q.promql for q in queries()))


@pytest.mark.parametrize(
    ("fact", "promql"),
    {
        "jobs/s by want and outcome": r"sum by \(want, outcome\) \(rate\(pullback_jobs_total",
        "latency quantiles by phase": r"histogram_quantile\(0.99, sum by \(le, phase\)",
        "forward/backward/reduce shares": r"job_seconds_sum\{phase=~\"forward.*/ scalar\(",
        "queue depth": r"pullback_queue_depth_jobs",
        "in-flight": r"pullback_jobs_in_flight",
        "worker utilisation": r"worker_busy_seconds_total.*/.*pullback_workers",
        "cache hit ratio": r"cache_hits_total.*/.*cache_misses_total",
        "bytes": r"pullback_received_bytes_total",
        "adjoint evaluations": r"rate\(pullback_adjoint_evaluations_total",
        "FLOP/s": r"rate\(pullback_flops_total",
        "errors by reason": r"sum by \(outcome\) \(rate\(pullback_jobs_total\{outcome!=\"ok\"",
        "rejections by reason": r"sum by \(reason\) \(rate\(pullback_rejected_requests_total",
        "retries": r"rate\(pullback_task_retries_total",
    }.items(),
)
def test_the_dashboard_shows(fact, promql):
    """What a dashboard of this service has to show at least."""
    assert any(re.search(promql, query.promql) for query in queries()), fact


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_every_panel_is_readable(panel):
    """Each panel has a title of its own, a description, a unit, queries with legends, a source."""
    assert TITLES.count(panel["title"]) == 1 or panel["type"] != "timeseries"
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert filled_in(target["expr"])


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_queries_can_be_narrowed_to_a_server(panel):
    """Each query selects by the dashboard's job and instance wherever it names a series."""
    for target in panel["targets"]:
        selectors = re.findall(r"\b(?:pullback|process)_\w+(\{[^}]*\})?", target["expr"])
        assert selectors
        assert all('job=~"$job",instance=~"$instance"' in selector for selector in selectors)


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_legends_name_labels_the_query_keeps(panel):
    """A label in a legend is one the result has."""
    for target in panel["targets"]:
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        if "sum" in target["expr"]:
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_legends_leave_out_what_did_not_occur(panel):
    """A label has up to twelve values, all of them exported: those at zero only fill the legend."""
    by_label = panel["type"] == "timeseries" and "{{" in panel["targets"][0]["legendFormat"]
    hidden = [
        item["value"]
        for override in panel["fieldConfig"]["overrides"]
        for item in override["properties"]
        if override["matcher"]["id"] == "byValue"
    ]
    assert hidden == [{"legend": True, "tooltip": True, "viz": False}] * by_label


def test_panels_do_not_overlap():
    """The layout fills 24 columns without two panels in one place."""

    def cells(panel):
        p = panel["gridPos"]
        return {
            (x, y) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])
        }

    everything = dashboard()["panels"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in everything)
    assert not any(cells(a) & cells(b) for a, b in combinations(everything, 2))
    assert len({panel["id"] for panel in everything}) == len(everything)


def test_the_data_source_knows_the_scrape_interval():
    """Grafana's rate interval follows the interval Prometheus scrapes at."""
    source = (PROVISIONING / "datasources" / "prometheus.yaml").read_text("utf-8")
    config = (PROMETHEUS_FOLDER / "prometheus.yml").read_text("utf-8")
    (scrape,) = re.findall(r"scrape_interval: (\w+)", config)
    (interval,) = re.findall(r"timeInterval: (\w+)", source)
    assert interval == scrape
