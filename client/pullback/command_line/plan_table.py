"""The tasks of a plan as a table: a line a task, or a line for all that are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pullback.remote.descriptions import PlanReport, Task
from pullback_graph.quantities import counted, duration, in_bytes, si

SHOWN_TASKS = 20
"""Tasks up to which each has a line of its own."""
_SHOWN_KINDS = 20
_LISTED = 6
_EACH = ("on", "nodes", "FLOP", "memory", "time")


def report_text(report: PlanReport) -> str:
    """A plan for people: the server's own words, then its tasks."""
    lines = [report.text] if report.text else []
    if len(report.tasks) > SHOWN_TASKS:
        lines += _by_kind(report.tasks)
    elif len(report.tasks) > 1:
        lines += _one_by_one(report.tasks)
    return "\n".join(lines)


def _one_by_one(tasks: Sequence[Task]) -> Iterator[str]:
    yield "tasks:"
    rows = [
        (str(number), task.phase, *_cells([task]), _listed(task.depends_on))
        for number, task in enumerate(tasks)
    ]
    yield from _table([("task", "phase", *_EACH, "after"), *rows])


def _by_kind(tasks: Sequence[Task]) -> Iterator[str]:
    """A line for tasks of one phase and as many nodes, in the order their first ones stand in."""
    kinds: dict[tuple[str, int, str, str], list[Task]] = {}
    for task in tasks:
        kinds.setdefault((task.phase, task.nodes, task.placement, task.executor), []).append(task)
    yield "tasks, alike ones together, with the most that one of them takes:"
    shown = [*kinds.values()][:_SHOWN_KINDS]
    rows = [(str(len(alike)), alike[0].phase, *_cells(alike)) for alike in shown]
    yield from _table([("tasks", "phase", *_EACH), *rows])
    left = len(tasks) - sum(map(len, shown))
    more = f"and {counted(left, 'task')} of other kinds; " if left else ""
    yield f"  {more}--draw FILE.svg shows what waits for what, --json lists all"


def _cells(alike: Sequence[Task]) -> tuple[str, ...]:
    """What is said of tasks that differ in size alone, at most."""
    first = alike[0]
    return (
        f"{first.placement} {first.executor}".strip(),
        str(first.nodes),
        si(max(task.flops for task in alike)),
        in_bytes(max(task.peak_bytes for task in alike)),
        duration(max(task.estimated_s for task in alike)),
    )


def _listed(before: Sequence[int]) -> str:
    shown = ", ".join(map(str, before[:_LISTED]))
    return f"{shown} and {len(before) - _LISTED} more" if len(before) > _LISTED else shown


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of words to the left, of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if head in ("phase", "on", "after") else cell.rjust(width)
            for head, cell, width in zip(rows[0], row, widths, strict=True)
        ]
        yield "  " + "  ".join(cells).rstrip()
