"""The queries of the provisioned dashboard, as Grafana fills them in for Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.deploy.prometheus_process import RATE_INTERVAL

DASHBOARD = (
    Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards" / "pullback.json"
)
VARIABLES = {"$__rate_interval": RATE_INTERVAL, "$job": ".*", "$instance": ".*"}


class Query(NamedTuple):
    """A query of a panel."""

    panel: str
    promql: str


def dashboard() -> dict[str, Any]:
    """The dashboard as it is provisioned."""
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return loaded


def panels() -> Iterator[dict[str, Any]]:
    """The panels that show something."""
    return (panel for panel in dashboard()["panels"] if panel["type"] != "row")


def queries() -> list[Query]:
    """Every query of every panel, for all servers."""
    return [
        Query(panel["title"], filled_in(target["expr"]))
        for panel in panels()
        for target in panel["targets"]
    ]


def variable_queries() -> list[Query]:
    """What fills the dashboard's own choices, as plain queries."""
    return [
        Query(f"variable {v['name']}", _plain(v["query"]["query"]))
        for v in dashboard()["templating"]["list"]
        if v["type"] == "query"
    ]


def filled_in(promql: str) -> str:
    """The query with every variable replaced."""
    for name, value in VARIABLES.items():
        promql = promql.replace(name, value)
    assert "$" not in promql, f"a variable nobody fills in: {promql}"
    return promql


def _plain(lookup: str) -> str:
    """`label_values(series, label)` as a query that returns data when the lookup does."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", lookup)
    assert found, f"not a lookup of label values: {lookup}"
    return filled_in(f"count by ({found[2]}) ({found[1]}) and on () vector(1)")
