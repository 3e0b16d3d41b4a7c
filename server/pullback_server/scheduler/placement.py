"""Which tasks of a job go to a worker next: those whose shards and operands are there.

Placement moves time, never bits: what is added to what is the plan's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pullback_server.planner.plan import Phase, Placement, TaskOutput
from pullback_server.scheduler.commands import Call, Fetch
from pullback_server.scheduler.dependencies import Dependencies
from pullback_server.scheduler.events import HERE, WorkerId
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.ready import ANYWHERE
from pullback_server.scheduler.states import TaskState
from pullback_server.scheduler.worker import Worker

MOVE_S = 2e-3
"""What it costs to run a task away from its home, besides moving its operands."""
MOVED_BYTES_PER_S = 1e9
SLIGHT_SHARE = 0.02
"""A task that takes this little of the time of a batch may follow although the batch is full."""


def lay_shards(plan: Dependencies, workers: Sequence[Worker]) -> list[WorkerId]:
    """A worker per task: contiguous shards of about equal work each, in the workers' order.

    Tasks outside any shard, and those no worker is for, get ANYWHERE.
    """
    work: dict[int, float] = {}
    for task, estimate_s in zip(plan.tasks, plan.estimates_s, strict=True):
        if task.shard >= 0 and task.phase is not Phase.REDUCE:
            work[task.shard] = work.get(task.shard, 0.0) + estimate_s
    middles, before = {}, 0.0
    for shard in sorted(work):
        middles[shard] = before + work[shard] / 2
        before += work[shard]
    homes = []
    for task in plan.tasks:
        able = [worker for worker in workers if accepts(worker, task.placement, workers)]
        share = middles.get(task.shard, 0.0) / before if before else 0.0
        sharded = task.shard >= 0 and able
        homes.append(able[int(share * len(able))].id if sharded else ANYWHERE)
    return homes


def accepts(worker: Worker, placement: Placement, workers: Sequence[Worker]) -> bool:
    """Whether a worker may run tasks of a placement: GPU workers fill in where no others are."""
    if worker.placement is placement:
        return True
    return placement is Placement.CPU and all(w.placement is not placement for w in workers)


@dataclass(slots=True)
class Choice:
    """Tasks to run together, in order: operands first, neighbours joined as soon as may be.

    Attributes:
        budget_s: predicted time that ends the choice; one task always fits.
        estimate_s: predicted time of those chosen.
        alone: whether it is a suspect, which shares its worker with nothing.
    """

    job: Job
    worker: Worker
    estimate: Callable[[Job, int], float]
    budget_s: float
    estimate_s: float = 0.0
    alone: bool = False
    tasks: dict[int, None] = field(default_factory=dict)

    def add(self, task: int) -> None:
        """Add a task, and those behind it that need no more than is now on the worker.

        A task that joins values may have the others brought: whoever is last joins.
        """
        queue = [task]
        while queue and not (self.alone and self.tasks):
            task = queue.pop(0)
            self.tasks[task] = None
            self.estimate_s += self.estimate(self.job, task)
            queue += [c for c in self.job.plan.consumers[task] if self._follows(c, queue)]

    def _follows(self, task: int, queue: Sequence[int]) -> bool:
        job = self.job
        if job.states[task] is not TaskState.WAITING or task in self.tasks or task in queue:
            return False
        if job.suspect(task) or not self._fits(task):
            return False
        lacking = [
            value
            for value in job.plan.operands[task]
            if value.task not in self.tasks and not job.holds(self.worker.id, value)
        ]
        joins = job.plan.tasks[task].phase is Phase.REDUCE
        return not lacking or (joins and all(job.holders.get(value) for value in lacking))

    def _fits(self, task: int) -> bool:
        """Whether a task belongs here: joining what is here always does, other work by its home."""
        wanted = self.job.plan.tasks[task]
        if wanted.placement is Placement.GPU and self.worker.placement is not Placement.GPU:
            return False
        if wanted.phase is Phase.REDUCE:
            return True
        if self.job.first_homes[task] not in (ANYWHERE, self.worker.id):
            return False
        own_s = self.estimate(self.job, task)
        return self.estimate_s < self.budget_s or own_s < SLIGHT_SHARE * self.estimate_s

    @property
    def full(self) -> bool:
        """Whether nothing more is to be added."""
        return self.alone or self.estimate_s >= self.budget_s


@dataclass(frozen=True, slots=True)
class Placer:
    """Chooses batches.

    Attributes:
        workers: those that live, by id.
        estimate: predicted time of a task of a job.
        budget_s: predicted time to fill a batch with.
        now_s: when.
    """

    workers: Mapping[WorkerId, Worker]
    estimate: Callable[[Job, int], float]
    budget_s: float
    now_s: float

    def choose(self, job: Job, worker: Worker) -> Choice | None:
        """The next batch of a job for a worker; None if it has none for it."""
        choice = Choice(job, worker, self.estimate, self.budget_s)
        own = sorted([*job.ready.at(worker.id), *job.ready.at(ANYWHERE)])
        self._fill(choice, own)
        if not choice.tasks and not worker.batches:
            self._fill(choice, self._others(job, worker))
        return choice if choice.tasks else None

    def _fill(self, choice: Choice, tasks: Sequence[int]) -> None:
        job, worker, everyone = choice.job, choice.worker, tuple(self.workers.values())
        for task in tasks:
            if choice.full:
                return
            if task in choice.tasks:
                continue
            if not accepts(worker, job.plan.tasks[task].placement, everyone):
                continue
            if job.suspect(task):
                if choice.tasks or worker.batches:
                    continue
                choice.alone = True
            choice.add(task)

    def _others(self, job: Job, worker: Worker) -> Sequence[int]:
        """What an idle worker may take from the busiest other home: half, from the far end."""
        homes = [home for home in job.ready.homes() if home not in (worker.id, ANYWHERE)]
        for home in sorted(homes, key=self._backlog_s, reverse=True):
            tasks = [t for t in job.ready.at(home) if self._worth_moving(job, t, home)]
            if tasks:
                return tasks[len(tasks) // 2 :]
        return ()

    def _backlog_s(self, home: WorkerId) -> float:
        worker = self.workers.get(home)
        return worker.backlog_s(self.now_s) if worker is not None else float("inf")

    def _worth_moving(self, job: Job, task: int, home: WorkerId) -> bool:
        moved = sum(job.plan.size_bytes(value) for value in job.plan.operands[task])
        return self._backlog_s(home) > MOVE_S + moved / MOVED_BYTES_PER_S


def calls_of(job: Job, tasks: Mapping[int, None], worker: WorkerId) -> tuple[Call, ...]:
    """What a worker is to do with the outputs of each task of a batch."""
    return tuple(_call(job, task, tasks, worker) for task in tasks)


def _call(job: Job, task: int, tasks: Mapping[int, None], worker: WorkerId) -> Call:
    keep, send = [], []
    for output in range(len(job.plan.tasks[task].graph.outputs)):
        value = TaskOutput(task, output)
        outside = [reader for reader in job.unfinished_readers(value) if reader not in tasks]
        if outside:
            keep.append(output)
        if value in job.plan.results or any(_elsewhere(job, r, worker) for r in outside):
            send.append(output)
    return Call(task, tuple(keep), tuple(send))


def _elsewhere(job: Job, reader: int, worker: WorkerId) -> bool:
    """Whether a reader of a value is expected to run on another worker than the value's."""
    return job.first_homes[reader] not in (ANYWHERE, worker)


def fetches_of(job: Job, tasks: Mapping[int, None], worker: WorkerId) -> tuple[Fetch, ...]:
    """The values a batch reads that its worker has not: each with whom to ask."""
    values = dict.fromkeys(value for task in tasks for value in job.plan.operands[task])
    missing = [v for v in values if v.task not in tasks and not job.holds(worker, v)]
    return tuple(Fetch(value, _nearest(job.holders[value])) for value in missing)


def _nearest(holders: set[WorkerId]) -> WorkerId:
    """The dispatcher itself where it has a copy (the smallest id), else the oldest worker."""
    return min(holders)


assert HERE < 1, "workers are numbered from one"
