"""A job's timeline in Chrome's trace format, which Perfetto (ui.perfetto.dev) and browsers show.

A worker is a thread; what a task fetched, compiled and ran are complete events, one behind the
other; times there are microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from pullback_graph.errors import RequestError
from pullback_graph.job import Metrics
from pullback_graph.timeline import TaskSpan

_PROCESS = 1
_MICRO = 1e6


class Slice(NamedTuple):
    """What a worker did from when to when, in seconds."""

    name: str
    category: str
    start_s: float
    end_s: float
    span: TaskSpan


def check_writable(path: Path, field: str) -> None:
    """See that a file can be written before the job that fills it has run.

    Raises:
        RequestError: it is a folder, or there is none for it.
    """
    if path.is_dir():
        raise RequestError(f"{path} is a folder; name a file in it", field=field)
    if not path.parent.is_dir():
        raise RequestError(f"{path} cannot be written: no such folder; make it first", field=field)


def save_trace(path: Path, metrics: Metrics, field: str = "--trace") -> None:
    """Write the file.

    Raises:
        RequestError: it cannot be written.
    """
    try:
        path.write_text(json.dumps(trace(metrics), allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}", field=field) from None


def trace(metrics: Metrics) -> dict[str, Any]:
    """The object of a trace file."""
    told = {"split": metrics.split, "split_reason": metrics.split_reason}
    if metrics.timeline_omitted:
        told["omitted"] = f"{metrics.timeline_omitted} tasks more"
    return {"traceEvents": [*_events(metrics)], "displayTimeUnit": "ms", "otherData": told}


def slices(spans: tuple[TaskSpan, ...]) -> list[Slice]:
    """What was done, in the order it began, no two of one worker at the same time.

    Reports of one worker may overtake one another by a little, which a viewer would show as calls
    within calls: what seems to begin before the one ahead has ended begins then.
    """
    wanted = sorted([own for span in spans for own in _slices(span)], key=_by_start)
    ended_s: dict[str, float] = {}
    made = []
    for own in wanted:
        start_s = max(own.start_s, ended_s.get(own.span.worker, 0.0))
        ended_s[own.span.worker] = end_s = max(start_s, own.end_s)
        made.append(own._replace(start_s=start_s, end_s=end_s))
    return made


def _slices(span: TaskSpan) -> Iterator[Slice]:
    start_s, end_s = _told_s(span.start_s), _told_s(span.end_s)
    fetching_s, compiling_s = _told_s(span.transferring_s), _told_s(span.compiling_s)
    ran_s = start_s + min(compiling_s, max(0.0, end_s - start_s))
    if fetching_s:
        yield Slice(f"fetch {span.task}", "transfer", start_s - fetching_s, start_s, span)
    if compiling_s:
        yield Slice(f"compile {span.task}", "compile", start_s, ran_s, span)
    yield Slice(f"{span.phase} {span.task}", span.phase, ran_s, end_s, span)


def _told_s(seconds: float) -> float:
    """Seconds that a reply tells; 0 for what cannot be, or not in microseconds."""
    return seconds if isfinite(seconds * _MICRO) and seconds > 0.0 else 0.0


def _by_start(own: Slice) -> tuple[float, int]:
    return own.start_s, own.span.task


def _events(metrics: Metrics) -> Iterator[dict[str, Any]]:
    workers = {span.worker: None for span in sorted(metrics.timeline, key=_order)}
    threads = {worker: number for number, worker in enumerate(workers, start=1)}
    yield _named("process_name", 0, f"pullback, split {metrics.split or 'none'}")
    for worker, thread in threads.items():
        yield _named("thread_name", thread, f"worker {worker}" if worker.isdigit() else worker)
    for own in slices(metrics.timeline):
        span = own.span
        yield {
            "name": own.name,
            "cat": own.category,
            "ph": "X",
            "ts": own.start_s * _MICRO,
            "dur": (own.end_s - own.start_s) * _MICRO,
            "pid": _PROCESS,
            "tid": threads[span.worker],
            "args": {"task": span.task, "attempts": span.attempts, "executor": span.executor},
        }


def _order(span: TaskSpan) -> tuple[int, str]:
    """Workers by number, others by name behind them."""
    numbered = span.worker.isdecimal() and len(span.worker) < 19
    return (int(span.worker) if numbered else 1 << 62, span.worker)


def _named(what: str, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"name": name}}
