"""The engine's report: a table a case, each implementation's time, and how far the goals are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.table import Table

from benchmarks.contest import Outcome, Row, Verdict
from benchmarks.report import Report


class FirstTimes(NamedTuple):
    """Seconds to a first result in a fresh process, by implementation, and the goal for ours."""

    seconds: dict[str, float]
    ours: str
    peer: str
    bound: float

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        if self.ours not in self.seconds or self.peer not in self.seconds:
            return None
        return self.seconds[self.ours] / self.seconds[self.peer]

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio is not None and self.ratio <= self.bound


class Section(NamedTuple):
    """One case: what was computed, its outcome, or why there is none."""

    workload: str
    title: str
    about: str
    outcome: Outcome
    fault: str = ""
    left_out: tuple[str, ...] = ()
    first: FirstTimes | None = None


@dataclass(frozen=True, slots=True)
class EngineReport(Report):
    """A report whose figures stand in a table for each case."""

    sections: Sequence[Section] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        found = Report.as_dict(self)
        del found["figures"]
        return found | {"sections": [_as_dict(section) for section in self.sections]}

    def tables(self) -> Iterator[RenderableType]:
        """A table a case, its goals below it."""
        for section in self.sections:
            yield f"\n[bold]{section.title}[/]\n[dim]{section.about}[/]"
            yield from _shown(section)

    def markdown(self) -> Iterator[str]:
        """The sections as they stand in RESULTS.md."""
        for section in self.sections:
            yield f"### {section.title}"
            yield ""
            yield f"{section.about[:1].upper()}{section.about[1:]}."
            yield ""
            yield from _markdown(section)
            yield ""


def duration(seconds: float) -> str:
    """Seconds with a unit that fits, to three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def ratio_text(ratio: float | None) -> str:
    """A ratio to three digits, or a dash."""
    return "–" if ratio is None else f"{ratio:.3g}"


def _as_dict(section: Section) -> dict[str, Any]:
    outcome, first = section.outcome, section.first
    return {
        "workload": section.workload,
        "title": section.title,
        "about": section.about,
        "fault": section.fault,
        "implementations": [
            {**asdict(row), "ours_over_it": outcome.ratios.get(row.name)} for row in outcome.rows
        ],
        "goals": [
            {"goal": v.target.label, "against": v.peer, "ratio": v.ratio, "met": v.is_met}
            for v in outcome.verdicts
        ],
        "first_gradient": None
        if first is None
        else {**first._asdict(), "ratio": first.ratio, "met": first.is_met},
    }


def _shown(section: Section) -> Iterator[RenderableType]:
    if section.fault:
        yield f"[red]{section.fault}[/]"
    table = Table("implementation", "median", "ours / it", "", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for row in section.outcome.rows:
        table.add_row(row.name, *_cells(section, row), f"[dim]{row.reason}[/]")
    yield table
    for verdict in section.outcome.verdicts:
        mark = "[green]met[/]" if verdict.is_met else "[red]missed[/]"
        yield f"  goal: {_goal(verdict)} {mark}"
    if section.first is not None:
        times = ", ".join(f"{k} {duration(v)}" for k, v in section.first.seconds.items())
        mark = "[green]met[/]" if section.first.is_met else "[red]missed[/]"
        yield f"  first gradient: {times}; goal: {_first_goal(section.first)} {mark}"


def _markdown(section: Section) -> Iterator[str]:
    if section.fault:
        yield section.fault
        return
    yield "| implementation | median | ours / it |"
    yield "|---|---:|---:|"
    for row in section.outcome.rows:
        if row.median_s is not None:
            yield f"| {row.name} | {' | '.join(_cells(section, row))} |"
    yield ""
    goals = [(_goal(v), v.is_met) for v in section.outcome.verdicts]
    if section.first is not None:
        times = ", ".join(f"{k} {duration(v)}" for k, v in section.first.seconds.items())
        goals.append(
            (f"first gradient ({times}): {_first_goal(section.first)}", section.first.is_met)
        )
    for goal, met in goals:
        yield f"- {goal}{'' if met else ', **missed**'}"
    for row in section.outcome.rows:
        if row.median_s is None:
            yield f"- not timed: {row.name} ({row.reason})"


def _cells(section: Section, row: Row) -> tuple[str, str]:
    if row.median_s is None:
        return "–", "–"
    return duration(row.median_s), ratio_text(section.outcome.ratios.get(row.name))


def _goal(verdict: Verdict) -> str:
    against = f" (against {verdict.peer})" if verdict.peer else ""
    return f"{verdict.target.label}: {ratio_text(verdict.ratio)}{against}"


def _first_goal(first: FirstTimes) -> str:
    return f"≤ {first.bound:g} × {first.peer}: {ratio_text(first.ratio)}"
