"""Memory of workers: which tasks have room beside what is held, and what may be held at all.

A worker keeps so much free that the largest task of any job under way has room there: what would
take more is handed to the dispatcher, whose store is shared memory and disk, and read from there.
So the oldest job can always go on, wherever, and nothing waits for ever. What a batch makes counts
from when the batch is given until it ends, as if nothing of it were dropped on the way; what is
brought for any of its tasks is there before the first of them runs.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from pullback_server.scheduler.dependencies import Dependencies
from pullback_server.scheduler.holdings import HeldBytes
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.worker import Worker


class Needs:
    """The largest task of each job under way, in bytes."""

    def __init__(self) -> None:
        self._jobs: dict[int, int] = {}
        self.largest_bytes = 0

    def add(self, plan: Dependencies) -> None:
        """A job came."""
        size_bytes = plan.peak_bytes
        self._jobs[size_bytes] = self._jobs.get(size_bytes, 0) + 1
        self.largest_bytes = max(self.largest_bytes, size_bytes)

    def remove(self, plan: Dependencies) -> None:
        """A job is over."""
        size_bytes = plan.peak_bytes
        self._jobs[size_bytes] -= 1
        if not self._jobs[size_bytes]:
            del self._jobs[size_bytes]
            if size_bytes == self.largest_bytes:
                self.largest_bytes = max(self._jobs, default=0)


class Room:
    """What has room.

    Args:
        held_bytes: what each worker holds of values.
        needs: of all jobs.
    """

    def __init__(self, held_bytes: HeldBytes, needs: Needs) -> None:
        self._held_bytes = held_bytes
        self._needs = needs

    def fits(self, job: Job, task: int, worker: Worker) -> bool:
        """Whether a worker has room for a task beside what it holds and will."""
        return self.left_bytes(job, task, worker) >= 0

    def left_bytes(
        self,
        job: Job,
        task: int,
        worker: Worker,
        before: Collection[int] = (),
        made_bytes: int = 0,
        *,
        express: bool = False,
    ) -> float:
        """What a worker has left, at least, while it runs a task; below 0 where that does not fit.

        Args:
            before: tasks of the same batch.
            made_bytes: what those add to what the worker holds.
            express: whether it is to run beside what the worker has, or that beside it.
        """
        if not worker.memory_bytes:
            return inf
        taken_bytes = made_bytes + self._taken_bytes(worker) + job.plan.tasks[task].peak_bytes
        left_bytes = worker.memory_bytes - taken_bytes - _beside_bytes(worker, express)
        if left_bytes >= 0:
            return left_bytes
        here = [
            value
            for value in job.plan.operands[task]
            if value.task in before or job.holds(worker.id, value)
        ]
        return left_bytes + sum(map(job.plan.size_bytes, here))

    @staticmethod
    def brought_bytes(job: Job, task: int, worker: Worker, before: Collection[int]) -> int:
        """What is to be brought for a task that runs behind others of its batch."""
        holds, number, size_bytes = job.holds, worker.id, job.plan.size_bytes
        brought_bytes = 0
        for value in job.plan.operands[task]:
            if value.task not in before and not holds(number, value):
                brought_bytes += size_bytes(value)
        return brought_bytes

    def to_keep_bytes(self, worker: Worker) -> float:
        """How much more a worker may hold for longer than a batch."""
        if not worker.memory_bytes:
            return inf
        return worker.memory_bytes - self._needs.largest_bytes - self._taken_bytes(worker)

    def _taken_bytes(self, worker: Worker) -> int:
        return self._held_bytes.get(worker.id, 0) + worker.made_bytes


def _beside_bytes(worker: Worker, express: bool) -> int:
    """What tasks may take that run at the same time."""
    if express:
        return max([batch.peak_bytes for batch in worker.batches.values()], default=0)
    return 0 if worker.express is None else worker.express.peak_bytes
