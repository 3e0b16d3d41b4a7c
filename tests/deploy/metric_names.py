"""The service's metrics that a text of queries names, as rows of the table know them."""

from __future__ import annotations

import re

from pullback_server.metrics import METRICS
from pullback_server.metrics.table import Kind

_HISTOGRAMS = {metric.name for metric in METRICS if metric.kind is Kind.HISTOGRAM}


def named(text: str) -> set[str]:
    """Names beginning with `pullback_`; a histogram's series count as the histogram."""
    return {_row(name) for name in re.findall(r"\bpullback_\w+", text)}


def _row(series: str) -> str:
    base = re.sub(r"_(bucket|sum|count)$", "", series)
    return base if base in _HISTOGRAMS else series
