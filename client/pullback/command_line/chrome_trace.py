"""A job's timeline in Chrome's trace format, which Perfetto (ui.perfetto.dev) and browsers show.

A worker is a thread; what a task fetched, compiled and ran are complete events, one behind the
other; times there are microseconds. With the job's plan, arrows lead from a task to those that
read what it found, and a counter says what running tasks were estimated to hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from pullback.remote.descriptions import Task
from pullback_graph.errors import RequestError
from pullback_graph.job import Metrics
from pullback_graph.timeline import TaskSpan

_PROCESS = 1
_MICRO = 1e6
_MOMENT_US = 1e-3
"""A viewer's clock counts nanoseconds; an arrow leaves one before its slice's end."""


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


def save_trace(
    path: Path, metrics: Metrics, field: str = "--trace", tasks: Sequence[Task] = ()
) -> None:
    """Write the file; `tasks` are the job's plan, where it is known.

    Raises:
        RequestError: it cannot be written.
    """
    try:
        path.write_text(json.dumps(trace(metrics, tasks), allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}", field=field) from None


def trace(metrics: Metrics, tasks: Sequence[Task] = ()) -> dict[str, Any]:
    """The object of a trace file."""
    planned = tasks if len(tasks) == metrics.tasks else ()
    told = {"split": metrics.split, "split_reason": metrics.split_reason}
    if metrics.timeline_omitted:
        told["omitted"] = f"{metrics.timeline_omitted} tasks more"
    return {"traceEvents": [*_events(metrics, planned)], "displayTimeUnit": "ms", "otherData": told}


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


def _events(metrics: Metrics, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
    workers = {span.worker: None for span in sorted(metrics.timeline, key=_order)}
    threads = {worker: number for number, worker in enumerate(workers, start=1)}
    yield _told("process_name", 0, name=f"pullback, split {metrics.split or 'none'}")
    for worker, thread in threads.items():
        yield _told("thread_name", thread, name=_title(worker))
        yield _told("thread_sort_index", thread, sort_index=thread)
    made = slices(metrics.timeline)
    yield from [_complete(own, threads[own.span.worker], tasks) for own in made]
    yield from _arrows(made, threads, tasks)
    running = [own for own in made if own.category not in ("transfer", "compile")]
    yield from _counter("tasks running", "tasks", [(own, 1) for own in running])
    if tasks:
        held = [(own, tasks[own.span.task].peak_bytes) for own in running if _is_of(own, tasks)]
        yield from _counter("memory of running tasks, estimated", "bytes", held)


def _complete(own: Slice, thread: int, tasks: Sequence[Task]) -> dict[str, Any]:
    """What a worker did, as an event with a length."""
    span = own.span
    args = {"task": span.task, "attempts": span.attempts, "executor": span.executor}
    if _is_of(own, tasks):
        planned = tasks[span.task]
        args |= {
            "nodes": planned.nodes,
            "flops": f"{planned.flops:.6g}",
            "estimated_ms": f"{planned.estimated_s * 1e3:.6g}",
            "estimated_bytes": planned.peak_bytes,
        }
    times = {"ts": own.start_s * _MICRO, "dur": (own.end_s - own.start_s) * _MICRO}
    head = {"name": own.name, "cat": own.category, "ph": "X", **times}
    return {**head, "pid": _PROCESS, "tid": thread, "args": args}


def _is_of(own: Slice, tasks: Sequence[Task]) -> bool:
    return own.span.task < len(tasks)


# --- what a plan adds -----------------------------------------------------------------------------


def _arrows(
    made: Sequence[Slice], threads: dict[str, int], tasks: Sequence[Task]
) -> Iterator[dict[str, Any]]:
    """A flow from what found a value to what read it, for each pair of tasks of the timeline.

    Ends bind to the slice around them, so each lies within its own, and none before its start.
    """
    first: dict[int, Slice] = {}
    last: dict[int, Slice] = {}
    for own in made:
        if (own.end_s - own.start_s) * _MICRO > 10 * _MOMENT_US:
            first.setdefault(own.span.task, own)
            last[own.span.task] = own
    number = 0
    for task, reader in first.items():
        for earlier in tasks[task].depends_on if task < len(tasks) else ():
            if earlier in last:
                leaves = last[earlier].end_s * _MICRO - 2 * _MOMENT_US
                arrives = max(reader.start_s * _MICRO, leaves)
                if arrives < reader.end_s * _MICRO - _MOMENT_US:
                    number += 1
                    yield _end("s", number, leaves, threads[last[earlier].span.worker])
                    yield _end("f", number, arrives, threads[reader.span.worker]) | {"bp": "e"}


def _end(phase: str, number: int, ts: float, thread: int) -> dict[str, Any]:
    place = {"ts": ts, "pid": _PROCESS, "tid": thread}
    return {"name": "value", "cat": "value", "ph": phase, "id": number, **place}


def _counter(name: str, unit: str, held: Iterable[tuple[Slice, float]]) -> Iterator[dict[str, Any]]:
    """The sum of what slices hold while they last, at each moment that it changes."""
    steps = [step for own, size in held for step in ((own.start_s, size), (own.end_s, -size))]
    total = 0.0
    for at_s, alike in groupby(sorted(steps), key=lambda step: step[0]):
        total += sum([size for _, size in alike])
        head = {"name": name, "ph": "C", "ts": at_s * _MICRO, "pid": _PROCESS, "tid": 0}
        yield {**head, "args": {unit: total}}


# --- names ----------------------------------------------------------------------------------------


def _title(worker: str) -> str:
    return f"worker {worker}" if worker.isdigit() else worker


def _order(span: TaskSpan) -> tuple[int, str]:
    """Workers by number, others by name behind them."""
    numbered = span.worker.isdecimal() and len(span.worker) < 19
    return (int(span.worker) if numbered else 1 << 62, span.worker)


def _told(what: str, thread: int, **args: str | int) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": thread, "args": args}
