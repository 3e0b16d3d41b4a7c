"""How workers start: how long one may take, when the next may after a failure, who waits in vain.

A worker without a process waits for room in the cluster, for as long as that takes. One that has a
process comes up within a time limit, or is killed; Ray watches over no more than the first part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from pullback_graph.errors import PullbackError
from pullback_server.planner.plan import Placement
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.commands import KillWorker
from pullback_server.scheduler.faults import unstarted
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.states import FINISHED
from pullback_server.scheduler.worker import Worker

LONGEST_DELAY_S = 30.0
FIRST_DELAY_S = 0.25
MOST_DOUBLINGS = 3
"""Of the time a start may take, where one after another took too long: the machine may be slow."""
MOST_FAILED = 6
"""Times in a row that starts failed, after which jobs that need one are answered with that."""
KINDS = tuple(Placement)

End: TypeAlias = Callable[[Job, float, PullbackError], None]


@dataclass(slots=True)
class _Record:
    """Starts of a kind since one succeeded: how often some failed, and were late.

    Those of several workers that fail before the next may start are one failure.

    Attributes:
        after_s: when the next may start.
        since_s: from when on none was up, and starts failed; infinity while that is not so.
        look_s: when it is looked next whether a job has waited too long.
        cause: of the last failure.
    """

    failed: int = 0
    late: int = 0
    after_s: float = 0.0
    since_s: float = inf
    look_s: float = inf
    cause: str = ""

    def from_s(self, job: Job) -> float:
        """From when on a job waits at the earliest."""
        return max(self.since_s, job.submitted_s)


class Starts:
    """Starts under way, and how those before them went, by kind of worker.

    Args:
        end: called with jobs that waited in vain.
    """

    def __init__(self, board: Board, end: End) -> None:
        self._board = board
        self._end = end
        self._longest_s = 2.0 * board.settings.start_s + LONGEST_DELAY_S
        self._records: defaultdict[Placement, _Record] = defaultdict(_Record)

    def may(self, kind: Placement, now_s: float) -> bool:
        """Whether the next may start: after failures, no sooner than the delay says."""
        return now_s >= self._records[kind].after_s

    def placed(self, worker: Worker, now_s: float) -> None:
        """A worker has a process: see whether it comes up in time, however often that is said."""
        if worker.start_s:
            return
        doublings = min(self._records[worker.placement].late, MOST_DOUBLINGS)
        worker.start_s = self._board.settings.start_s * 2.0**doublings
        self._board.alarms.at(now_s + worker.start_s, self._look, worker.id)

    def succeeded(self, kind: Placement) -> None:
        """A worker started: the next may at once."""
        self._records[kind] = _Record()

    def failed(self, worker: Worker, cause: str, now_s: float) -> None:
        """A worker did not start: the next has to wait, each time for longer.

        Where none is up, and that was one failure too many, jobs that need one are told.
        """
        kind = worker.placement
        record = self._records[kind]
        record.cause = cause
        if now_s >= record.after_s:
            record.failed += 1
            record.late += worker.doomed
            record.after_s = now_s + min(LONGEST_DELAY_S, FIRST_DELAY_S * 2**record.failed)
        self.watch(kind, now_s)
        if record.failed >= MOST_FAILED and not self._board.fleet.kinds[kind].ready:
            served = self._board.settings.served(kind)
            needing = [job for job in self._board.jobs.values() if _needs(job, served)]
            self._tell(needing, kind, now_s)

    def watch(self, kind: Placement, now_s: float) -> None:
        """Where none is up and starts fail, see from now that no job waits for too long.

        Starts that are late take ever longer, and so would it take to see many of them fail.
        """
        record = self._records[kind]
        if record.failed and record.since_s == inf and not self._board.fleet.kinds[kind].ready:
            record.since_s = now_s
            self._look_at(kind, now_s + self._longest_s)

    def _look_at(self, kind: Placement, time_s: float) -> None:
        self._records[kind].look_s = time_s
        self._board.alarms.at(time_s, self._look_for_waiting, KINDS.index(kind))

    def _look_for_waiting(self, number: int, now_s: float) -> None:
        """Tell the jobs that waited too long, and look again when others will have."""
        kind = KINDS[number]
        record, own = self._records[kind], self._board.fleet.kinds[kind]
        if now_s < record.look_s:
            return  # one was up since this was set
        served = self._board.settings.served(kind)
        waiting = [job for job in self._board.jobs.values() if _waits(job, served)]
        if own.ready or not (own.starting or waiting):
            record.since_s = record.look_s = inf
            return
        until_s = {job: record.from_s(job) + self._longest_s for job in waiting}
        self._tell([job for job in waiting if until_s[job] <= now_s], kind, now_s)
        later_s = [time_s for time_s in until_s.values() if time_s > now_s]
        self._look_at(kind, min(later_s, default=now_s + self._longest_s))

    def _tell(self, jobs: Iterable[Job], kind: Placement, now_s: float) -> None:
        """Answer jobs that no worker of a kind comes up for."""
        record = self._records[kind]
        for job in jobs:
            waited_s = now_s - record.from_s(job)
            self._end(job, now_s, unstarted(kind, waited_s, record.failed, record.cause))

    def _look(self, number: int, now_s: float) -> None:
        """End a worker that is not up yet."""
        worker = self._board.fleet.get(number)
        if worker is None or worker.ready or worker.doomed:
            return
        self._board.fleet.retire(worker)
        cause = f"it had a process and did not come up within {worker.start_s:g} s"
        self._board.commands.append(KillWorker(number, cause))


def _waits(job: Job, placements: set[Placement]) -> bool:
    """Whether any task that could run now has one of these placements."""
    return any([job.ready.get(placement) for placement in placements])


def _needs(job: Job, placements: set[Placement]) -> bool:
    """Whether any task that workers are still to run has one of these placements.

    A job that is laid over several has states behind its plan's: the dispatcher does those tasks.
    """
    states = zip(job.plan.tasks, job.states, strict=False)
    return any([task.placement in placements and state not in FINISHED for task, state in states])
