"""What a benchmark found: its workload, its figures, the goals they are held to, what was left out.

A report is data; it is printed as a table for people and as JSON for machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.table import Table


class Request(NamedTuple):
    """How a benchmark is to be run.

    Attributes:
        quick: small sizes: does it run at all.
        only: some of its workloads, where it has several; none named means all.
        threads: for every library; 0 means as many as there are processors.
    """

    quick: bool = False
    only: tuple[str, ...] = ()
    threads: int = 0


class Goal(NamedTuple):
    """What a figure should be: `at_most` or `at_least` a bound."""

    relation: str
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        return value <= self.bound if self.relation == "at_most" else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.relation == 'at_most' else '≥'} {self.bound:g}"


class Figure(NamedTuple):
    """One measured number, its unit (`x` for a ratio), and the goal it has, if any."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None

    def as_dict(self) -> dict[str, Any]:
        """The figure for JSON."""
        found: dict[str, Any] = {"name": self.name, "value": self.value, "unit": self.unit}
        if self.goal is not None:
            found |= {"goal": str(self.goal), "met": self.goal.is_met(self.value)}
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one benchmark.

    Attributes:
        workload: what was run, a line each: enough to judge the figures by.
        left_out: peers that could not be run, and why.
    """

    name: str
    command: str
    workload: Sequence[str]
    figures: Sequence[Figure]
    left_out: Sequence[str] = ()
    machine: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {
            "name": self.name,
            "command": self.command,
            "machine": dict(self.machine),
            "workload": list(self.workload),
            "figures": [figure.as_dict() for figure in self.figures],
            "left_out": list(self.left_out),
        }

    def tables(self) -> Iterator[RenderableType]:
        """What is printed between the workload and what was left out."""
        table = Table("figure", "value", "goal", "", box=None, pad_edge=False)
        table.columns[1].justify = "right"
        for figure in self.figures:
            table.add_row(figure.name, number(figure), *_verdict(figure))
        yield table

    def markdown(self) -> Iterator[str]:
        """The figures as lines of a table in Markdown."""
        yield "| | | goal |"
        yield "|---|---:|---|"
        for figure in self.figures:
            goal, missed = figure.goal, ""
            if goal is not None and not goal.is_met(figure.value):
                missed = ", missed"
            yield f"| {figure.name} | {number(figure)} | {goal or ''}{missed} |"


def show(report: Report, console: Console) -> None:
    """Print a report as a table."""
    console.rule(f"[bold]{report.name}")
    console.print(f"[dim]$[/] {report.command}", highlight=False)
    console.print(", ".join(f"{k} {v}" for k, v in report.machine.items()), highlight=False)
    for line in report.workload:
        console.print(f"- {line}", highlight=False)
    for part in report.tables():
        console.print(part, highlight=False)
    for line in report.left_out:
        console.print(f"[dim]not run: {line}[/]", highlight=False)


def number(figure: Figure) -> str:
    """The value with its unit, to three digits or so."""
    value = figure.value
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {figure.unit}".rstrip()


def _verdict(figure: Figure) -> tuple[str, str]:
    if figure.goal is None:
        return "", ""
    met = figure.goal.is_met(figure.value)
    return str(figure.goal), "[green]met[/]" if met else "[red]missed[/]"
