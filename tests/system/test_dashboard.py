"""A real Prometheus scrapes a real server: after a small load no panel is empty."""

from __future__ import annotations

from pathlib import Path

import pullback as pb
from examples.server_process import running_server
from tests.deploy.dashboard_queries import queries, variable_queries
from tests.deploy.prometheus_process import needs_prometheus, poll, scraping
from tests.deploy.real_load import RealLoad


@needs_prometheus
def test_every_query_of_the_dashboard_returns_data(tmp_path: Path):
    """Jobs through a client over Ray workers show on every panel."""
    with (
        running_server("--workers", "2") as server,
        scraping(server.http, tmp_path) as prometheus,
        pb.connect(server.address) as service,
    ):
        server.wait_for_workers(2)
        assert poll(prometheus.scraped), prometheus.get("targets")
        asked = {q.promql: q for q in [*queries(), *variable_queries()]}
        empty = prometheus.without_data(list(asked), RealLoad(service))
    assert not [asked[promql] for promql in empty]
