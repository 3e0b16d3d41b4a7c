"""The metrics for people: the table of metrics as Markdown."""

from __future__ import annotations

from pullback_server.metrics.table import METRICS, Metric


def markdown() -> str:
    """A table with a line per metric."""
    head = ["| metric | type | labels | meaning | known to |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(_line, METRICS)]) + "\n"


def _line(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    cells = (f"`{metric.name}`", metric.kind.value, labels, metric.help, metric.source)
    return f"| {' | '.join(cells)} |"
