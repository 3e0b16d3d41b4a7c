"""Batches of small scalar jobs, packed: run as one tape from their bytes to their replies' bytes.

Everything that a packed run does not cover, faults included, is left to the usual way, job by job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from math import inf
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.codec import encode_metrics
from pullback_graph.job import Metrics, NDArray
from pullback_graph.types import FLOAT32, FLOAT64, DType
from pullback_server.front_end.arrivals import Arrival, brings_graph, brings_tape
from pullback_server.front_end.tape_machine import TapeMachine

PACKED_BYTES = 1 << 14
"""Jobs of more bytes run by themselves: alone they fill the machine, and can be cancelled."""
LEAST_JOBS = 4
"""Fewer are not worth packing."""

WANTS = ("value", "gradient")


class PackedTotals(NamedTuple):
    """What the jobs of a packed run were and cost together.

    Attributes:
        jobs: how many wanted a value, and how many a gradient.
        seconds: a job's share by phase.
    """

    jobs: dict[str, int]
    nodes: int
    adjoints: int
    flops: float
    seconds: dict[str, float]


class PackedJobs(NamedTuple):
    """What became of jobs that were tried packed.

    Attributes:
        replies: a serialised JobReply per job, None where it is left.
        runs: of each run, the jobs in it, and its `pullback_worker.tape_batch.BatchReplies`.
    """

    replies: list[bytes | None]
    runs: list[tuple[list[int], Any]]

    def totals(self, is_counted: Callable[[int], bool]) -> list[PackedTotals]:
        """The sums over the jobs that were answered, as far as they count."""
        masks = [
            np.array(
                [r is not None and is_counted(n) for n, r in zip(own, done.replies, strict=True)]
            )
            for own, done in self.runs
        ]
        return [_totals(done, mask) for (_, done), mask in zip(self.runs, masks, strict=True)]


def is_small(data: bytes) -> bool:
    """Whether a serialised job may be worth packing: short, and with a graph or tape in it."""
    return len(data) <= PACKED_BYTES and (brings_graph(data) or brings_tape(data))


def run_packed_jobs(machine: TapeMachine, arrivals: Sequence[Arrival]) -> PackedJobs:
    """Run what can be of these, on the calling thread: float64 first, then float32."""
    replies: list[bytes | None] = [None] * len(arrivals)
    runs: list[tuple[list[int], Any]] = []
    rest = [n for n, arrival in enumerate(arrivals) if not arrival.flag.is_set]
    for dtype in (FLOAT64, FLOAT32):
        if len(rest) < LEAST_JOBS:
            break
        done = _run(machine, [arrivals[n] for n in rest], dtype)
        for n, reply in zip(rest, done.replies, strict=True):
            replies[n] = reply
        runs += [(rest, done)] * any(done.replies)
        rest = [n for n in rest if replies[n] is None]
    return PackedJobs(replies, runs)


def answer_packed(
    machine: TapeMachine, jobs: Sequence[bytes], deadline_s: float | None = None
) -> list[bytes | None]:
    """Serialised jobs to JobReplies, positions counted from 0; None where one is left."""
    arrivals = [Arrival(data, deadline_s, None, n) for n, data in enumerate(jobs)]
    return run_packed_jobs(machine, arrivals).replies


def _run(machine: TapeMachine, arrivals: Sequence[Arrival], dtype: DType) -> Any:
    """A `pullback_worker.tape_batch.BatchReplies`."""
    module: Any = import_module("pullback_worker.tape_batch")
    count, now_s = len(arrivals), perf_counter()
    left = [arrival.flag.remaining_s for arrival in arrivals]
    waited_s = np.fromiter([now_s - arrival.received_s for arrival in arrivals], float, count)
    queued_s = float(waited_s.min())

    def shared(jobs: int, preparing_s: float, running_s: float) -> tuple[bytes, bytes]:
        metrics = Metrics(
            queued_s=queued_s,
            planning_s=preparing_s,
            total_s=perf_counter() - now_s + queued_s,
            executor="tape",
            executor_reason="a small scalar graph in a batch",
            split="none",
            split_reason=f"packed with {jobs - 1} other job(s) into one tape",
        )
        metrics.forward_s = running_s
        of_values = encode_metrics(metrics)
        metrics.forward_s, metrics.fused_s = 0.0, running_s
        return of_values, encode_metrics(metrics)

    return module.run_batch(
        [arrival.data for arrival in arrivals],
        np.fromiter([arrival.position for arrival in arrivals], np.int64, count),
        np.fromiter([inf if left_s is None else left_s for left_s in left], float, count),
        waited_s,
        shared,
        machine.version,
        dtype,
    )


def _totals(done: Any, answered: NDArray) -> PackedTotals:
    """The sums over some jobs of a run."""
    gradients = Counter(done.is_gradient[answered].tolist())
    nodes, adjoints, flops = done.figures[answered, :3].sum(axis=0).tolist()
    return PackedTotals(
        jobs={"value": gradients[0], "gradient": gradients[1]},
        nodes=int(nodes),
        adjoints=int(adjoints),
        flops=flops,
        seconds={"planning": done.preparing_s, "total": done.preparing_s + done.running_s},
    )
