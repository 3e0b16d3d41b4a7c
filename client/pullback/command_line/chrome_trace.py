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

_NANO = 1e9
_LATEST_NS = 1 << 53
"""Later times are none: a number of a trace does not hold them to the nanosecond."""
_SHORTEST_NS, _POINTED_NS = 2, 8
"""A slice, and one that arrows touch, are at least so long. Viewers cut times to nanoseconds and
drop what then overlaps on a thread, so a slice is written one shorter than it is, and an arrow
leaves three before the end."""


class Slice(NamedTuple):
    """What a worker did from when to when, in nanoseconds."""

    name: str
    category: str
    start_ns: int
    end_ns: int
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
    events = [*_events(metrics, planned)]
    # No thread's number: viewers call the thread of its process's number the main one.
    process = 1 + max([event["tid"] for event in events])
    events = [{**event, "pid": process} for event in events]
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": told}


def slices(spans: tuple[TaskSpan, ...]) -> list[Slice]:
    """What was done, in the order it began, no two of one worker at the same time.

    Reports of one worker may overtake one another by a little, which a viewer would show as calls
    within calls: what seems to begin before the one ahead has ended begins then.
    """
    wanted = sorted([own for span in spans for own in _slices(span)], key=_by_start)
    ended_ns: dict[str, int] = {}
    made = []
    for own in wanted:
        start_ns = max(own.start_ns, ended_ns.get(own.span.worker, 0))
        ended_ns[own.span.worker] = end_ns = max(start_ns + _SHORTEST_NS, own.end_ns)
        made.append(own._replace(start_ns=start_ns, end_ns=end_ns))
    return made


def _slices(span: TaskSpan) -> Iterator[Slice]:
    start_ns, end_ns = _told_ns(span.start_s), _told_ns(span.end_s)
    fetching_ns, compiling_ns = _told_ns(span.transferring_s), _told_ns(span.compiling_s)
    ran_ns = start_ns + min(compiling_ns, max(0, end_ns - start_ns))
    if fetching_ns:
        began_ns = max(0, start_ns - fetching_ns)
        yield Slice(f"fetch {span.task}", "transfer", began_ns, start_ns, span)
    if compiling_ns:
        yield Slice(f"compile {span.task}", "compile", start_ns, ran_ns, span)
    yield Slice(f"{span.phase} {span.task}", span.phase, ran_ns, end_ns, span)


def _told_ns(seconds: float) -> int:
    """The time that a reply tells; 0 for what cannot be."""
    known = isfinite(seconds) and 0.0 < seconds * _NANO < _LATEST_NS
    return round(seconds * _NANO) if known else 0


def _by_start(own: Slice) -> tuple[int, int]:
    return own.start_ns, own.span.task


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
    yield from _counter("running", "tasks", [(own, 1) for own in running])
    if tasks:
        held = [(own, tasks[own.span.task].peak_bytes) for own in running if _is_of(own, tasks)]
        yield from _counter("estimated memory", "bytes", held)


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
    times = {"ts": own.start_ns / 1000, "dur": (own.end_ns - own.start_ns - 1) / 1000}
    head = {"name": own.name, "cat": own.category, "ph": "X", **times}
    return {**head, "tid": thread, "args": args}


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
        if own.end_ns - own.start_ns >= _POINTED_NS:
            first.setdefault(own.span.task, own)
            last[own.span.task] = own
    number = 0
    for task, reader in first.items():
        for earlier in tasks[task].depends_on if task < len(tasks) else ():
            if earlier in last:
                leaves_ns = last[earlier].end_ns - 3
                arrives_ns = max(reader.start_ns, leaves_ns)
                if arrives_ns <= reader.end_ns - 3:
                    number += 1
                    yield _end("s", number, leaves_ns, threads[last[earlier].span.worker])
                    yield _end("f", number, arrives_ns, threads[reader.span.worker]) | {"bp": "e"}


def _end(phase: str, number: int, at_ns: int, thread: int) -> dict[str, Any]:
    head = {"name": "value", "cat": "value", "ph": phase, "id": number}
    return {**head, "ts": at_ns / 1000, "tid": thread}


def _counter(name: str, unit: str, held: Iterable[tuple[Slice, float]]) -> Iterator[dict[str, Any]]:
    """The sum of what slices hold while they last, at each moment that it changes."""
    steps = [step for own, size in held for step in ((own.start_ns, size), (own.end_ns, -size))]
    total = 0.0
    for at_ns, alike in groupby(sorted(steps), key=lambda step: step[0]):
        total += sum([size for _, size in alike])
        head = {"name": name, "ph": "C", "ts": at_ns / 1000, "tid": 0}
        yield {**head, "args": {unit: total}}


# --- names ----------------------------------------------------------------------------------------


def _title(worker: str) -> str:
    return f"worker {worker}" if worker.isdigit() else worker


def _order(span: TaskSpan) -> tuple[int, str]:
    """Workers by number, others by name behind them."""
    numbered = span.worker.isdecimal() and len(span.worker) < 19
    return (int(span.worker) if numbered else 1 << 62, span.worker)


def _told(what: str, thread: int, **args: str | int) -> dict[str, Any]:
    return {"name": what, "ph": "M", "tid": thread, "args": args}
