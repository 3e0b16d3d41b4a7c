"""The table of metrics as Prometheus reads it: read at the scrape, nothing is kept here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pullback_server.metrics.counters import Reading, ServiceCounters
from pullback_server.metrics.histogram import Histogram
from pullback_server.metrics.table import METRICS, Kind, Metric


class ServiceCollector(Collector):
    """Every metric of the table, read from one server's counters."""

    def __init__(self, counters: ServiceCounters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Family]:
        """The families of a scrape."""
        reading = self._counters.read()
        return (FAMILIES[metric.kind](metric, reading) for metric in METRICS)


def new_registry(counters: ServiceCounters) -> CollectorRegistry:
    """A registry of the service's metrics and of the usual ones of its process (`process_…`)."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(counters))
    ProcessCollector(registry=registry)
    return registry


def _counter(metric: Metric, reading: Reading) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for values, value in metric.read(reading):
        assert not isinstance(value, Histogram)
        family.add_metric(values, value)
    return family


def _gauge(metric: Metric, reading: Reading) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for values, value in metric.read(reading):
        assert not isinstance(value, Histogram)
        family.add_metric(values, value)
    return family


def _histogram(metric: Metric, reading: Reading) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for values, value in metric.read(reading):
        assert isinstance(value, Histogram)
        bounds = (*map(floatToGoString, value.bounds), "+Inf")
        buckets = list(zip(bounds, value.cumulative(), strict=True))
        family.add_metric(values, buckets=buckets, sum_value=value.sum)
    return family


def _info(metric: Metric, reading: Reading) -> Family:
    family = InfoMetricFamily(metric.name.removesuffix("_info"), metric.help)
    for values, _ in metric.read(reading):
        family.add_metric((), dict(zip(metric.labels, values, strict=True)))
    return family


FAMILIES: dict[Kind, Callable[[Metric, Reading], Family]] = {
    Kind.COUNTER: _counter,
    Kind.GAUGE: _gauge,
    Kind.HISTOGRAM: _histogram,
    Kind.INFO: _info,
}
