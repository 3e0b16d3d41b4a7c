"""`pullback top`: the page of metrics read, rates and quantiles between two of them, the frame."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pullback.command_line.exposition import parse_scrape
from pullback.command_line.top_frame import Between, frame, percent, quantile
from pullback_graph.errors import ServiceError
from pullback_server.metrics.table import METRICS
from tests.cli.running import run


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["a", 'q"uote', "back\\slash", "new\nline", "{b}", "é,="]),
                  st.sampled_from(["x", ""])),
        st.floats(allow_nan=False),
        max_size=8,
    )
)  # fmt: skip
def test_what_the_library_writes_is_read(values: dict[tuple[str, str], float]):
    """Any labels and values that Prometheus's own library puts on a page come back."""
    registry = CollectorRegistry()
    gauge = Gauge("g", 'Help with "quotes" and \\.', ["a", "b"], registry=registry)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    scrape = parse_scrape(generate_latest(registry).decode(), 0.0)
    found = {(s.labels["a"], s.labels["b"]): s.value for s in scrape.samples}
    assert found == values


def test_timestamps_and_comments_are_skipped():
    """What stands after the value, and lines that start with #."""
    scrape = parse_scrape('# HELP a b\n\na{b="c"} 3 1395066363000\nd 1e3 # {t="x"} 1\n', 0.0)
    assert [(s.name, s.labels, s.value) for s in scrape.samples] == [
        ("a", {"b": "c"}, 3.0),
        ("d", {}, 1000.0),
    ]


@pytest.mark.parametrize("text", ["<html>", "a b", "a{b= 1", "a", '{"ok": 1}'])
def test_another_page_is_refused(text: str):
    """A page that is no page of metrics is the server's fault, and is shown."""
    with pytest.raises(ServiceError, match="no sample"):
        parse_scrape(text, 0.0)


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_quantiles_lie_in_the_bucket_of_the_true_one(values: list[float], share: float):
    """The estimate and the exact quantile are in the same bucket."""
    bounds = [0.1, 0.5, 1.0, 2.0, 5.0, inf]
    buckets = [(bound, float(sum(value <= bound for value in values))) for bound in bounds]
    exact = sorted(values)[max(0, -(-len(values) * share // 1).__int__() - 1)]
    place = next(i for i, bound in enumerate(bounds) if exact <= bound)
    low = 0.0 if place == 0 else bounds[place - 1]
    found = quantile(share, buckets)
    assert low - 1e-9 <= found <= (bounds[place] if bounds[place] < inf else bounds[-2]) + 1e-9


def test_no_observations_have_no_quantile():
    """Nothing was added, nothing is known."""
    assert isnan(quantile(0.5, []))
    assert isnan(quantile(0.5, [(1.0, 0.0), (inf, 0.0)]))


def page(jobs: int, seconds: list[float], busy_s: float) -> str:
    """A page with some of the service's metrics."""
    registry = CollectorRegistry()
    counter = Counter("pullback_jobs", ".", ["want", "outcome"], registry=registry)
    counter.labels("gradient", "ok").inc(jobs)
    counter.labels("value", "ok").inc(0)
    times = Histogram("pullback_job_seconds", ".", ["phase"], registry=registry, buckets=[1, 2, 4])
    for value in seconds:
        times.labels("total").observe(2 * value)
        times.labels("forward").observe(value)
        times.labels("queued").observe(value)
    workers = Gauge("pullback_workers", ".", ["kind", "state"], registry=registry)
    workers.labels("cpu", "busy").set(1)
    workers.labels("cpu", "idle").set(3)
    busy = Counter("pullback_worker_busy_seconds", ".", ["kind"], registry=registry)
    busy.labels("cpu").inc(busy_s)
    Counter("pullback_task_retries", ".", registry=registry).inc(jobs // 100)
    return generate_latest(registry).decode()


def test_the_frame_between_two_scrapes():
    """Rates per second, quantiles and shares of what was added, workers in use, trouble."""
    before = parse_scrape(page(100, [3.0] * 5, 1.0), 10.0)
    after = parse_scrape(page(300, [3.0] * 5 + [0.5] * 10, 5.0), 12.0)
    shown = {section.heads[0]: section for section in frame(Between(before, after))}
    assert ("jobs/s", "100") in shown["now"].rows
    assert shown["want"].heads == ("want", "ok/s")
    assert shown["want"].rows == (("gradient", "100"),)
    phases = {row[0]: row[1:] for row in shown["phase"].rows}
    assert phases["forward"] == ("500 ms", "990 ms", "50%")
    assert phases["total"][2] == "-"
    assert shown["workers"].rows == (("cpu", "3", "1", "50%"),)
    assert shown["trouble"].rows == (("tasks retried", "2", "3"),)


def test_a_restarted_server_counts_from_zero():
    """No rate is negative."""
    before = parse_scrape(page(300, [3.0] * 9, 5.0), 10.0)
    after = parse_scrape(page(10, [0.5], 1.0), 20.0)
    between = Between(before, after)
    assert between.rate("pullback_jobs_total") == 1.0
    assert between.quantile(0.5, "pullback_job_seconds", phase="forward") == 0.5


def test_every_metric_shown_is_one_the_server_has():
    """The names in the frame are rows of the server's table."""
    from pullback.command_line import top_frame

    known = {metric.name for metric in METRICS}
    source = top_frame.__loader__.get_source(top_frame.__name__)  # type: ignore[union-attr]
    used = {word for word in source.replace("{", '"').split('"') if word.startswith("pullback_")}
    assert used
    assert used <= known


def test_shares():
    """Whole percentages."""
    assert (percent(0.256), percent(float("nan"))) == ("26%", "-")


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def metrics_page() -> Iterator[str]:
    """An HTTP port that serves one page of metrics after another."""
    pages = iter(range(100, 10_000, 100))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page(next(pages), [0.5] * 10, 1.0).encode()
            status = 200 if self.path == "/metrics" else 404
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("form", ["{}", "http://{}/", "http://{}/metrics"])
def test_one_frame(metrics_page: str, form: str):
    """--once prints a frame and ends; the address may be written as a page."""
    done = run("top", "--http", form.format(metrics_page), "--once", "--interval", "0.05")
    assert done.status == 0
    assert "gradient" in done.output
    assert "jobs/s" in done.output


def test_nobody_there():
    """One line that says how to start a server, and which flag sets the port."""
    done = run("top", "--http", "localhost:1", "--once")
    assert (done.status, done.output) == (1, "")
    assert "`pullback serve`" in done.errors
    assert "--http-port" in done.errors


def test_no_address():
    """What is no address is the caller's fault."""
    done = run("top", "--http", "https://example.org/page", "--once")
    assert done.status == 2
    assert "host:port" in done.errors
