"""Prometheus's text format, read: samples by name and labels. Comments and timestamps are skipped.

Source: Prometheus text-based exposition format 0.0.4; exemplars of OpenMetrics are cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf

from pullback_graph.errors import ServiceError

_SAMPLE = re.compile(
    r"""(?P<name>[A-Za-z_:][\w:]*)
        (?:\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?
        \s+(?P<value>\S+)""",
    re.ASCII | re.VERBOSE,
)
_LABEL = re.compile(r'(?P<name>[A-Za-z_]\w*)\s*=\s*"(?P<value>(?:[^"\\]|\\.)*)"', re.ASCII)
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Scrape:
    """All samples of one moment; `at_s` by the clock of whoever scraped."""

    samples: tuple[Sample, ...]
    at_s: float

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 where there are none."""
        return sum([sample.value for sample in self.named(name, **labels)])

    def named(self, name: str, **labels: str) -> Iterator[Sample]:
        """A metric's samples that have these labels."""
        for sample in self._by_name.get(name, ()):
            if all(sample.labels.get(key) == value for key, value in labels.items()):
                yield sample

    def values(self, name: str, label: str) -> list[str]:
        """The values that a label of a metric has, in order of appearance."""
        found = [sample.labels.get(label, "") for sample in self._by_name.get(name, ())]
        return list(dict.fromkeys(found))

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """A histogram's cumulative counts: (upper bound, count), bounds rising."""
        counts: dict[float, float] = {}
        for sample in self.named(f"{name}_bucket", **labels):
            bound = _number(sample.labels.get("le", "+Inf"))
            counts[bound] = counts.get(bound, 0.0) + sample.value
        return sorted(counts.items())

    @cached_property
    def _by_name(self) -> dict[str, list[Sample]]:
        found: dict[str, list[Sample]] = {}
        for sample in self.samples:
            found.setdefault(sample.name, []).append(sample)
        return found


def parse_scrape(text: str, at_s: float) -> Scrape:
    """The samples of a page of metrics.

    Raises:
        ServiceError: a line is no sample.
    """
    lines = (line.strip() for line in text.splitlines())
    return Scrape(tuple([_sample(line) for line in lines if line and line[0] != "#"]), at_s)


def _sample(line: str) -> Sample:
    match = _SAMPLE.match(line)
    try:
        if match is None:
            raise ValueError
        value = _number(match["value"])
    except ValueError:
        raise ServiceError(
            f"the metrics page has a line that is no sample: {line[:80]!r}; is it Pullback's?"
        ) from None
    labels = {m["name"]: _unescaped(m["value"]) for m in _LABEL.finditer(match["labels"] or "")}
    return Sample(match["name"], labels, value)


def _number(text: str) -> float:
    return {"+Inf": inf, "-Inf": -inf}.get(text) or float(text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\[\\\"n]", lambda match: _ESCAPES[match.group()], text)
