"""How workers start: how long one may take, when the next may after a failure, who waits in vain.

A worker without a process waits for room in the cluster, for as long as that takes. One that has a
process comes up within a time limit, or is killed; Ray watches over no more than the first part.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.commands import KillWorker
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.states import FINISHED
from pullback_server.scheduler.worker import Worker

LONGEST_DELAY_S = 30.0
FIRST_DELAY_S = 0.25
MOST_DOUBLINGS = 3
"""Of the time a start may take, where one after another took too long: the machine may be slow."""
MOST_FAILED = 6
"""Times in a row that starts failed, after which jobs that need one are answered with that."""


@dataclass(slots=True)
class _Record:
    """Starts of a kind since one succeeded: how often some failed, and were late.

    Those of several workers that fail before the next may start are one failure.
    """

    failed: int = 0
    late: int = 0
    after_s: float = 0.0


class Starts:
    """Starts under way, and how those before them went, by kind of worker."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._records: defaultdict[Placement, _Record] = defaultdict(_Record)

    def may(self, kind: Placement, now_s: float) -> bool:
        """Whether the next may start: after failures, no sooner than the delay says."""
        return now_s >= self._records[kind].after_s

    def placed(self, worker: Worker, now_s: float) -> None:
        """A worker has a process: see whether it comes up in time."""
        doublings = min(self._records[worker.placement].late, MOST_DOUBLINGS)
        worker.start_s = self._board.settings.start_s * 2.0**doublings
        self._board.alarms.at(now_s + worker.start_s, self._look, worker.id)

    def succeeded(self, kind: Placement) -> None:
        """A worker started: the next may at once."""
        self._records[kind] = _Record()

    def failed(self, worker: Worker, now_s: float) -> None:
        """A worker did not start: the next has to wait, each time for longer."""
        record = self._records[worker.placement]
        if now_s < record.after_s:
            return
        record.failed += 1
        record.late += worker.doomed
        record.after_s = now_s + min(LONGEST_DELAY_S, FIRST_DELAY_S * 2**record.failed)

    def failures(self, kind: Placement) -> int:
        """How often some failed since one succeeded."""
        return self._records[kind].failed

    def in_vain(self, kind: Placement) -> list[Job]:
        """The jobs that need a worker of a kind, where none is up and none starts."""
        board = self._board
        if board.fleet.kinds[kind].ready or self.failures(kind) < MOST_FAILED:
            return []
        served = {p for p, serving in board.settings.serving.items() if serving is kind}
        return [job for job in board.jobs.values() if _needs(job, served)]

    def _look(self, number: int, now_s: float) -> None:
        """End a worker that is not up yet."""
        worker = self._board.fleet.get(number)
        if worker is None or worker.ready or worker.doomed:
            return
        self._board.fleet.retire(worker)
        cause = f"it had a process and did not come up within {worker.start_s:g} s"
        self._board.commands.append(KillWorker(number, cause))


def _needs(job: Job, placements: set[Placement]) -> bool:
    """Whether any task that workers are still to run has one of these placements.

    A job that is laid over several has states behind its plan's: the dispatcher does those tasks.
    """
    states = zip(job.plan.tasks, job.states, strict=False)
    return any([task.placement in placements and state not in FINISHED for task, state in states])
