"""What is done about cancelled batches that do not stop: their worker is killed after a while.

All of a call are reported when the last of them is over, so that nobody here knows which of them is
running. Before a worker is killed for one of several, it is asked: that may be over, and another be
slow, or it may not have begun. One that does not answer is taken to be held up by it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

from pullback_server.scheduler.board import Board
from pullback_server.scheduler.commands import AskWorker
from pullback_server.scheduler.events import WorkerAnswered
from pullback_server.scheduler.worker import Batch, Worker

Kill: TypeAlias = Callable[[Worker, str], None]


class Grace:
    """Gives cancelled batches their time to stop.

    Args:
        kill: ends a worker, for a cause.
    """

    def __init__(self, board: Board, kill: Kill) -> None:
        self._board = board
        self._grace_s = board.settings.grace_s
        self._kill = kill

    def due_at_s(self, worker: Worker) -> float:
        """When something is to be done about a worker's cancelled batches."""
        return min(
            [self._acts_at_s(worker, own) for own in worker.called_off.values()], default=inf
        )

    def look(self, worker: Worker, now_s: float) -> None:
        """Kill a worker for a batch that goes on, or ask it whether it is that one which does."""
        for batch in worker.called_off.values():
            if now_s < self._acts_at_s(worker, batch):
                continue
            if _runs_for_sure(worker, batch) or worker.is_asked:
                self._end(worker, batch)
                return
            worker.asked_s = now_s
            self._board.commands.append(AskWorker(worker.id))

    def answered(self, worker: Worker, event: WorkerAnswered) -> None:
        """A worker says what it runs: it is killed for that if it had its time to stop."""
        worker.answered_s = event.now_s
        worker.turn, worker.turn_since_s = event.batch, event.now_s - event.running_s
        batch = worker.called_off.get(event.batch)
        if batch is not None and event.now_s >= self._ends_s(worker, batch):
            self._end(worker, batch)

    def _end(self, worker: Worker, batch: Batch) -> None:
        worker.turn = batch.id
        self._kill(worker, f"a cancelled batch ran on for {self._grace_s:g} s")

    def _acts_at_s(self, worker: Worker, batch: Batch) -> float:
        """When a worker is asked or killed; one that was asked has the time of its grace again."""
        ends_s = self._ends_s(worker, batch)
        if _runs_for_sure(worker, batch) or not worker.is_asked:
            return ends_s
        return max(ends_s, worker.asked_s + self._grace_s + self._mates_s(worker))

    def _ends_s(self, worker: Worker, batch: Batch) -> float:
        """When a batch has had its time to stop, as far as is known of when it began."""
        oldest, cancelled_s = worker.oldest, batch.cancelled_s
        if cancelled_s is None:
            return inf
        if _runs_for_sure(worker, batch):
            return max(cancelled_s, batch.oldest_since_s) + self._grace_s
        if oldest is None or batch.call != oldest.call:
            return inf  # its call has not begun
        if worker.turn == batch.id:
            return max(cancelled_s, worker.turn_since_s) + self._grace_s
        if worker.turn in worker.batches and worker.turn > batch.id:
            return inf  # it is over
        return max(cancelled_s, oldest.oldest_since_s, worker.answered_s) + self._grace_s

    def _mates_s(self, worker: Worker) -> float:
        """What those of the call in hand may take that are to go on: the call may wait for them."""
        mates_s = sum([own.estimate_s for own in worker.under_way if own.cancelled_s is None])
        return self._board.settings.late_factor * mates_s


def _runs_for_sure(worker: Worker, batch: Batch) -> bool:
    """Whether a batch is running: beside the others, or as the only one of the call in hand."""
    return batch.express or (batch is worker.oldest and not worker.has_mates)
