"""Small jobs in company: several go to a worker in one call, where many wait.

A call takes a millisecond of both sides' processors, as much as some small jobs together. They stay
batches of their own, each of one job; but all are answered when the last is done, so that those of
a call are few and take little, and each worker gets its share of what waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.layouts import work_s
from pullback_server.scheduler.placement import Choice, Placer
from pullback_server.scheduler.ready import ANYWHERE
from pullback_server.scheduler.shares import Shares
from pullback_server.scheduler.worker import Batch, Worker

MOST_TOGETHER = 16
"""Batches of a call: more save little, and all of them are suspects where their worker dies."""
MOST_TASKS = 16
"""Of a job that goes in company: so many are looked at."""

Lay: TypeAlias = Callable[[Job, Placement], None]
Run: TypeAlias = Callable[[Choice, Placement, float, Batch], Batch]


class Company:
    """Finds small jobs to go along with one.

    Args:
        queues: jobs that any worker will do for, in the order of their turn.
        lay: says where a job's shards belong, now that it is looked at.
        run: gives a worker what was chosen for it, in the call of a batch it was just given.
    """

    def __init__(
        self,
        board: Board,
        placer: Placer,
        queues: Mapping[Placement, Shares],
        lay: Lay,
        run: Run,
    ) -> None:
        self._board = board
        self._placer = placer
        self._queues = queues
        self._lay = lay
        self._run = run

    def share(self, placement: Placement, workers: int) -> int:
        """How many of the jobs that wait are one worker's."""
        return len(self._queues[placement].waiting) // max(1, workers)

    def join(
        self, first: Batch, worker: Worker, placement: Placement, most: int, now_s: float
    ) -> None:
        """Give a worker other jobs with the batch it was just given, up to so many with that."""
        left_s = self._board.settings.together_s - first.estimate_s
        if not first.measured or first.alone or first.express or first.coming:
            return
        for _ in range(min(most, MOST_TOGETHER) - 1):
            job = self._next(placement, worker, left_s)
            if job is None:
                return
            choice = self._placer.choose(job, job.ready[placement], worker, now_s)
            if not choice.tasks:
                return
            self._run(choice, placement, now_s, first)
            left_s -= choice.estimate_s

    def _next(self, placement: Placement, worker: Worker, most_s: float) -> Job | None:
        """The job whose turn it is, if it is small, known to the worker, and nothing of it ran."""
        number = self._queues[placement].first()
        job = None if number is None else self._board.jobs[number]
        if job is None or job.started or len(job.ready) > 1 or len(job.plan.tasks) > MOST_TASKS:
            return None
        if not self._is_known(job, worker):
            return None
        if work_s(job.plan, self._board.calibration, worker.placement) > most_s:
            return None
        self._lay(job, placement)
        return job if ANYWHERE in job.ready[placement].counts else None

    def _is_known(self, job: Job, worker: Worker) -> bool:
        """Whether all its programs ran before, and on this worker."""
        seconds = self._board.calibration.kinds[worker.placement].seconds
        programs = job.plan.fingerprints
        return all([own in worker.programs and own in seconds for own in programs])
