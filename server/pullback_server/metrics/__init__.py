"""Metrics of one server: counters stated on the hot path, read at a scrape, shown over HTTP.

`ServiceCounters` is what the front end talks to; `MetricsServer` is what a browser and Prometheus
talk to; `table.METRICS` is the list both rest on.
"""

from pullback_server.metrics.counters import Reading, ServiceCounters
from pullback_server.metrics.http import DEFAULT_PORT, MetricsServer
from pullback_server.metrics.pool_report import PoolReport
from pullback_server.metrics.table import METRICS, Metric

__all__ = [
    "DEFAULT_PORT",
    "METRICS",
    "Metric",
    "MetricsServer",
    "PoolReport",
    "Reading",
    "ServiceCounters",
]
