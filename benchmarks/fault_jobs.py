"""What a peer's worker runs: jobs by hand on data that it reads itself, each start written down.

So nothing but jobs and answers travels, and repeats are counted alike for all peers. It imports
little, since a worker that was killed imports it again.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.classifier_by_hand import Shard, Weights, sum_of_losses

JOURNAL = "journal"
START = np.dtype(">u4")
"""Of each start in it: the job's number."""

Answer: TypeAlias = "tuple[bytes, ...]"
"""The bits of a value and its gradient."""
Chunk: TypeAlias = "list[tuple[int, Weights]]"
"""Jobs that travel together: number and weights of each."""
Answers: TypeAlias = "list[tuple[int, Answer]]"


class Work(NamedTuple):
    """The folder of the data, `x.npy` and `y.npy`, and of `journal`, where starts are written."""

    folder: Path


class Holder:
    """What computes: holds the data of all jobs."""

    def __init__(self, work: Work) -> None:
        threadpool_limits(1)
        self._data = Shard(np.load(work.folder / "x.npy"), np.load(work.folder / "y.npy"))
        self._journal = os.open(work.folder / JOURNAL, os.O_WRONLY | os.O_APPEND)

    def answers(self, chunk: Chunk) -> Answers:
        """The value and the gradient of each job."""
        return [(job, self._answer(job, weights)) for job, weights in chunk]

    def _answer(self, job: int, weights: Weights) -> Answer:
        os.write(self._journal, job.to_bytes(START.itemsize, "big"))
        value, gradient = sum_of_losses(weights, self._data)
        return (value.hex().encode(), *[part.tobytes() for part in gradient])


def answers(work: Work, chunk: Chunk) -> Answers:
    """The same as a function, for peers that have no place for the data."""
    return _holder(work).answers(chunk)


@cache
def _holder(work: Work) -> Holder:
    return Holder(work)
