"""Timing of rivals in one run: rounds interleaved, order rotated, one warm-up, medians compared.

A machine that slows down for a while slows every rival of a round alike. So a ratio is taken within
each round, and the median of the rounds' ratios holds where seconds do not.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import ceil
from statistics import median


class Samples:
    """Seconds of every timed call, by rival and round."""

    def __init__(self, names: Sequence[str]) -> None:
        self._rounds: dict[str, list[list[float]]] = {name: [] for name in names}

    def add(self, name: str, seconds: list[float]) -> None:
        """Add a round of a rival."""
        self._rounds[name].append(seconds)

    @property
    def names(self) -> tuple[str, ...]:
        """The rivals."""
        return tuple(self._rounds)

    def all(self, name: str) -> list[float]:
        """Seconds of every call of a rival."""
        return [seconds for own in self._rounds[name] for seconds in own]

    def rounds(self, name: str) -> list[float]:
        """The median of each round of a rival."""
        return [median(own) for own in self._rounds[name]]

    def median_s(self, name: str) -> float:
        """The median of all calls of a rival."""
        return median(self.all(name))

    def ratios(self, name: str, to: str) -> list[float]:
        """Round by round that both took part in, the median of `name` over that of `to`."""
        return [a / b for a, b in zip(self.rounds(name), self.rounds(to), strict=False)]

    def ratio(self, name: str, to: str) -> float:
        """The median of those ratios."""
        return median(self.ratios(name, to))


def interleaved(
    rivals: Mapping[str, Callable[[], object]], rounds: int, calls: int = 1, warm: int = 1
) -> Samples:
    """Seconds of each call, `calls` of each rival a round; `warm` rounds before do not count."""
    samples = Samples(list(rivals))
    for number, order in enumerate(_orders(samples.names, rounds + warm - 1)):
        for name in order:
            seconds = [_timed(rivals[name]) for _ in range(calls)]
            if number >= warm:
                samples.add(name, seconds)
    return samples


def in_turn(
    rivals: Mapping[str, Callable[[], object]], rounds: Mapping[str, int], calls: Mapping[str, int]
) -> Samples:
    """Seconds of each call where some rivals are slow: each has its own calls a round, and rounds.

    Everyone takes part from the first round on. Where a rival makes several calls a round, one goes
    ahead untimed, so that the caches hold its data again.
    """
    samples = Samples(list(rivals))
    for number, order in enumerate(_orders(samples.names, max(rounds.values(), default=0))[1:]):
        for name in order:
            if number < rounds[name]:
                if calls[name] > 1:
                    rivals[name]()
                samples.add(name, [_timed(rivals[name]) for _ in range(calls[name])])
    return samples


async def interleaved_async(
    rivals: Mapping[str, Callable[[], Awaitable[object]]], rounds: int, calls: int = 1
) -> Samples:
    """The same for rivals that are awaited, one call after another."""
    samples = Samples(list(rivals))
    for number, order in enumerate(_orders(samples.names, rounds)):
        for name in order:
            seconds = [await _timed_async(rivals[name]) for _ in range(calls)]
            if number:
                samples.add(name, seconds)
    return samples


def quantile(seconds: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of the samples do not exceed."""
    ordered = sorted(seconds)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


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
