"""Which tasks of a job go to a worker next: those whose shards and operands are there.

Placement moves time, never bits: what is added to what is the plan's alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter

from pullback_server.planner.plan import Phase, Placement, TaskOutput
from pullback_server.scheduler.calibration import Calibration
from pullback_server.scheduler.commands import Call, Fetch
from pullback_server.scheduler.events import HERE, WorkerId
from pullback_server.scheduler.fleet import Fleet
from pullback_server.scheduler.holdings import Holders
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.layouts import CLEARLY_MORE
from pullback_server.scheduler.ready import ANYWHERE, SUSPECT, ReadyTasks
from pullback_server.scheduler.room import Room
from pullback_server.scheduler.states import TaskState
from pullback_server.scheduler.worker import Worker

_WAITING, _DONE, _RELEASED = TaskState.WAITING, TaskState.DONE, TaskState.RELEASED
_BY_BACKLOG = itemgetter(0)

SLIGHT_SHARE = 0.02
"""A task that takes this little of the time of a batch may follow although the batch is full."""
MOST_MISFITS = 16
"""Tasks that do not fit a worker's memory, after which no more are looked at."""
MOST_HOMES = 2
"""Busy workers among which an idle one looks for tasks to take over: the better of two is nearly as
good as the best of all (Mitzenmacher 2001, "The power of two choices in load balancing")."""


@dataclass(slots=True)
class Choice:
    """Tasks to run together, in order: operands first, neighbours joined as soon as may be.

    Attributes:
        budget_s: predicted time that ends the choice; one task always fits.
        estimate_s: predicted time of those chosen.
        alone: whether it is a suspect, which shares its worker with nothing.
        express: whether it is to run beside what the worker has, for `most_s` at most.
        awaited: whether other workers wait for values of those chosen: they hear of them when the
            batch ends, so that nothing long is to come behind.
        made_bytes: what those chosen add to what the worker holds.
        least_left_bytes: what the worker has left, at least, while it runs any of them.
        misfit: a task that the worker has no room for, if that was met.
    """

    job: Job
    worker: Worker
    placer: Placer
    budget_s: float
    estimate_s: float = 0.0
    alone: bool = False
    awaited: bool = False
    tasks: dict[int, None] = field(default_factory=dict)
    made_bytes: int = 0
    least_left_bytes: float = inf
    misfit: int | None = None
    express: bool = False
    most_s: float = inf

    def add(self, task: int) -> bool:
        """Add a task, and those behind it that need no more than is now on the worker.

        A task that joins values may have the others brought: whoever is last joins.

        Returns: whether the worker has room for the task.
        """
        job, tasks, consumers = self.job, self.tasks, self.job.plan.consumers
        plan, kind, estimate_s = job.plan, self.worker.placement, self.placer.calibration.estimate_s
        queue, queued = [task], {task}
        for task in queue:
            if not self.take(task):
                continue  # looked at only here, behind all that goes ahead of it
            self.estimate_s += estimate_s(plan, task, kind)
            if self.alone:
                return True
            if plan.continuations[task] and not self.awaited:
                self.awaited = self._is_awaited(plan.continuations[task])
            for consumer in consumers[task]:
                if consumer not in queued and self._follows(consumer):
                    queue.append(consumer)
                    queued.add(consumer)
        return queue[0] in tasks

    def take(self, task: int) -> bool:
        """Add a task alone, behind those chosen; whether its worker has room for that."""
        job, worker, tasks = self.job, self.worker, self.tasks
        if worker.memory_bytes:
            room, express = self.placer.room, self.express
            brought_bytes = room.brought_bytes(job, task, worker, tasks)
            left_bytes = min(
                self.least_left_bytes - brought_bytes,  # it is brought before any of them runs
                room.left_bytes(job, task, worker, tasks, self.made_bytes, express=express),
            )
            if left_bytes < 0:
                return False
            self.least_left_bytes = left_bytes
            self.made_bytes += job.plan.made_bytes[task] + brought_bytes
        tasks[task] = None
        return True

    def _is_awaited(self, continuations: Iterable[int]) -> bool:
        """Whether another worker waits for a task to go on with one of these."""
        job = self.job
        waiting = [reader for reader in continuations if job.states[reader] is _WAITING]
        return _read_elsewhere(job, waiting, self.worker.id)

    def delays(self, task: int) -> bool:
        """Whether a task would keep other workers from what they wait for, for long."""
        return self.awaited and self.placer.is_long(self.job, task, self.worker)

    def refuses(self, task: int) -> bool:
        """Whether an express batch is not to have a task: too long, or tried before."""
        own_s = self.placer.estimate_s(self.job, task, self.worker)
        return self.job.attempts[task] > 0 or self.estimate_s + own_s > self.most_s

    def _follows(self, task: int) -> bool:
        job, own, worker = self.job, self.tasks, self.worker
        if job.states[task] is not _WAITING or task in own or job.losses[task]:
            return False
        wanted = job.plan.tasks[task]
        joins = wanted.phase is Phase.REDUCE
        if self.placer.serving[wanted.placement] is not worker.placement:
            return False
        if (self.express and self.refuses(task)) or (not joins and not self._belongs(task)):
            return False
        for value in job.plan.operands[task]:
            brought = value.task in own or (joins and value in job.held.holders)
            if not brought and not job.holds(worker.id, value):
                return False
        return True

    def _belongs(self, task: int) -> bool:
        """Whether a task that does not join what is here belongs here, by its home."""
        if self.job.first_home(task) not in (ANYWHERE, self.worker.id) or self.delays(task):
            return False
        own_s = self.placer.estimate_s(self.job, task, self.worker)
        return self.estimate_s < self.budget_s or own_s < SLIGHT_SHARE * self.estimate_s

    @property
    def full(self) -> bool:
        """Whether nothing more is to be added."""
        return self.alone or self.estimate_s >= self.budget_s


