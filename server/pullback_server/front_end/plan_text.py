"""A plan for people: what would run where, what it takes, and why it is split so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from pullback_graph.quantities import counted, duration, in_bytes, in_flops
from pullback_graph.want import DerivativeKey
from pullback_server.planner import Phase, Plan
from pullback_server.planner.predict import Prediction

MEANINGS = {
    Phase.FORWARD: "forward",
    Phase.BACKWARD: "backward",
    Phase.FUSED: "fused (forward and backward in one)",
    Phase.REDUCE: "reduce (sums or joins what others found)",
}
_LISTED = 12
_HEADS = ("workers", "time", "speed-up", "moved between workers", "peak memory of a worker")


def where_text(plan: Plan, front_end: bool) -> str:
    """How many tasks of which phase, and where they would run."""
    where = "in the server's own process, without a worker" if front_end else "on the workers"
    counts = Counter(task.phase for task in plan.tasks)
    phases = [f"{counts[phase]} {MEANINGS[phase]}" for phase in Phase if counts[phase]]
    tasks = f"{counted(len(plan.tasks), 'task')} {where}"
    return f"{tasks}: {', '.join(phases)}" if len(plan.tasks) > 1 else tasks


def work_text(nodes: int, adjoints: int, flops: float, seconds: float, rates: str) -> str:
    """What there is to do, and how long that takes one core."""
    return (
        f"{counted(nodes, 'node')}, {counted(adjoints, 'adjoint')}, {in_flops(flops)}, "
        f"about {duration(seconds)} on one core ({rates})"
    )


def memory_text(peak_bytes: float, input_bytes: float) -> str:
    """What the largest task needs, and what the job brings."""
    return f"largest task {in_bytes(peak_bytes)}, inputs {in_bytes(input_bytes)}"


def predictions_text(predictions: Sequence[Prediction]) -> Iterator[str]:
    """A table: a line for each number of workers, up to the last one that changes anything."""
    if not predictions:
        return
    rows = [_row(item, predictions[0].estimated_s) for item in predictions]
    telling = [next(alike) for _, alike in groupby(rows, key=lambda row: row[1:])]
    table = [_HEADS, *telling]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    yield "predicted, from the first task's start to the last one's end:"
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  " + "  ".join(cells)
    if telling[-1] != rows[-1]:
        yield f"  more than {counted(int(telling[-1][0]), 'worker')} would change nothing"


def _row(item: Prediction, alone_s: float) -> tuple[str, ...]:
    ratio = alone_s / item.estimated_s if item.estimated_s else 1.0
    return (
        str(item.workers),
        duration(item.estimated_s),
        f"{ratio:.2f} x",
        in_bytes(item.moved_bytes),
        in_bytes(item.worker_bytes),
    )


def derivatives_text(keys: Sequence[DerivativeKey]) -> Iterator[str]:
    """What is answered beside the outputs: a line an output, with what it is derived by."""
    for output, group in groupby(keys, key=lambda key: key.output):
        own = list(group)
        seeds = 1 + max(key.seed for key in own)
        by = list(dict.fromkeys([_by(key) for key in own if key.input]))
        yield (
            f"derivative of {output}{' by ' if by else ''}{', '.join(by[:_LISTED])}"
            f"{f' and {len(by) - _LISTED} more' if len(by) > _LISTED else ''}"
            f"{f', for each of {seeds} seeds' if seeds > 1 else ''}"
        )


def _by(key: DerivativeKey) -> str:
    return f"{key.input} and {key.second_input}" if key.second_input else key.input
