"""Short tasks beside long ones: a worker in a long batch may run a short one at the same time.

No task is interrupted, so what comes while all workers are in long ones would wait for their end.
A task of another flow than what a worker runs, and whose turn is before that's, goes beside it if
it is predicted to be done, at half the speed, before any worker would have begun it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TypeAlias

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.events import JobId
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.placement import Choice, Placer
from pullback_server.scheduler.ready import ANYWHERE, ReadyTasks
from pullback_server.scheduler.shares import Shares
from pullback_server.scheduler.worker import Worker

SPEED = 0.5
"""Of a task that shares a processor with another."""
MOST_JOBS_TRIED = 4
MOST_WORKERS_TRIED = 2

Lay: TypeAlias = Callable[[Job, Placement], None]
Run: TypeAlias = Callable[[Choice, Placement, float], object]


class Express:
    """Gives workers in long batches a short one besides.

    Not to those with a GPU, where the kernels of both would wait in one queue.

    Args:
        shares: of the workers with a CPU, in which jobs take turns.
        lay: says where a job's shards belong, now that it is looked at.
        run: gives a worker what was chosen for it.

    Attributes:
        waiting: jobs to look at, in turn; to be read alone.
    """

    def __init__(self, board: Board, placer: Placer, shares: Shares, lay: Lay, run: Run) -> None:
        self._board = board
        self._placer = placer
        self._shares = shares
        self._lay = lay
        self._run = run
        self._kind = board.fleet.kinds[Placement.CPU]
        self.waiting: dict[JobId, None] = {}

    def offer(self, job: Job) -> None:
        """What of a job is ready changed."""
        self.waiting[job.id] = None

    def drop(self, job: Job) -> None:
        """A job is over."""
        self.waiting.pop(job.id, None)

    def fill(self, now_s: float) -> None:
        """Give what is ready to those that may run it beside what they do.

        A job that is refused is not looked at again until more of it is ready: it waits its turn.
        """
        if not self.waiting or not self._kind.beside or len(self._board.jobs) < 2:
            return
        for number in [*islice(self.waiting, MOST_JOBS_TRIED)]:
            job = self._board.jobs[number]
            ready = job.ready.get(Placement.CPU)
            del self.waiting[number]
            if ready and not self._place(job, ready, now_s):
                self.waiting[number] = None  # behind the others

    def _place(self, job: Job, ready: ReadyTasks, now_s: float) -> bool:
        """Give a job's tasks; False if none of the workers they belong to is to be had."""
        self._lay(job, Placement.CPU)
        workers = self._workers(ready)
        for worker in workers:
            most_s = SPEED * self._wait_s(worker, ready, now_s)
            if self._placer.estimate_s(job, ready.first, worker) > most_s:
                continue
            if self._may_pass(job, worker):
                choice = self._placer.choose_express(job, ready, worker, most_s)
                if choice.tasks:
                    self._run(choice, Placement.CPU, now_s)
            if not ready:
                break
        return bool(workers)

    def _workers(self, ready: ReadyTasks) -> list[Worker]:
        """Those to look at: where tasks belong, and some others for what may run anywhere."""
        beside, fleet = self._kind.beside, self._board.fleet
        if ANYWHERE in ready.counts:
            return [fleet[number] for number in islice(beside, MOST_WORKERS_TRIED)]
        return [fleet[home] for home in ready.homes(MOST_WORKERS_TRIED) if home in beside]

    def _wait_s(self, worker: Worker, ready: ReadyTasks, now_s: float) -> float:
        """How long tasks would wait otherwise: for a worker, or for another that is soon idle."""
        wait_s = worker.backlog_s(now_s)
        if self._kind.soon and ANYWHERE in ready.counts:
            return min(wait_s, self._board.settings.queue_behind_s)
        return wait_s

    def _may_pass(self, job: Job, worker: Worker) -> bool:
        """Whether a job's turn is before that of what a worker runs; of one flow, none passes."""
        oldest = worker.oldest
        if oldest is None or oldest.alone:
            return False
        if any([batch.job == job.id for batch in worker.batches.values()]):
            return False  # it would look for values that are still to be computed there
        other = self._board.jobs.get(oldest.job)
        if other is None:
            return True
        own_flow, its_flow = (j.flows[Placement.CPU][0] for j in (job, other))
        if own_flow is its_flow:
            return False
        if not self._shares.has_waiting(own_flow.rival(its_flow)):
            return True  # whoever that is for has nothing else: there are no turns to take
        return Shares.turn(own_flow, job.sequence) < Shares.turn(its_flow, other.sequence)
