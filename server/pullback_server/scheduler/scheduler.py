"""Decides which worker runs which tasks when: events in, commands out, and nothing else.

No clock, Ray, gRPC or logging here: time arrives in events. It alone retries, so each task's result
counts exactly once however often it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pullback_graph.errors import Cancelled, PullbackError
from pullback_server.planner.plan import Placement
from pullback_server.scheduler.calibration import Calibration
from pullback_server.scheduler.commands import (
    CancelRun,
    Command,
    Free,
    KillWorker,
    Reply,
    Run,
    StartWorker,
)
from pullback_server.scheduler.events import (
    HERE,
    BatchEnded,
    BatchId,
    Cancel,
    Event,
    JobId,
    Submitted,
    TaskDone,
    TaskFailed,
    Tick,
    ValuesLost,
    WorkerId,
    WorkerLost,
    WorkerReady,
)
from pullback_server.scheduler.faults import overdue, poisonous, unlucky, unserved
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.placement import (
    Placer,
    accepts,
    calls_of,
    fetches_of,
    lay_shards,
)
from pullback_server.scheduler.states import Trigger
from pullback_server.scheduler.statistics import KindCount, Snapshot, Totals
from pullback_server.scheduler.worker import Batch, Worker

LONGEST_START_DELAY_S = 30.0
MOST_ATTEMPTS = 20
"""Attempts of one task after which its job fails, whatever the reason."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the scheduler goes by.

    Attributes:
        workers: how many workers of each kind to keep alive.
        batch_s: predicted time to fill a batch with.
        queue_behind_s: a second batch is queued when the first has at most this long to go.
        grace_s: how long a cancelled batch may go on before its worker is killed.
        most_losses: a task that took this many workers down fails its job.
    """

    workers: dict[Placement, int] = field(default_factory=lambda: {Placement.CPU: 1})
    batch_s: float = 0.05
    queue_behind_s: float = 0.15
    grace_s: float = 1.0
    most_losses: int = 3


class Scheduler:
    """The state of all jobs and workers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._jobs: dict[JobId, Job] = {}
        self._workers: dict[WorkerId, Worker] = {}
        self._calibration = Calibration()
        self._totals = Totals()
        self._commands: list[Command] = []
        self._sequence, self._worker_ids, self._batch_ids = count(), count(1), count(1)
        self._failed_starts, self._start_after_s = 0, 0.0
        self._on: dict[type[Event], Callable[[Any], None]] = {
            Submitted: self._submitted,
            WorkerReady: self._worker_ready,
            TaskDone: self._task_done,
            TaskFailed: self._task_failed,
            ValuesLost: self._values_lost,
            BatchEnded: self._batch_ended,
            WorkerLost: self._worker_lost,
            Cancel: self._cancel,
            Tick: self._tick,
        }

    def handle(self, *events: Event) -> list[Command]:
        """What to do now that these events happened, in order."""
        now_s = 0.0
        for event in events:
            now_s = event.now_s
            self._on[type(event)](event)
        self._start_workers(now_s)
        self._dispatch(now_s)
        commands, self._commands = self._commands, []
        return commands

    def snapshot(self) -> Snapshot:
        """How the pool stands; reads only."""
        totals, jobs = self._totals, self._jobs.values()
        return Snapshot(
            workers={kind: self._count(kind) for kind in self.settings.workers},
            jobs=len(jobs),
            queued_jobs=sum(not job.started for job in jobs),
            queued_tasks=sum(len(job.ready) for job in jobs),
            running_tasks=sum(job.running for job in jobs),
            tasks_done=totals.tasks_done,
            retries=totals.retries,
            workers_lost=totals.workers_lost,
            program_cache_hits=totals.program_cache_hits,
            program_cache_misses=totals.program_cache_misses,
            compiling_s=totals.compiling_s,
        )

    # --- events -----------------------------------------------------------------------------------

    def _submitted(self, event: Submitted) -> None:
        job = self._jobs[event.job] = Job(event, next(self._sequence))
        absent = [kind for kind in job.plan.placements if not self._served(kind)]
        if absent:
            self._end(job, event.now_s, unserved(absent[0]))
        elif job.complete:
            self._end(job, event.now_s, None)

    def _worker_ready(self, event: WorkerReady) -> None:
        worker = self._workers.get(event.worker)
        if worker is not None:
            worker.ready = True
            self._failed_starts, self._start_after_s = 0, event.now_s

    def _task_done(self, event: TaskDone) -> None:
        worker = self._workers.get(event.worker)
        batch = worker.batches.get(event.batch) if worker is not None else None
        call = batch.unreported.pop(event.task, None) if batch is not None else None
        if worker is None or batch is None or call is None:
            return  # said twice, or by a worker given up: the task runs elsewhere
        self._count_task(event)
        job = self._jobs.get(batch.job)
        if job is None:
            return
        self._calibration.record(job.plan.fingerprints[event.task], event.running_s)
        job.completed(call, event, worker)
        self._free(job)
        if job.complete:
            self._end(job, event.now_s, None)

    def _task_failed(self, event: TaskFailed) -> None:
        batch = self._batch(event.worker, event.batch)
        if batch is None or batch.unreported.pop(event.task, None) is None:
            return
        job = self._jobs.get(batch.job)
        if job is not None:
            job.failed(event.task)
            self._end(job, event.now_s, event.error)

    def _values_lost(self, event: ValuesLost) -> None:
        batch = self._batch(event.worker, event.batch)
        job = self._jobs.get(batch.job) if batch is not None else None
        if job is not None:
            job.lose(event.worker, event.values)
            job.lose(event.holder, event.values)

    def _batch_ended(self, event: BatchEnded) -> None:
        worker = self._workers.get(event.worker)
        batch = worker.batches.pop(event.batch, None) if worker is not None else None
        if worker is None or batch is None:
            return
        busy_s = self._totals.busy_s
        busy_s[worker.placement] = busy_s.get(worker.placement, 0.0) + event.busy_s
        if worker.oldest is not None:
            worker.oldest.oldest_since_s = event.now_s
        job = self._jobs.get(batch.job)
        if job is None:
            if all(other.job != batch.job for other in worker.batches.values()):
                self._commands.append(Free(worker.id, batch.job))
            return
        self._return(job, batch, Trigger.RETURNED, event.now_s)

    def _worker_lost(self, event: WorkerLost) -> None:
        worker = self._workers.pop(event.worker, None)
        if worker is None:
            return
        if not worker.ready:
            self._failed_starts += 1
            delay_s = min(LONGEST_START_DELAY_S, 0.25 * 2**self._failed_starts)
            self._start_after_s = event.now_s + delay_s
        self._totals.workers_lost += worker.ready
        for job in self._jobs.values():
            job.forget(worker.id)
        for batch in worker.batches.values():
            owner = self._jobs.get(batch.job)
            if owner is None:
                continue
            self._return(owner, batch, Trigger.WORKER_LOST, event.now_s)
            if batch is worker.oldest and not worker.doomed and owner.id in self._jobs:
                self._blame(owner, batch, event)

    def _cancel(self, event: Cancel) -> None:
        job = self._jobs.get(event.job)
        if job is not None:
            self._end(job, event.now_s, Cancelled(event.cause or "the job was cancelled"))

    def _tick(self, event: Tick) -> None:
        for job in tuple(self._jobs.values()):
            if job.deadline_s is not None and event.now_s >= job.deadline_s:
                self._end(job, event.now_s, overdue(job))
        for worker in self._workers.values():
            oldest, grace_s = worker.oldest, self.settings.grace_s
            if oldest is not None and oldest.overdue(event.now_s, grace_s) and not worker.doomed:
                worker.doomed = True
                cause = f"a cancelled batch ran on for {grace_s:g} s"
                self._commands.append(KillWorker(worker.id, cause))

    # --- the end of a job -------------------------------------------------------------------------

    def _end(self, job: Job, now_s: float, error: PullbackError | None) -> None:
        """Answer a job, stop what runs of it, and drop what is held of it."""
        self._free(job)
        del self._jobs[job.id]
        job.end()
        if not job.started:
            job.statistics.queued_s = now_s - job.submitted_s
        self._commands.append(Reply(job.id, job.statistics, error))
        for holder in sorted(job.touched):
            own = [b for b in self._workers[holder].batches.values() if b.job == job.id]
            for batch in own:
                if batch.unreported:
                    batch.cancelled_s = now_s
                    self._commands.append(CancelRun(holder, batch.id))
            if not own:
                self._commands.append(Free(holder, job.id))
        self._commands.append(Free(HERE, job.id))

    def _return(self, job: Job, batch: Batch, trigger: Trigger, now_s: float) -> None:
        """What a batch did not run is to run again, if it has not been tried too often."""
        for task in batch.unreported:
            job.returned(task, trigger)
        often = [task for task in batch.unreported if job.attempts[task] >= MOST_ATTEMPTS]
        if often:
            self._end(job, now_s, unlucky(often[0], job.attempts[often[0]]))

    def _blame(self, job: Job, batch: Batch, lost: WorkerLost) -> None:
        """A worker died running a batch: each of its tasks is suspect, and runs alone from now."""
        for task in batch.unreported:
            job.losses[task] += 1
        worst = max(batch.unreported, key=job.losses.__getitem__, default=None)
        if worst is not None and job.losses[worst] >= self.settings.most_losses:
            self._end(job, lost.now_s, poisonous(worst, job.losses[worst], lost))

    # --- work for workers -------------------------------------------------------------------------

    def _dispatch(self, now_s: float) -> None:
        """Give every idle worker a batch, then those that will soon be idle a second."""
        living = {worker.id: worker for worker in self._workers.values() if worker.ready}
        placer = Placer(living, self._estimate_s, self.settings.batch_s, now_s)
        if not any(len(worker.batches) < 2 for worker in living.values()):
            return
        jobs = sorted((j for j in self._jobs.values() if j.ready), key=lambda job: job.order)
        depths = (0,) if any(job.suspicious for job in jobs) else (0, 1)  # suspects want idle ones
        for depth in depths:
            free = [w for w in living.values() if self._takes(w, depth, now_s)]
            for job in jobs:
                free = self._offer(job, free, placer, now_s)
                if not free:
                    break

    def _takes(self, worker: Worker, depth: int, now_s: float) -> bool:
        if worker.doomed or len(worker.batches) != depth:
            return False
        oldest = worker.oldest
        return oldest is None or (
            not oldest.alone and worker.backlog_s(now_s) <= self.settings.queue_behind_s
        )

    def _offer(self, job: Job, free: list[Worker], placer: Placer, now_s: float) -> list[Worker]:
        """Let workers choose from a job, those that have its programs first; who got nothing."""
        if not job.ready:
            return free
        if not job.started:
            job.lay(lay_shards(job.plan, tuple(placer.workers.values())))
        wanted = job.plan.fingerprints[job.ready.first]
        left = []
        for worker in sorted(free, key=lambda worker: wanted not in worker.programs):
            choice = placer.choose(job, worker)
            if choice is None:
                left.append(worker)
                continue
            batch = self._run(job, worker, choice.tasks, choice.estimate_s, now_s)
            batch.alone = choice.alone
        return sorted(left, key=lambda worker: worker.id)

    def _run(
        self, job: Job, worker: Worker, tasks: dict[int, None], estimate_s: float, now_s: float
    ) -> Batch:
        calls, fetches = calls_of(job, tasks, worker.id), fetches_of(job, tasks, worker.id)
        job.batch(tasks, worker.id)
        self._totals.retries += sum(job.attempts[task] > 1 for task in tasks)
        for fetch in fetches:
            job.holders[fetch.value].add(worker.id)
        if not job.started:
            job.started = True
            job.statistics.queued_s = now_s - job.submitted_s
        worker.remember(job.plan.fingerprints[task] for task in tasks)
        unreported = {call.task: call for call in calls}
        batch = Batch(next(self._batch_ids), job.id, unreported, estimate_s, now_s)
        worker.batches[batch.id] = batch
        self._commands.append(Run(worker.id, batch.id, job.id, calls, fetches))
        return batch

    def _estimate_s(self, job: Job, task: int) -> float:
        plan = job.plan
        return self._calibration.estimate_s(plan.fingerprints[task], plan.estimates_s[task])

    # --- workers ----------------------------------------------------------------------------------

    def _start_workers(self, now_s: float) -> None:
        """Bring every kind up to its number; after failed starts, no sooner than the delay says."""
        if now_s < self._start_after_s:
            return
        for kind, wanted in self.settings.workers.items():
            have = sum(worker.placement is kind for worker in self._workers.values())
            for _ in range(wanted - have):
                worker = Worker(next(self._worker_ids), kind)
                self._workers[worker.id] = worker
                self._commands.append(StartWorker(worker.id, kind))

    def _served(self, placement: Placement) -> bool:
        kinds = [Worker(HERE, kind) for kind, number in self.settings.workers.items() if number]
        return any(accepts(worker, placement, kinds) for worker in kinds)

    # --- small matters ----------------------------------------------------------------------------

    def _batch(self, worker: WorkerId, batch: BatchId) -> Batch | None:
        found = self._workers.get(worker)
        return found.batches.get(batch) if found is not None else None

    def _free(self, job: Job) -> None:
        for holder, values in sorted(job.take_freed().items()):
            self._commands.append(Free(holder, job.id, tuple(values)))

    def _count_task(self, event: TaskDone) -> None:
        totals = self._totals
        totals.tasks_done += 1
        totals.compiling_s += event.compiling_s
        totals.program_cache_hits += event.program_cache_hit
        totals.program_cache_misses += not event.program_cache_hit

    def _count(self, kind: Placement) -> KindCount:
        own: Iterable[Worker] = [w for w in self._workers.values() if w.placement is kind]
        return KindCount(
            starting=sum(not worker.ready for worker in own),
            ready=sum(worker.ready for worker in own),
            busy=sum(bool(worker.batches) for worker in own),
            busy_s=self._totals.busy_s.get(kind, 0.0),
        )
