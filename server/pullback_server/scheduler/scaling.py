"""How many workers there are: as many as what waits needs, between the least and the most.

A worker that is to start is a request that Ray's autoscaler sees; one that is stopped has no batch.
What it still held for a job under way is computed again where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.commands import StartWorker, StopWorker
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.starts import Starts
from pullback_server.scheduler.worker import Worker


class Scaling:
    """Starts and stops workers.

    Args:
        starts: says when the next may start.
        changed: told of jobs that a stopped worker held something of.
    """

    def __init__(self, board: Board, starts: Starts, changed: Callable[[Job], None]) -> None:
        self._board = board
        self._starts = starts
        self._changed = changed
        self._serving = board.settings.serving
        settings = board.settings
        self._most = [
            (kind, board.fleet.kinds[kind], most) for kind, most in settings.workers.items()
        ]
        self._most_of_all = sum(settings.workers.values())
        self._elastic = {k for k, most in settings.workers.items() if settings.least(k) < most}

    def wanted(self, kind: Placement) -> int:
        """How many workers of a kind there should be now."""
        settings = self._board.settings
        least, most = settings.least(kind), settings.workers[kind]
        if least == most:
            return most
        own = self._board.fleet.kinds[kind]
        busy = len(own.ready) - len(own.idle)
        waiting_s = 0.0
        for placement, serving in self._serving.items():
            if serving is kind:
                backlog = self._board.accounts.backlog[placement]
                waiting_s += min(backlog.seconds, backlog.tasks * settings.grow_s)
        return max(least, min(most, busy + ceil(waiting_s / settings.grow_s)))

    def resize(self, now_s: float) -> None:
        """Start what is missing; after failed starts, no sooner than the delay says."""
        board = self._board
        if len(board.fleet.workers) >= self._most_of_all:
            return
        for kind, own, most in self._most:
            if len(own.ready) + own.starting >= most or not self._starts.may(kind, now_s):
                continue
            for _ in range(self.wanted(kind) - own.count):
                worker = Worker(next(board.worker_ids), kind)
                board.fleet.add(worker)
                board.commands.append(StartWorker(worker.id, kind))
                self.watch(worker, now_s)
                self._starts.watch(kind, now_s)

    def watch(self, worker: Worker, now_s: float) -> None:
        """A worker has nothing to do from now: see whether that stays so."""
        worker.idle_since_s = now_s
        if worker.placement in self._elastic and not worker.watched:
            self._look_again(worker, now_s + self._board.settings.idle_s)

    def _look_again(self, worker: Worker, time_s: float) -> None:
        worker.watched = True
        self._board.alarms.at(time_s, self._look, worker.id)

    def _look(self, number: int, now_s: float) -> None:
        """Stop a worker that was idle all the time, if there are enough without it."""
        worker = self._board.fleet.get(number)
        if worker is None:
            return
        worker.watched = False
        if worker.doomed or worker.in_flight:
            return
        left_s = worker.idle_since_s + self._board.settings.idle_s - now_s
        own = self._board.fleet.kinds[worker.placement]
        enough = len(own.ready) if worker.ready else own.count
        wanted = self.wanted(worker.placement)
        if left_s <= 0 and enough > wanted and not self._is_read(number):
            self._stop(worker)
        else:
            again_s = max(left_s, self._board.settings.idle_s / 4)
            self._look_again(worker, now_s + again_s)

    def _is_read(self, number: int) -> bool:
        """Whether a batch under way is brought something by a worker."""
        batches = [b for other in self._board.fleet.workers.values() for b in other.in_flight]
        return any([holder == number for batch in batches for _, holder in batch.coming])

    def _stop(self, worker: Worker) -> None:
        board = self._board
        board.fleet.remove(worker)
        board.commands.append(StopWorker(worker.id))
        for job in board.forget(worker):
            self._changed(job)
