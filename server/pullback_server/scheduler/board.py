"""What the parts of the scheduler share: jobs, workers, accounts, and the commands they give."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.accounts import Accounts
from pullback_server.scheduler.alarms import Alarms
from pullback_server.scheduler.calibration import Calibration
from pullback_server.scheduler.commands import Command, Free
from pullback_server.scheduler.deadlines import Deadlines
from pullback_server.scheduler.events import BatchId, JobId, WorkerId
from pullback_server.scheduler.fleet import Fleet
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.room import Needs
from pullback_server.scheduler.settings import Settings
from pullback_server.scheduler.statistics import Totals
from pullback_server.scheduler.worker import Worker


@dataclass(slots=True)
class Board:
    """The state of the scheduler.

    Attributes:
        commands: those given since the last event was answered.
        freeing: jobs of which values may be dropped.
        batch_ids, worker_ids: numbers that were not used before.
    """

    settings: Settings
    jobs: dict[JobId, Job] = field(default_factory=dict)
    fleet: Fleet = field(default_factory=Fleet)
    needs: Needs = field(default_factory=Needs)
    accounts: Accounts = field(default_factory=Accounts)
    calibration: Calibration = field(default_factory=Calibration)
    totals: Totals = field(default_factory=Totals)
    alarms: Alarms = field(default_factory=Alarms)
    deadlines: Deadlines = field(default_factory=Deadlines)
    commands: list[Command] = field(default_factory=list)
    freeing: dict[JobId, Job] = field(default_factory=dict)
    batch_ids: count[BatchId] = field(default_factory=lambda: count(1))
    worker_ids: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.accounts.held_bytes = self.fleet.held_bytes
        self.accounts.serves = self._serves

    def _serves(self, number: WorkerId, placement: Placement) -> bool:
        worker = self.fleet.get(number)
        return worker is not None and worker.placement is self.settings.serving[placement]

    def take_commands(self) -> list[Command]:
        """The commands given since this was last asked."""
        commands, self.commands = self.commands, []
        return commands

    def free(self) -> None:
        """Have holders drop what nobody will read."""
        for job in self.freeing.values():
            for holder, values in job.take_freed().items():
                self.commands.append(Free(holder, job.id, tuple(values)))
        self.freeing.clear()

    def part_with(self, worker: Worker) -> list[Job]:
        """Nothing is to be had from a worker any more; the jobs that had something there."""
        return [job for job in self.jobs.values() if job.part_with(worker.id)]

    def forget(self, worker: Worker) -> list[Job]:
        """Nothing is at a worker any more; the jobs that had something there."""
        hurt = [job for job in self.jobs.values() if job.forget(worker.id)]
        self.fleet.held_bytes.pop(worker.id, None)
        return hurt
