"""Many serialised jobs as one run of the tape machine: wire bytes in, wire bytes out.

A job that can't be run so is left: its reply is None, and the caller runs it by itself. Nothing of
one job reaches another: each has scalars of its own, in its reply as on the tape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from time import perf_counter
from typing import NamedTuple, TypeAlias

import numpy as np

from pullback_graph.codec import encode_job
from pullback_graph.codec.tapes import DIGEST_DIGITS
from pullback_graph.fingerprint import NUMBERS
from pullback_graph.graph import Input
from pullback_graph.job import Job
from pullback_graph.tape import Tape, TapeOutput
from pullback_graph.tape.flops import ROW_FLOPS
from pullback_graph.tape.rows import NDArray
from pullback_graph.types import FLOAT64, ArrayType, DType
from pullback_graph.want import Gradient, Value
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_packed import Swept, run_packed
from pullback_worker.tape_wire_encoding import write_replies
from pullback_worker.tape_wire_figures import FIGURES, NON_FINITE, ROW_EDGES, figure
from pullback_worker.tape_wire_layout import Packed
from pullback_worker.tape_wire_merge import Merged, merge
from pullback_worker.tape_wire_replies import SIZES, Results, measure_replies
from pullback_worker.tape_wire_scan import scan_jobs

SharedMetrics: TypeAlias = Callable[[int, float, float], tuple[bytes, bytes]]
"""`(jobs, preparing_s, running_s)`, the seconds a job's share -> the encoded JobMetrics that all
jobs of the batch share: of those that want values, and of those that want gradients."""


class BatchReplies(NamedTuple):
    """What became of a batch.

    Attributes:
        replies: a serialised JobReply per job, or None where the job was left.
        is_gradient: `(J,)` int64, 1 where a gradient was wanted.
        figures: `(J, FIGURES)`: nodes, adjoints, FLOPs, ... of those taken.
        preparing_s, running_s: a job's share of reading and checking, and of the machine's run.
    """

    replies: list[bytes | None]
    is_gradient: NDArray
    figures: NDArray
    preparing_s: float
    running_s: float


def run_batch(
    jobs: Sequence[bytes],
    positions: NDArray,
    left_s: NDArray,
    waited_s: NDArray,
    shared: SharedMetrics,
    version: str,
    dtype: DType = FLOAT64,
) -> BatchReplies:
    """Run what can be run of a batch of serialised jobs.

    Args:
        positions: `(J,)` int64, of each job on its stream.
        left_s: `(J,)` float64 seconds until each job's call is over; infinite without a deadline.
        waited_s: `(J,)` float64 seconds since each arrived, from when its own deadline counts.
        version: of the executor, named in each reply's digest.
    """
    began_s = perf_counter()
    joined = b"".join(jobs)
    data = np.frombuffer(joined, np.uint8)
    packed = scan_jobs(data, np.cumsum([0, *map(len, jobs)], dtype=np.int64), dtype)
    deadlines_s = np.minimum(packed.deadlines_s - waited_s, left_s)
    taken = int(packed.jobs[:, col.TAKEN].sum())
    figures = np.zeros((len(jobs), FIGURES))
    if not taken:
        return BatchReplies([None] * len(jobs), packed.jobs[:, col.GRADIENT], figures, 0.0, 0.0)
    merged = merge(packed, dtype)
    read_s = perf_counter()
    swept = _swept(packed, merged, dtype, figures)
    now_s = perf_counter()
    packed.jobs[deadlines_s <= now_s - began_s, col.TAKEN] = 0
    failing = (packed.jobs[:, col.FINITE] != 0) & (figures[:, NON_FINITE] != 0)
    packed.jobs[failing, col.TAKEN] = 0
    preparing_s, running_s = (read_s - began_s) / taken, (now_s - read_s) / taken
    metrics = shared(taken, preparing_s, running_s)
    digests = _digests(joined, packed, version)
    results = Results(
        NUMBERS[dtype],
        swept.values,
        swept.gradients,
        merged.given[: merged.inputs],
        swept.flows,
        figures,
        np.frombuffer(b"".join(metrics), np.uint8),
        np.cumsum([0, *map(len, metrics)]),
        digests,
        positions,
    )
    replies = _replies(data, packed, results)
    return BatchReplies(replies, packed.jobs[:, col.GRADIENT], figures, preparing_s, running_s)


def _swept(packed: Packed, merged: Merged, dtype: DType, figures: NDArray) -> Swept:
    """Every tape swept at once; each job's figures are noted as well."""
    swept = run_packed(
        merged.rows, merged.operands, merged.given, merged.inputs, merged.gathers, merged.seeds
    )
    elements, start = merged.given[: merged.inputs], len(merged.given)
    reached = np.zeros(start + len(merged.rows), np.uint8)
    arrays = (swept.values, swept.gradients, elements, reached)
    tables = (ROW_FLOPS, ROW_EDGES, merged.seeds)
    figure(packed, *tables, start, dtype.itemsize, *arrays, figures)
    return swept


def warm_batches() -> None:
    """Load or compile all that a batch needs: by running one of a job of each kind."""
    for job in _samples():
        done = run_batch(
            [job],
            np.zeros(1, np.int64),
            np.full(1, np.inf),
            np.zeros(1),
            lambda *_: (b"", b""),
            "",
        )
        assert done.replies[0] is not None, "a sound job is taken"


def _samples() -> list[bytes]:
    """Jobs that want a tape's value, and its gradient."""
    tape = Tape(
        FLOAT64,
        (Input("x", ArrayType(FLOAT64, ())),),
        np.empty(0),
        ("square",),
        np.zeros(1, np.uint16),
        np.zeros(1, np.uint32),
        (TapeOutput("y", (), np.ones(1, np.uint32)),),
    )
    inputs = {"x": np.ones(())}
    return [encode_job(Job(tape, inputs, want)) for want in (Value(), Gradient(("x",)))]


def _digests(joined: bytes, packed: Packed, version: str) -> NDArray:
    """`(J, D)` ASCII: each names its job's graph or tape, its want, and the executor."""
    sha256, tail = hashlib.sha256, f"/tape-{version}"
    bounds = packed.jobs[:, [col.BODY_AT, col.BODY_END, col.WANT_AT, col.WANT_END]].tolist()
    heads = [sha256(joined[a:b] + joined[c:d]).hexdigest()[:DIGEST_DIGITS] for a, b, c, d in bounds]
    text = "".join([head + tail for head in heads]).encode()
    return np.frombuffer(text, np.uint8).reshape(len(heads), -1)


def _replies(data: NDArray, packed: Packed, results: Results) -> list[bytes | None]:
    """The replies of the jobs taken, None for the others."""
    count = len(packed.jobs)
    sizes, bounds = np.zeros((count, SIZES), np.int64), np.zeros(count + 1, np.int64)
    measure_replies(packed, results, sizes, bounds)
    out = np.empty(int(bounds[-1]), np.uint8)
    values, gradients = results.values.view(np.uint8), results.gradients.view(np.uint8)
    write_replies(data, packed, results, values, gradients, sizes, bounds, out)
    text, ends = out.tobytes(), bounds.tolist()
    return [text[a:b] if b > a else None for a, b in pairwise(ends)]
