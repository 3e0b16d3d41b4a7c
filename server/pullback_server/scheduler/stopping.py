"""Jobs that ended without results while workers still had some of them: what stopping them cost."""

from __future__ import annotations

from dataclasses import dataclass

from pullback_graph.errors import Stop
from pullback_server.scheduler.commands import Command, Stopped
from pullback_server.scheduler.events import JobId


@dataclass(slots=True)
class _Stopping:
    """A job that is over, and its batches that are not."""

    ended_s: float
    batches: int
    wasted_s: float
    killed: int = 0


class StoppingJobs:
    """Follows such jobs to the end of their last batch."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, _Stopping] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def ended(self, job: JobId, batches: int, spent_s: float, now_s: float) -> Command | None:
        """A job is over that workers have batches of; what to say if they have none.

        Args:
            spent_s: worker seconds in its tasks that ran.
        """
        if not batches:
            return Stopped(job, Stop(0.0, spent_s))
        self._jobs[job] = _Stopping(now_s, batches, spent_s)
        return None

    def batch_ended(
        self, job: JobId, wasted_s: float, now_s: float, killed: bool = False
    ) -> Command | None:
        """A batch of a job that is over is too; what to say if it was the last.

        Args:
            killed: whether that took the end of its worker.
        """
        stopping = self._jobs.get(job)
        if stopping is None:
            return None
        stopping.batches -= 1
        stopping.wasted_s += max(0.0, wasted_s)
        stopping.killed += killed
        if stopping.batches:
            return None
        del self._jobs[job]
        after_s = max(0.0, now_s - stopping.ended_s)
        return Stopped(job, Stop(after_s, stopping.wasted_s, stopping.killed))
