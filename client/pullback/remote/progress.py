"""A progress bar around a map, on standard error; rich is imported when one is shown."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from pullback.remote.job_window import Outcome
from pullback_graph.errors import PullbackError

Advance: TypeAlias = Callable[[bool], None]
"""Moves a bar on by one job; whether it failed."""


def is_shown(progress: bool | None) -> bool:
    """Whether to show a bar: as asked, else where standard error is a terminal."""
    return sys.stderr.isatty() if progress is None else progress


def counted(outcomes: Iterator[Outcome], jobs: Any) -> Iterator[Outcome]:
    """The same outcomes, counted on a bar as they pass."""
    with bar(_total(jobs)) as advance:
        for outcome in outcomes:
            advance(isinstance(outcome, PullbackError))
            yield outcome


async def acounted(outcomes: AsyncIterator[Outcome], jobs: Any) -> AsyncIterator[Outcome]:
    """As `counted`, for an async map."""
    with bar(_total(jobs)) as advance:
        async for outcome in outcomes:
            advance(isinstance(outcome, PullbackError))
            yield outcome


@contextmanager
def bar(total: int | None, label: str = "jobs") -> Iterator[Advance]:
    """A bar of jobs done and failed; `total` None shows how many, not how far."""
    from rich import progress  # noqa: PLC0415  (rich is only for those who look at it)
    from rich.console import Console  # noqa: PLC0415

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("[red]{task.fields[failed]}[/]"),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    failed = 0
    with progress.Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=total, failed="")

        def advance(has_failed: bool) -> None:
            nonlocal failed
            failed += has_failed
            shown.update(task, advance=1, failed=f"{failed} failed" if failed else "")

        yield advance


def _total(jobs: Any) -> int | None:
    try:
        return len(jobs)
    except TypeError:
        return None
