"""The table of metrics as one JSON object, for the live page: the same numbers as `/metrics`."""

from __future__ import annotations

import json
from typing import Any

from pullback_server.metrics.counters import Reading
from pullback_server.metrics.histogram import Histogram
from pullback_server.metrics.table import METRICS, Metric


def snapshot(reading: Reading, *, time_s: float, uptime_s: float, unready: str) -> bytes:
    """Every metric, as `{name: {type, labels, samples: [[label values, value], ...]}}`.

    Args:
        time_s: on any steady clock; rates are differences over it.
        unready: why the server is not ready, empty if it is.

    Returns:
        UTF-8 JSON. A histogram's value is `{bounds, counts, sum}`, its counts by bucket and not
        cumulated, the last for what lies above all bounds.
    """
    metrics = {metric.name: _metric(metric, reading) for metric in METRICS}
    head = {"time_s": time_s, "uptime_s": uptime_s, "unready": unready}
    return json.dumps({**head, "metrics": metrics}, separators=(",", ":")).encode()


def _metric(metric: Metric, reading: Reading) -> dict[str, Any]:
    samples = [[values, _value(value)] for values, value in metric.read(reading)]
    return {"type": metric.kind.value, "labels": metric.labels, "samples": samples}


def _value(value: float | Histogram) -> Any:
    if isinstance(value, Histogram):
        return {"bounds": value.bounds, "counts": value.counts, "sum": value.sum}
    return value
