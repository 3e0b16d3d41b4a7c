"""Decides which worker runs which tasks when: events in, commands out, and nothing else.

No clock, Ray, gRPC or logging here: time arrives in events. It alone retries, so each task's result
counts exactly once however often it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count
from typing import Any

from pullback_graph.errors import PullbackError
from pullback_server.planner.plan import TaskOutput
from pullback_server.scheduler.blame import Blame
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.calibration import Calibration
from pullback_server.scheduler.commands import CancelRun, Command, Free, Reply
from pullback_server.scheduler.events import (
    HERE,
    BatchEnded,
    BatchId,
    Cancel,
    Event,
    Submitted,
    TaskDone,
    TaskFailed,
    Tick,
    ValuesLost,
    WorkerAnswered,
    WorkerId,
    WorkerLost,
    WorkerMeasured,
    WorkerPlaced,
    WorkerReady,
)
from pullback_server.scheduler.faults import abandoned, overdue, poisonous, unlucky, unserved
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.matching import Matching
from pullback_server.scheduler.scaling import Scaling
from pullback_server.scheduler.settings import Settings
from pullback_server.scheduler.starts import Starts
from pullback_server.scheduler.states import Loss, Trigger
from pullback_server.scheduler.statistics import Snapshot
from pullback_server.scheduler.stopping import StoppingJobs
from pullback_server.scheduler.stragglers import Stragglers
from pullback_server.scheduler.worker import Batch, Worker

MOST_ATTEMPTS = 20
"""Attempts of one task after which its job fails, whatever the reason."""


class Scheduler:
    """The state of all jobs and workers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._board = board = Board(settings)
        self._jobs, self._fleet = board.jobs, board.fleet
        self._sequence = count()
        self._stragglers = Stragglers(board)
        self._matching = Matching(board, self._end, self._stragglers.begin)
        self._stragglers.matching = self._matching
        self._starts = Starts(board, self._end)
        self._blames = Blame(settings.most_losses)
        self._scaling = Scaling(board, self._starts, self._matching.refresh)
        self._stopping = StoppingJobs()
        self._on: dict[type[Event], Callable[[Any], None]] = {
            Submitted: self._submitted,
            WorkerPlaced: self._worker_placed,
            WorkerReady: self._worker_ready,
            WorkerAnswered: self._worker_answered,
            WorkerMeasured: self._worker_measured,
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
        on, board, now_s = self._on, self._board, 0.0
        for event in events:
            now_s = event.now_s
            on[type(event)](event)
        if board.freeing:
            board.free()
        for number in board.deadlines.passed(now_s):
            self._end(self._jobs[number], now_s, overdue(self._jobs[number]))
        board.alarms.ring(now_s)
        self._matching.dispatch(now_s)
        self._scaling.resize(now_s)
        return board.take_commands()

    @property
    def next_s(self) -> float:
        """When it wants to be told that time has passed, at the latest."""
        return min(self._board.alarms.next_s, self._board.deadlines.next_s, self._matching.next_s)

    def snapshot(self) -> Snapshot:
        """How the pool stands; reads only."""
        totals, accounts = self._board.totals, self._board.accounts
        wanted = self._scaling.wanted
        return Snapshot(
            workers={k: self._fleet.count(k, wanted(k)) for k in self.settings.workers},
            jobs=len(self._jobs),
            queued_jobs=accounts.unstarted,
            queued_tasks=sum(backlog.tasks for backlog in accounts.backlog.values()),
            running_tasks=accounts.running,
            tasks_done=totals.tasks_done,
            retries=totals.retries,
            copies=totals.copies,
            workers_lost=totals.workers_lost,
            program_cache_hits=totals.program_cache_hits,
            program_cache_misses=totals.program_cache_misses,
            compiling_s=totals.compiling_s,
            wasted_s=dict(totals.wasted_s),
        )

    @property
    def calibration(self) -> Calibration:
        """What things were measured to take."""
        return self._board.calibration

    # --- events -----------------------------------------------------------------------------------

    def _submitted(self, event: Submitted) -> None:
        homes = self._matching.homes(event.plan)
        job = Job(event, next(self._sequence), self._board.accounts, homes)
        self._jobs[event.job] = job
        self._board.needs.add(job.whole)
        absent = [kind for kind in job.plan.placements if not self._matching.serves(kind)]
        if absent:
            self._end(job, event.now_s, unserved(absent[0]))
        elif (fault := self._matching.too_large(job)) is not None:
            self._end(job, event.now_s, fault)
        elif job.complete:
            self._end(job, event.now_s, None)
        else:
            self._matching.refresh(job)
            if job.deadline_s is not None:
                self._board.deadlines.add(job.id, job.deadline_s)

    def _worker_placed(self, event: WorkerPlaced) -> None:
        worker = self._fleet.get(event.worker)
        if worker is not None and not worker.ready:
            self._starts.placed(worker, event.now_s)

    def _worker_ready(self, event: WorkerReady) -> None:
        worker = self._fleet.get(event.worker)
        if worker is not None and not worker.ready and not worker.doomed:
            most = self.settings.workers[worker.placement]
            self._fleet.started(worker, event.memory_bytes, most, event.now_s)
            self._starts.succeeded(worker.placement)
            self._scaling.watch(worker, event.now_s)

    def _worker_answered(self, event: WorkerAnswered) -> None:
        worker = self._fleet.get(event.worker)
        if worker is not None and not worker.doomed:
            self._stragglers.answered(worker, event)

    def _worker_measured(self, event: WorkerMeasured) -> None:
        worker = self._fleet.get(event.worker)
        if worker is not None:
            self._board.calibration.measured(worker.placement, event.unit_s)

    def _task_done(self, event: TaskDone) -> None:
        worker, batch = self._batch(event.worker, event.batch)
        call = batch.unreported.pop(event.task, None) if batch is not None else None
        if worker is None or batch is None or call is None:
            return  # said twice, or by a worker given up: the task runs elsewhere
        board, running_s = self._board, event.running_s
        batch.coming = ()
        board.totals.count(event.program_cache_hit, event.compiling_s)
        job = self._jobs.get(batch.job)
        if job is None:
            return
        if batch.doubted:
            job.brought(batch.doubted, worker.id)
            batch.doubted = ()
        kind, calibration = worker.placement, board.calibration
        calibration.record(job.plan, event.task, kind, running_s, event.executor)
        if batch.fetched_bytes or event.network_bytes:
            came_bytes = max(batch.fetched_bytes, event.network_bytes)
            calibration.record_transfer(kind, came_bytes, event.transferring_s)
        if job.runs(event.task, batch.id):
            batch.counted_s += running_s + event.compiling_s + event.transferring_s
            job.completed(call, event, worker)
            if job.suspicions:
                self._blames.cleared(job, event.task)
        else:
            job.came_too_late(call, worker.id)
        if job.freed:
            board.freeing[job.id] = job
        if job.complete:
            self._end(job, event.now_s, None)
        elif job.stirred:
            self._matching.refresh(job)

    def _task_failed(self, event: TaskFailed) -> None:
        _, batch = self._batch(event.worker, event.batch)
        if batch is None or batch.unreported.pop(event.task, None) is None:
            return
        job = self._jobs.get(batch.job)
        if job is not None and job.runs(event.task, batch.id):
            job.failed(event.task)
            self._end(job, event.now_s, event.error)

    def _values_lost(self, event: ValuesLost) -> None:
        _, batch = self._batch(event.worker, event.batch)
        job = self._jobs.get(batch.job) if batch is not None else None
        if job is not None and batch is not None:
            batch.missed += event.values
            job.lose(event.worker, event.values)
            job.lose(event.holder, event.values)
            self._lose_coming(job, event.values)
            self._matching.note(job)

    def _lose_coming(self, job: Job, values: Collection[TaskOutput]) -> None:
        """Workers are not brought what those lost who were to give it to them.

        Else readers would be sent from one such worker to the next, and find it nowhere.
        """
        own = [(b, w) for w in job.touched for b in self._fleet[w].in_flight if b.job == job.id]
        for batch, worker in sorted(own, key=lambda pair: pair[0].id):
            for value, holder in batch.coming:
                if value in values and not job.held.has(holder, value):
                    batch.doubted += (value,) * job.held.has(worker, value)
                    job.lose(worker, [value])

    def _batch_ended(self, event: BatchEnded) -> None:
        worker, batch = self._batch(event.worker, event.batch)
        if worker is None or batch is None:
            return
        started_s = batch.oldest_since_s
        if not batch.express:  # that time is its worker's already
            self._fleet.kinds[worker.placement].busy_s += event.busy_s
        self._fleet.take(worker, batch, event.now_s)
        job = self._jobs.get(batch.job)
        self._account(worker, batch, event, started_s)
        if job is not None:
            if batch.coming:
                self._settle_coming(job, batch, worker)
            if batch.unreported:
                called_off = batch.cancelled_s is not None
                ran = not (batch.missed or batch.express or called_off)  # but is out of reach
                self._return(job, batch, Trigger.RETURNED, event.now_s, begun=ran)
            if batch.passing:
                self._pass_on(job, batch, worker)
        elif all([other.job != batch.job for other in worker.in_flight]):
            self._board.commands.append(Free(worker.id, batch.job))
        if batch.twin is not None:
            self._stragglers.settle(job, batch, event.now_s)
        self._go_on(worker, batch, event.now_s)

    def _go_on(self, worker: Worker, ended: Batch, now_s: float) -> None:
        """A worker turns to what comes behind a batch that is over, or has nothing to do."""
        self._matching.reconsider(worker.id)
        if ended.express:
            self._board.accounts.homes.call(worker.id)
        elif worker.batches:
            self._matching.begin(worker, now_s)
        if not worker.batches and worker.express is None:
            self._scaling.watch(worker, now_s)

    def _pass_on(self, job: Job, batch: Batch, worker: Worker) -> None:
        """Have a worker drop what it was brought for a batch that is over, and for no other."""
        others = {v for b in worker.in_flight if b.job == batch.job for v in b.passing}
        own = [value for value in batch.passing if value not in others]
        values = tuple([value for value in own if not job.held.has(worker.id, value)])
        if values and job.id in self._jobs:
            self._board.commands.append(Free(worker.id, job.id, values))

    def _settle_coming(self, job: Job, batch: Batch, worker: Worker) -> None:
        """What became of what a batch was to be brought of which no task was reported.

        Unless it missed something, it was stopped before it looked.
        """
        if batch.missed:
            job.brought([v for v in batch.doubted if v not in batch.missed], worker.id)
        else:
            others = [other for other in worker.in_flight if other.job == batch.job]
            values = [value for value, _ in batch.coming if value not in batch.passing]
            if not others:
                job.lose(worker.id, values)
            stay = {value for other in others for value in (*dict(other.coming), *other.passing)}
            stay |= {value for value in values if job.held.has(worker.id, value)}
            if gone := tuple([value for value in values if value not in stay]):
                self._board.commands.append(Free(worker.id, job.id, gone))
        if job.freed:
            self._board.freeing[job.id] = job
        self._matching.note(job)

    def _account(self, worker: Worker, batch: Batch, event: BatchEnded, started_s: float) -> None:
        """Count what a batch wasted, and what the way to its worker and back took."""
        wasted_s = event.busy_s - batch.counted_s
        over = batch.job not in self._jobs
        if over:
            self._say(self._stopping.batch_ended(batch.job, wasted_s, event.now_s))
        if batch.superseded:
            self._board.totals.wasted_s["copied"] += max(0.0, wasted_s)
        elif over:
            self._board.totals.wasted_s["cancelled"] += max(0.0, wasted_s)
        elif not batch.unreported:
            overhead_s = event.now_s - started_s - event.busy_s - event.company_s
            self._board.calibration.record_overhead(worker.placement, overhead_s)

    def _worker_lost(self, event: WorkerLost) -> None:
        worker = self._fleet.get(event.worker)
        if worker is None:
            return
        self._fleet.remove(worker)
        if worker.ready:
            self._starts.watch(worker.placement, event.now_s)
        else:
            self._starts.failed(worker, event.cause, event.now_s)
        self._board.totals.workers_lost += worker.ready or worker.doomed
        running, under_way = worker.running, worker.under_way
        lost_s = max([event.now_s - own.oldest_since_s for own in worker.foremost], default=0.0)
        self._board.totals.wasted_s["lost"] += max(0.0, lost_s)
        hurt = self._board.forget(worker)
        for batch in [b for b in worker.in_flight if b.job not in self._jobs]:
            own_s, killed = (lost_s, worker.doomed) if batch in running else (0.0, False)
            self._say(self._stopping.batch_ended(batch.job, own_s, event.now_s, killed))
        loss = Loss() if running and _guilty(worker) else None
        self._blames.strays += worker.ready and not (running or worker.doomed)
        for batch in worker.in_flight:
            ran = batch in under_way
            self._lose_batch(batch, event, begun=ran, loss=loss if ran else None)
        for job in hurt:
            if job.id in self._jobs:
                self._matching.note(job)

    def _lose_batch(
        self, batch: Batch, event: WorkerLost, *, begun: bool, loss: Loss | None
    ) -> None:
        """A batch is gone with its worker; where a loss is given, it may have brought it about."""
        job = self._jobs.get(batch.job)
        if job is not None:
            running = [task for task in batch.unreported if job.runs(task, batch.id)]
            self._return(job, batch, Trigger.WORKER_LOST, event.now_s, begun=begun)
            if loss is not None and job.id in self._jobs:
                self._blame(job, running, loss, event)
        self._stragglers.settle(self._jobs.get(batch.job), batch, event.now_s)

    def _cancel(self, event: Cancel) -> None:
        job = self._jobs.get(event.job)
        if job is not None:
            self._end(job, event.now_s, abandoned(job, event.cause))

    def _tick(self, event: Tick) -> None:
        """Time passed: alarms that are due ring after every event, and after this one too."""

    # --- the end of a job -------------------------------------------------------------------------

    def _end(self, job: Job, now_s: float, error: PullbackError | None) -> None:
        """Answer a job, stop what runs of it, and drop what is held of it."""
        commands = self._board.commands
        del self._jobs[job.id]
        self._board.needs.remove(job.whole)
        self._board.deadlines.discard(job.id)
        in_flight = self._in_flight(job)
        job.end()
        job.start(now_s)
        self._matching.drop(job)
        commands.append(Reply(job.id, job.statistics, error))
        batches = 0
        for holder, own in in_flight.items():
            batches += len(own)
            for batch in own:
                if batch.unreported:
                    self._fleet[holder].call_off(batch, now_s)
                    commands.append(CancelRun(holder, batch.id, batch.express))
                    self._stragglers.arm(self._fleet[holder], now_s)
            if not own:
                commands.append(Free(holder, job.id))
        commands.append(Free(HERE, job.id))
        if error is not None:
            spent_s = job.statistics.spent_s
            self._board.totals.wasted_s["cancelled"] += spent_s
            self._say(self._stopping.ended(job.id, batches, spent_s, now_s))

    def _in_flight(self, job: Job) -> dict[WorkerId, list[Batch]]:
        """A job's batches on each worker that was given any.

        What the worker holds of the job is counted to them: it stays there until they have ended.
        """
        found = {}
        for holder in sorted(job.touched):
            own = [b for b in self._fleet[holder].in_flight if b.job == job.id]
            for batch in own:
                held = job.held.of(holder)
                batch.peak_bytes += sum([job.plan.size_bytes(value) for value in held])
            found[holder] = own
        return found

    def _say(self, command: Command | None) -> None:
        """Give a command, if it is one."""
        if command is not None:
            self._board.commands.append(command)

    def _return(
        self, job: Job, batch: Batch, trigger: Trigger, now_s: float, *, begun: bool
    ) -> None:
        """What a batch did not run is to run again, if it has not been tried too often."""
        if not batch.unreported:
            return
        returned = [task for task in batch.unreported if job.runs(task, batch.id)]
        again = [task for task in returned if job.returned(task, batch.id, trigger, begun=begun)]
        often = [task for task in again if job.attempts[task] >= MOST_ATTEMPTS]
        if often:
            self._end(job, now_s, unlucky(often[0], job.attempts[often[0]]))
        elif again:
            self._matching.refresh(job)

    def _blame(self, job: Job, tasks: list[int], loss: Loss, lost: WorkerLost) -> None:
        """A worker died running these: each of them is suspect, and runs alone from now."""
        self._blames.suspect(job, tasks, loss)
        guilty = [task for task in tasks if self._blames.is_guilty(job, task)]
        worst = max(guilty, key=job.losses.__getitem__, default=None)
        if worst is not None:
            self._end(job, lost.now_s, poisonous(worst, job.losses[worst], lost))

    def _batch(self, worker: WorkerId, batch: BatchId) -> tuple[Worker | None, Batch | None]:
        found = self._fleet.get(worker)
        if found is None or found.doomed:  # it is about to be lost, with what it says
            return None, None
        own = found.batches.get(batch)
        if own is None and found.express is not None and found.express.id == batch:
            own = found.express
        return found, own


def _guilty(worker: Worker) -> bool:
    """Whether what a lost worker was running is to blame: not if the scheduler had it killed."""
    return worker.silent or not worker.doomed
