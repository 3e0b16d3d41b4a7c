"""A job's timeline in Chrome's trace format, which Perfetto (ui.perfetto.dev) and browsers show.

A worker is a thread, a task a complete event; times there are microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pullback_graph.errors import RequestError
from pullback_graph.job import Metrics
from pullback_graph.timeline import TaskSpan

_PROCESS = 1


def save_trace(path: Path, metrics: Metrics) -> None:
    """Write the file.

    Raises:
        RequestError: it cannot be written.
    """
    try:
        path.write_text(json.dumps(trace(metrics)), encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}", field="--trace") from None


def trace(metrics: Metrics) -> dict[str, Any]:
    """The object of a trace file."""
    told = {"split": metrics.split, "split_reason": metrics.split_reason}
    if metrics.timeline_omitted:
        told["omitted"] = f"{metrics.timeline_omitted} tasks more"
    return {"traceEvents": [*_events(metrics)], "displayTimeUnit": "ms", "otherData": told}


def _events(metrics: Metrics) -> Iterator[dict[str, Any]]:
    workers = {span.worker: None for span in sorted(metrics.timeline, key=_order)}
    threads = {worker: number for number, worker in enumerate(workers, start=1)}
    yield _named("process_name", 0, f"pullback, split {metrics.split or 'none'}")
    for worker, thread in threads.items():
        yield _named("thread_name", thread, f"worker {worker}" if worker.isdigit() else worker)
    for span in metrics.timeline:
        yield {
            "name": f"{span.phase} {span.task}",
            "cat": span.phase,
            "ph": "X",
            "ts": span.start_s * 1e6,
            "dur": max(0.0, span.end_s - span.start_s) * 1e6,
            "pid": _PROCESS,
            "tid": threads[span.worker],
            "args": {"task": span.task, "attempts": span.attempts, "executor": span.executor},
        }


def _order(span: TaskSpan) -> tuple[int, str]:
    """Workers by number, others by name behind them."""
    return (int(span.worker) if span.worker.isdecimal() else 1 << 62, span.worker)


def _named(what: str, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"name": name}}
