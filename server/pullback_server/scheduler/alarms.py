"""What is to be looked at when a time has come, soonest first."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TypeAlias

Look: TypeAlias = Callable[[int, float], None]
"""Called with the number given and the time it is now; it finds out whether anything is due."""


class Alarms:
    """A queue of calls by time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Look, int]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_s(self) -> float:
        """When the soonest is due, or was; infinity if there is none."""
        return self._heap[0][0] if self._heap else inf

    def at(self, time_s: float, look: Look, number: int) -> None:
        """Have something looked at when that time has come."""
        heappush(self._heap, (time_s, next(self._order), look, number))

    def ring(self, now_s: float) -> None:
        """Make the calls that are due; those they set for now wait for the next time."""
        if not self._heap or self._heap[0][0] > now_s:
            return
        due = []
        while self._heap and self._heap[0][0] <= now_s:
            due.append(heappop(self._heap))
        for _, _, look, number in due:
            look(number, now_s)
