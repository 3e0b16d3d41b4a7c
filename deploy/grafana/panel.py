"""A panel of the dashboard, and the few shapes its queries have; the same for every metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        queries: (PromQL, legend) pairs; where the legend is one label in double braces, values
            of it that have a colour of their own get it.
        unit: Grafana's name of the unit.
        kind: Grafana's panel type.
        width: of the 24 columns.
        stack: `normal` or `percent`, or empty for lines.
        steps: thresholds, (from value, colour) after a green base; empty for none.
        maximum: end of the value axis, or None to let the data decide.
        names: what values are called, such as 1 for "up".
    """

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    stack: str = ""
    steps: tuple[tuple[float, str], ...] = ()
    maximum: float | None = None
    names: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def stat(title: str, description: str, query: str, unit: str, **more: Any) -> Panel:
    """A panel of one figure with its recent course behind it."""
    return Panel(
        title, description, ((query, title),), unit, kind="stat", width=3, height=4, **more
    )


SELECT = 'job=~"$job",instance=~"$instance"'
RANGE = "[$__rate_interval]"


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Sum of a counter's rates, by some labels, of the samples a matcher keeps."""
    grouped = f"sum by ({by}) " if by else "sum"
    matchers = f"{where},{SELECT}" if where else SELECT
    return f"{grouped}(rate({metric}{{{matchers}}}{RANGE}))"


def gauge(metric: str, by: str = "", where: str = "") -> str:
    """Sum of a gauge, by some labels."""
    grouped = f"sum by ({by}) " if by else "sum"
    matchers = f"{where},{SELECT}" if where else SELECT
    return f"{grouped}({metric}{{{matchers}}})"


def quantile(q: float, histogram: str, by: str = "", where: str = "") -> str:
    """A quantile of a histogram over the range, by some labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', labels, where)})"


def share(histogram: str, by: str, where: str) -> str:
    """Each label value's part of the sum of all observations that a matcher keeps."""
    total = f"{histogram}_sum"
    return f"{rate(total, by, where)} / scalar({rate(total, '', where)})"
