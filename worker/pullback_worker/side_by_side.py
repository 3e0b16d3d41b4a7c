"""Ranges of one piece of work on several threads: the caller's own, and helpers that are shared.

Helpers start when they are first needed, never wait for one another, and end with the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from math import ceil

from pullback_worker.quiet import quietly


def side_by_side(run: Callable[[int, int], None], length: int, step: int, threads: int) -> None:
    """Have `run(start, stop)` called for ranges that make up 0:length, cut at multiples of `step`.

    Raises:
        Exception: what the first range that failed raised, once all have ended.
    """
    steps = ceil(length / step)
    parts = max(1, min(threads, steps))
    cuts = [min(length, steps * k // parts * step) for k in range(parts + 1)]
    waiting = [_helpers().submit(quietly, run, start, stop) for start, stop in pairwise(cuts[1:])]
    try:
        run(cuts[0], cuts[1])
    finally:
        failures = [future.exception() for future in waiting]
    for failure in failures:
        if failure is not None:
            raise failure


def own_threads() -> int:
    """As many threads as this process may keep busy, by its processors or by what BLAS is told."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores or 1, int(told) if told.isdigit() else cores or 1))


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1), "pullback-blocks")