@dataclass(frozen=True, slots=True)
class Placer:
    """Chooses batches.

    Attributes:
        budget_s: predicted time to fill a batch with.
        serving: the kind of worker that runs tasks of a placement.
    """

    fleet: Fleet
    room: Room
    calibration: Calibration
    budget_s: float
    serving: Mapping[Placement, Placement]

    def estimate_s(self, job: Job, task: int, worker: Worker) -> float:
        """Predicted time of a task on a worker."""
        return self.calibration.estimate_s(job.plan, task, worker.placement)

    def is_long(self, job: Job, task: int, worker: Worker) -> bool:
        """Whether a task takes longer than the way to a worker and back."""
        overhead_s = self.calibration.move_s(worker.placement, 0)
        return self.estimate_s(job, task, worker) > overhead_s

    def choose(self, job: Job, ready: ReadyTasks, worker: Worker, now_s: float) -> Choice:
        """The next batch of a job for a worker; without tasks if it has none for it."""
        choice = Choice(job, worker, self, self.budget_s)
        idle = not worker.batches
        if idle and SUSPECT in ready.counts:
            choice.alone = True
            self._fill(choice, ready, SUSPECT)
            choice.alone = bool(choice.tasks)
        if not choice.alone:
            if worker.id in ready.counts:
                self._fill(choice, ready, worker.id)
            if ANYWHERE in ready.counts:
                self._fill(choice, ready, ANYWHERE)
        if idle and not choice.tasks:
            self._take_over(choice, ready, now_s)
        return choice

    def choose_express(self, job: Job, ready: ReadyTasks, worker: Worker, most_s: float) -> Choice:
        """What a worker may run of a job beside what it has; without tasks if nothing."""
        choice = Choice(job, worker, self, self.budget_s, express=True, most_s=most_s)
        for home in (worker.id, ANYWHERE):
            if home in ready.counts:
                self._fill(choice, ready, home)
        return choice

    def _fill(self, choice: Choice, ready: ReadyTasks, home: WorkerId) -> None:
        misfits: list[int] = []
        while not choice.full or not choice.tasks:
            task = ready.take_first(home) if len(misfits) < MOST_MISFITS else None
            if task is None:
                break
            if task in choice.tasks:
                continue
            if choice.delays(task) or (choice.express and choice.refuses(task)):
                ready.put_back(task)
                break
            if not choice.add(task):
                misfits.append(task)
        for task in misfits:
            choice.misfit = task
            ready.put_back(task)

    def _take_over(self, choice: Choice, ready: ReadyTasks, now_s: float) -> None:
        """What an idle worker may take from the busiest other home: up to half, from its end."""
        find, homes = self.fleet.get, []
        for home in ready.counts:
            if home > HERE:
                owner = find(home)
                homes.append((inf if owner is None else owner.backlog_s(now_s), home))
                if len(homes) == MOST_HOMES:
                    break
        if len(homes) > 1:
            homes.sort(key=_BY_BACKLOG, reverse=True)
        for backlog_s, home in homes:
            taken = self._end_of(home, backlog_s, choice, ready)
            for task in reversed(taken):
                if task not in choice.tasks and not choice.add(task):
                    ready.put_back(task)
            if choice.tasks:
                return

    def _end_of(
        self, home: WorkerId, backlog_s: float, choice: Choice, ready: ReadyTasks
    ) -> list[int]:
        """Tasks at the end of another worker's share that are worth moving here, the last first."""
        taken: list[int] = []
        total_s, most = 0.0, (ready.counts[home] + 1) // 2
        while total_s < self.budget_s and (task := ready.take_last(home)) is not None:
            if not self._worth_moving(choice, task, backlog_s):
                ready.put_back(task)
                break
            taken.append(task)
            if len(taken) >= most:
                break
            total_s += self.estimate_s(choice.job, task, choice.worker)
        return taken

    def _worth_moving(self, choice: Choice, task: int, backlog_s: float) -> bool:
        job, worker = choice.job, choice.worker
        if worker.memory_bytes and not self.room.fits(job, task, worker):
            choice.misfit = task
            return False
        plan, kind = job.plan, worker.placement
        if backlog_s > self._away_s(kind, plan.moved_bytes[task]):
            return True
        back = [
            v
            for v in plan.outputs[task]
            if _read_elsewhere(job, job.unfinished_readers(v), worker.id)
        ]
        return backlog_s > self._away_s(
            kind, sum(map(plan.size_bytes, [*plan.operands[task], *back]))
        )

    def _away_s(self, kind: Placement, size_bytes: float) -> float:
        """What a task is to be spared of waiting, at least, to run away from values of that size.

        They are written on one side and read on the other, and nothing of that runs beside other
        tasks of either worker.
        """
        return CLEARLY_MORE * self.calibration.move_s(kind, 2.0 * size_bytes)


