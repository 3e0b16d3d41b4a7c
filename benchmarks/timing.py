"""Timing of rivals in one run: rounds interleaved, order rotated, one warm-up, medians compared.

A machine that slows down for a while slows every rival alike, so ratios hold where seconds do not.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import ceil
from statistics import median

Samples = dict[str, list[float]]
"""Seconds of every timed call, by rival."""


def interleaved(rivals: Mapping[str, Callable[[], object]], rounds: int, calls: int = 1) -> Samples:
    """Seconds of each call, `calls` of each rival a round, after one round that is not kept."""
    samples: Samples = {name: [] for name in rivals}
    for number, order in enumerate(_orders(list(rivals), rounds)):
        for name in order:
            seconds = [_timed(rivals[name]) for _ in range(calls)]
            samples[name] += seconds if number else []
    return samples


async def interleaved_async(
    rivals: Mapping[str, Callable[[], Awaitable[object]]], rounds: int, calls: int = 1
) -> Samples:
    """The same for rivals that are awaited, one call after another."""
    samples: Samples = {name: [] for name in rivals}
    for number, order in enumerate(_orders(list(rivals), rounds)):
        for name in order:
            seconds = [await _timed_async(rivals[name]) for _ in range(calls)]
            samples[name] += seconds if number else []
    return samples


def quantile(seconds: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of the samples do not exceed."""
    ordered = sorted(seconds)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def ratio(samples: Samples, name: str, to: str) -> float:
    """Median of `name` over median of `to`."""
    return median(samples[name]) / median(samples[to])


def _orders(names: Sequence[str], rounds: int) -> list[Sequence[str]]:
    """An order for the warm-up and each round; whoever goes first moves on by one."""
    return [(*names[k % len(names) :], *names[: k % len(names)]) for k in range(rounds + 1)]


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


async def _timed_async(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return time.perf_counter() - start
