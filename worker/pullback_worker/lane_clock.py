"""What tasks take where two lanes of a worker may share its processor.

While both are busy, the wall's clock says as much of the other's tasks as of one's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter, thread_time


@dataclass(slots=True)
class Activity:
    """Whether a lane is in a batch, and how many it has begun; entered for each."""

    is_busy: bool = False
    begun: int = 0

    def __enter__(self) -> None:
        self.begun += 1
        self.is_busy = True

    def __exit__(self, *_: object) -> None:
        self.is_busy = False


class LaneClock:
    """Seconds that pass for a lane's tasks; to be read by the thread that runs them.

    Between two readings they are the wall's, or, where the other lane was busy in any part of that
    time, those that the thread had of a processor.

    Args:
        other: the lane beside.
    """

    __slots__ = ("_before", "_other", "_own_s", "_passed_s", "_wall_s")

    def __init__(self, other: Activity) -> None:
        self._other = other
        self._passed_s = 0.0
        self._before = (False, other.begun)
        self._wall_s, self._own_s = perf_counter(), thread_time()

    def __call__(self) -> float:
        """The seconds until now."""
        wall_s, own_s = perf_counter(), thread_time()
        now = self._other.is_busy, self._other.begun
        shared = self._before[0] or now[0] or now[1] != self._before[1]
        self._passed_s += own_s - self._own_s if shared else wall_s - self._wall_s
        self._before, self._wall_s, self._own_s = now, wall_s, own_s
        return self._passed_s