def calls_of(
    job: Job, tasks: Mapping[int, None], worker: WorkerId, to_keep_bytes: float = inf
) -> tuple[Call, ...]:
    """What a worker is to do with the outputs of each task of a batch; the job notes what it keeps.

    Args:
        to_keep_bytes: how much it may keep of them; the rest it hands to the dispatcher.
    """
    calls, plan, states = [], job.plan, job.states
    size_bytes, results, reading = plan.size_bytes, plan.results, plan.reading
    for task in tasks:
        keep: tuple[int, ...] = ()
        send: tuple[int, ...] = ()
        for value in plan.outputs[task]:
            outside = []
            for reader in reading.get(value, ()):
                state = states[reader]
                if reader not in tasks and state is not _DONE and state is not _RELEASED:
                    outside.append(reader)
            goes = value in results
            if outside:
                if size_bytes(value) <= to_keep_bytes:
                    to_keep_bytes -= size_bytes(value)
                    keep = (*keep, value.output)
                    job.passed_on.discard(value)
                    goes = goes or _read_elsewhere(job, outside, worker)
                else:
                    job.passed_on.add(value)
                    goes = True
            elif job.passed_on:
                job.passed_on.discard(value)
            if goes:
                send = (*send, value.output)
        calls.append(Call(task, keep, send))
    return tuple(calls)


def _read_elsewhere(job: Job, readers: Iterable[int], worker: WorkerId) -> bool:
    """Whether a reader of a value is expected to run on another worker than the value's."""
    first_home = job.first_home
    for reader in readers:
        home = first_home(reader)
        if home not in (worker, ANYWHERE):
            return True
    return False


def fetches_of(
    job: Job, tasks: Mapping[int, None], worker: WorkerId, avoid: WorkerId | None = None
) -> tuple[Fetch, ...]:
    """The values a batch reads that its worker has not: each with whom to ask.

    Args:
        avoid: a worker to ask only for what nobody else has.
    """
    operands, holds = job.plan.operands, job.holds
    missing: dict[TaskOutput, None] = {}
    for task in tasks:
        for value in operands[task]:
            if value.task not in tasks and not holds(worker, value):
                missing[value] = None
    holders = job.held.holders
    return tuple([Fetch(value, _nearest(holders[value], avoid)) for value in missing])


def _nearest(holders: Holders, avoid: WorkerId | None) -> WorkerId:
    """The dispatcher itself where it has a copy, else whoever has had the value longest."""
    if HERE in holders:
        return HERE
    return next((holder for holder in holders if holder != avoid), next(iter(holders)))


assert HERE < 1, "workers are numbered from one"
