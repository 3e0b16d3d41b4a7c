"""A histogram with fixed buckets: two additions an observation, merged and read elsewhere.

Counts are kept by bucket, not cumulated: cumulating is the reader's work, not the hot path's.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

SECONDS = (
    *(1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
"""From a job answered on the event loop to one that keeps a cluster busy for minutes."""

JOBS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0)


class Histogram:
    """Observations counted by bucket.

    Attributes:
        bounds: upper bounds, inclusive and ascending; a bucket for larger values follows them.
        counts: observations per bucket, one more than there are bounds.
        sum: of all observations.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count one observation, or several of the same."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def plus(self, other: Histogram) -> Histogram:
        """What both have counted; their bounds are the same."""
        both = Histogram(self.bounds)
        both.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        both.sum = self.sum + other.sum
        return both

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """Observations up to each bound, and at last all of them."""
        return list(accumulate(self.counts))
