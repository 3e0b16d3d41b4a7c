"""Who is to blame for a lost worker: what it ran, as far as nothing speaks against that.

A task that takes a worker down every time is not run again after some; on a cluster that loses
workers anyway, so would one be that has nothing to do with it. What tells them apart are losses
that no task brought about: of workers that had nothing to do, or whose tasks ran through elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection

from pullback_server.scheduler.job import Job
from pullback_server.scheduler.states import Loss


class Blame:
    """What is known of the workers that were lost.

    Attributes:
        strays: how many were lost by nothing that they ran.

    Args:
        most_losses: of workers, after which a task is to blame, where none were lost otherwise.
    """

    def __init__(self, most_losses: int) -> None:
        self._most_losses = most_losses
        self.strays = 0

    def suspect(self, job: Job, tasks: Collection[int], loss: Loss) -> None:
        """A worker was lost that was running these tasks: each of them runs alone from now."""
        loss.tasks += len(tasks)
        for task in tasks:
            job.blame(task, loss, self.strays)

    def cleared(self, job: Job, task: int) -> None:
        """A task ran through that was suspect."""
        for loss in job.suspicions.pop(task, ()):
            loss.tasks -= 1
            self.strays += not loss.tasks

    def is_guilty(self, job: Job, task: int) -> bool:
        """Whether more workers were lost with a task than it may be by chance.

        As many more as were lost since its first without a task being to blame.
        """
        strays = self.strays - job.strays_before.get(task, self.strays)
        return job.losses[task] >= self._most_losses + strays
