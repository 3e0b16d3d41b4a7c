"""Which idle worker a job goes to next: where its tasks are, or their program, or room for it."""

from __future__ import annotations

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.events import WorkerId
from pullback_server.scheduler.fleet import Fleet
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.placement import Choice
from pullback_server.scheduler.ready import ANYWHERE, SUSPECT, ReadyTasks
from pullback_server.scheduler.room import Room
from pullback_server.scheduler.worker import Worker


class IdleWorkers:
    """The workers that have nothing to do, as a job looks at them."""

    def __init__(self, fleet: Fleet, room: Room) -> None:
        self._fleet = fleet
        self._room = room

    def worker(self, job: Job, ready: ReadyTasks, kind: Placement) -> Worker:
        """Where tasks belong, else where the program is, else any."""
        fleet = self._fleet
        idle = fleet.kinds[kind].idle
        home = self._home_among(ready, idle)
        if home is not None:
            return fleet[home]
        if ANYWHERE in ready.counts or SUSPECT in ready.counts:
            roomy = self._roomy(job, ready, kind)
            return roomy or fleet.first_idle(kind)
        return fleet.first_idle(kind)

    def elsewhere(self, choice: Choice, ready: ReadyTasks, kind: Placement) -> Choice:
        """The first task of a job on any idle worker with room, where its own worker has none."""
        job, task = choice.job, ready.first
        for worker in self._fleet.idle(kind):
            if self._room.fits(job, task, worker):
                made = Choice(job, worker, choice.placer, 0.0, alone=job.suspect(task))
                made.add(task)
                return made
        return choice

    def _home_among(self, ready: ReadyTasks, idle: set[WorkerId]) -> WorkerId | None:
        """An idle worker that tasks belong to; the fewer of the two are gone through."""
        if len(ready.counts) < len(idle):
            return None if idle.isdisjoint(ready.counts) else ready.first_home_in(idle)
        for worker in idle:
            if worker in ready.counts:
                return worker
        return None

    def _roomy(self, job: Job, ready: ReadyTasks, kind: Placement) -> Worker | None:
        """An idle worker with the program and with room; else one with room."""
        fleet, first = self._fleet, ready.first
        found = fleet.idle_with(kind, job.plan.fingerprints[first])
        if found is not None and self._room.fits(job, first, found):
            return found
        lowest = fleet.first_idle(kind)
        if self._room.fits(job, first, lowest):
            return lowest
        return next((w for w in fleet.idle(kind) if self._room.fits(job, first, w)), None)
