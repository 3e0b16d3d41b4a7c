"""The deadlines of jobs under way, soonest first."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf

from pullback_server.scheduler.events import JobId

MOST_STALE = 64
"""Deadlines of jobs that are over, beyond as many as there are jobs, before they are cleared."""


class Deadlines:
    """When each job that has a deadline is to be over.

    Most jobs are over long before: what they leave behind is cleared when it is more than the rest.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, JobId]] = []
        self._jobs: dict[JobId, float] = {}

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_s(self) -> float:
        """When the soonest passes, or did; infinity if there is none."""
        return self._heap[0][0] if self._heap else inf

    def add(self, job: JobId, deadline_s: float) -> None:
        """A job came that has a deadline."""
        self._jobs[job] = deadline_s
        heappush(self._heap, (deadline_s, job))

    def discard(self, job: JobId) -> None:
        """A job is over."""
        if self._jobs.pop(job, None) is None:
            return
        if not self._jobs:
            self._heap.clear()
        elif len(self._heap) > 2 * len(self._jobs) + MOST_STALE:
            self._heap = [(deadline_s, job) for job, deadline_s in self._jobs.items()]
            heapify(self._heap)

    def passed(self, now_s: float) -> list[JobId]:
        """The jobs whose deadline passed, since this was last asked."""
        found = []
        while self._heap and self._heap[0][0] <= now_s:
            _, job = heappop(self._heap)
            if job in self._jobs:
                found.append(job)
        return found
