"""How busy the workers were in a window of virtual time, and if any was idle while work waited.

Work counts as it is done, not when a batch is over: in a short run most of it is still under way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pullback_server.scheduler import KindCount, Snapshot

LOOK_EVERY = 64
"""Events from one sample of who is idle to the next."""


@dataclass(slots=True)
class Occupancy:
    """Looks at the pool at both ends of the window, and now and then between, as events come.

    Attributes:
        window_s: from when until when; what ends sooner closes it.
        work_s: gives the time spent in tasks until now, all workers together.
        snapshot: gives how the scheduler sees the pool.
    """

    window_s: tuple[float, float]
    work_s: Callable[[], float]
    snapshot: Callable[[], Snapshot]
    _opened: tuple[float, float] | None = None
    _closed: tuple[float, float] | None = None
    _events: int = 0
    _looked: tuple[float, float] | None = None
    _sampled_s: float = 0.0
    _idle_s: float = 0.0

    def at(self, now_s: float) -> None:
        """Something happened."""
        opens_s, closes_s = self.window_s
        if self._looked is not None:
            since_s, idle = self._looked
            self._looked = None
            self._sampled_s += now_s - since_s
            self._idle_s += idle * (now_s - since_s)
        if self._opened is None and now_s >= opens_s:
            self._opened = now_s, self.work_s()
        if self._opened is None or self._closed is not None:
            return
        if now_s >= closes_s:
            self.close(now_s)
        elif self._events % LOOK_EVERY == 0:
            self._looked = now_s, idle_beside_work(self.snapshot())
        self._events += 1

    def close(self, now_s: float) -> None:
        """The run is over, if the window is not."""
        if self._closed is None:
            self._closed = now_s, self.work_s()

    def utilisation(self, workers: int) -> float:
        """Part of the workers' time that they spent in tasks."""
        if self._opened is None or self._closed is None:
            return 0.0
        passed_s, worked_s = (b - a for a, b in zip(self._opened, self._closed, strict=True))
        return worked_s / (max(passed_s, 1e-9) * workers)

    def idle_beside_work(self, workers: int) -> float:
        """Part of the workers' time that they had nothing to do although tasks waited."""
        return self._idle_s / (max(self._sampled_s, 1e-9) * workers)


def idle_beside_work(pool: Snapshot) -> int:
    """Idle workers that a task waits for, each."""
    return min(pool.queued_tasks, sum(map(_idle, pool.workers.values())))


def _idle(kind: KindCount) -> int:
    return kind.ready - kind.busy
