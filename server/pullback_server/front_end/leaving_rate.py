"""How fast jobs leave a full server: what a client that was refused is told to wait."""

from __future__ import annotations

from math import exp

MEMORY_S = 5.0
"""What happened longer ago than this hardly counts."""
SHARE = 0.125
"""Of the jobs held, those that should have left when a refused client comes again."""
SHORTEST_S, LONGEST_S = 0.05, 10.0


class LeavingRate:
    """Jobs a second that were answered, lately."""

    def __init__(self) -> None:
        self._per_s = 0.0
        self._last_s: float | None = None

    def left(self, jobs: int, now_s: float) -> None:
        """Jobs were answered."""
        passed_s = MEMORY_S if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        self._per_s = self._per_s * exp(-passed_s / MEMORY_S) + jobs / MEMORY_S

    def wait_s(self, held: int) -> float:
        """After how long there will be room, most likely, where so many are held."""
        if not self._per_s:
            return 1.0
        return min(max(SHARE * held / self._per_s, SHORTEST_S), LONGEST_S)
