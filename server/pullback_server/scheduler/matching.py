"""Which job's tasks go to which worker: the jobs in the order of their shares, workers by need.

Every look-up is by index, so that a decision takes as long with a thousand workers as with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from math import inf
from typing import TypeAlias

from pullback_graph.errors import PullbackError
from pullback_server.planner.plan import Placement
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.commands import Run
from pullback_server.scheduler.company import Company
from pullback_server.scheduler.dependencies import Dependencies
from pullback_server.scheduler.events import HERE, JobId, WorkerId
from pullback_server.scheduler.express import Express
from pullback_server.scheduler.faults import too_large
from pullback_server.scheduler.idle_workers import IdleWorkers
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.layouts import Layouts
from pullback_server.scheduler.placement import (
    Choice,
    Placer,
    calls_of,
    fetches_of,
)
from pullback_server.scheduler.ready import ANYWHERE, ReadyTasks
from pullback_server.scheduler.room import Room
from pullback_server.scheduler.shares import Flow, Shares
from pullback_server.scheduler.worker import Batch, Worker

MOST_JOBS_TRIED = 4
"""Jobs that wait for a worker that will soon be idle, of which one is queued for it."""
MOST_MISFITS_TRIED = 4
"""Jobs no idle worker had room for that are looked at again when a worker's batch ends."""
MOST_WORKERS_TRIED = 2
"""Such workers for which nothing was found, after which the others wait for the next event."""

End: TypeAlias = Callable[[Job, float, "PullbackError | None"], None]
Begin: TypeAlias = Callable[[Worker, float], None]


class Matching:
    """Gives idle workers a batch, and those that will soon be idle a second.

    Args:
        end: answers a job that cannot run.
        begin: told of a worker that turns to a batch; has it looked at when that is due.
    """

    def __init__(self, board: Board, end: End, begin: Begin) -> None:
        self._board = board
        self._end = end
        self._begin = begin
        self._serving = board.settings.serving
        self._shares = {placement: Shares() for placement in self._serving}
        self._loose = {placement: Shares() for placement in self._serving}
        kinds = board.fleet.kinds
        self._queues = [(p, self._shares[p], kinds[kind]) for p, kind in self._serving.items()]
        self._kinds = [(kind, kinds[kind]) for kind in board.settings.workers]
        self._set_aside: dict[JobId, None] = {}
        self._misfits: dict[JobId, None] = {}
        self.room = Room(board.fleet.held_bytes, board.needs)
        budget_s = board.settings.batch_s
        self.placer = Placer(board.fleet, self.room, board.calibration, budget_s, self._serving)
        self._layouts = Layouts(board)
        self._idle = IdleWorkers(board.fleet, self.room)
        cpu = self._shares.get(Placement.CPU, Shares())
        self._express = Express(board, self.placer, cpu, self._lay, self.run)
        self._company = Company(board, self.placer, self._loose, self._lay, self.run)

    def serves(self, placement: Placement) -> bool:
        """Whether there may be a worker for tasks of a placement."""
        return placement in self._serving

    # --- what it is told --------------------------------------------------------------------------

    def note(self, job: Job) -> None:
        """Something happened to a job: if more of it is ready, it queues for it."""
        if job.stirred:
            self.refresh(job)

    def refresh(self, job: Job) -> None:
        """What of a job is ready changed."""
        job.stirred = False
        self._set_aside.pop(job.id, None)
        self._misfits.pop(job.id, None)
        self._express.offer(job)
        for placement, ready in job.ready.items():
            shares = self._shares[placement]
            if ready.counts:
                shares.add(job.id, job.sequence, self._flows(job, placement)[0])
            else:
                shares.discard(job.id)
            self._refresh_loose(job, placement, ready)

    def _refresh_loose(self, job: Job, placement: Placement, ready: ReadyTasks) -> None:
        """Whether a job has tasks that no worker in particular is for."""
        loose = self._loose[placement]
        if ANYWHERE not in ready.counts:
            if job.id in loose.waiting:
                loose.discard(job.id)
        elif job.id not in loose.waiting:
            loose.add(job.id, job.sequence, self._flows(job, placement)[1])

    def drop(self, job: Job) -> None:
        """A job is over."""
        self._set_aside.pop(job.id, None)
        self._misfits.pop(job.id, None)
        self._express.drop(job)
        if self._misfits and not self._board.fleet.batches:  # what it held is free
            for other in [*self._misfits]:
                self.refresh(self._board.jobs[other])
        for flow, _ in job.flows.values():
            Shares.leave(flow)
        for placement in job.ready:
            if placement in self._shares:
                self._shares[placement].discard(job.id)
                self._loose[placement].discard(job.id)

    def reconsider(self, worker: WorkerId) -> None:
        """A worker is free, or has more to do than before: jobs that wait for it look again."""
        if self._set_aside:
            for job in self._board.accounts.homes.of(worker):
                if job in self._set_aside:
                    self.refresh(self._board.jobs[job])
        for job in [*islice(self._misfits, MOST_MISFITS_TRIED)] if self._misfits else ():
            self.refresh(self._board.jobs[job])

    # --- what it does -----------------------------------------------------------------------------

    def dispatch(self, now_s: float) -> None:
        """Give every idle worker a batch, others one besides, and those soon idle a second."""
        for placement, shares, kind in self._queues:
            if shares.waiting and kind.idle:
                self._fill_idle(placement, shares, now_s)
        accounts = self._board.accounts
        homes = accounts.homes
        for own, kind in self._kinds:
            if kind.ending and kind.ending[0][0] <= now_s:
                for worker in self._board.fleet.nearly_done(own, now_s):
                    homes.call(worker)
        if accounts.suspects:  # suspects want idle workers
            return
        if self._express.waiting:
            self._express.fill(now_s)
        called = homes.take_called() if homes.called else ()
        for placement, shares, _ in self._queues:
            if shares.waiting and (called or self._loose[placement].waiting):
                self._queue_behind(placement, shares, called, now_s)

    def _fill_idle(self, placement: Placement, shares: Shares, now_s: float) -> None:
        kind = self._serving[placement]
        idle = self._board.fleet.kinds[kind].idle
        given = []
        while idle and (number := shares.first()) is not None:
            job = self._board.jobs[number]
            ready = job.ready[placement]
            if not job.started:
                self._lay(job, placement)
            worker = self._idle.worker(job, ready, kind)
            choice = self.placer.choose(job, ready, worker, now_s)
            if not choice.tasks and choice.misfit is not None:
                choice = self._idle.elsewhere(choice, ready, kind)
            if choice.tasks:
                given.append((self.run(choice, placement, now_s), worker))
            elif not self._hopeless(choice, now_s):
                shares.discard(job.id)
                aside = self._set_aside if choice.misfit is None else self._misfits
                aside[job.id] = None
        if self._loose[placement].waiting:
            most = 1 + self._share(placement)
            for batch, worker in given:
                self._company.join(batch, worker, placement, most, now_s)

    def too_large(self, job: Job) -> PullbackError | None:
        """Why no worker of those there are can run a job, if one of its tasks is too large."""
        kinds = [self._board.fleet.kinds[self._serving[p]] for p in job.plan.placements]
        if all([job.plan.peak_bytes <= kind.largest_bytes for kind in kinds]):
            return None
        for number, task in enumerate(job.plan.tasks):
            kind = self._board.fleet.kinds[self._serving[task.placement]]
            if task.peak_bytes > kind.largest_bytes > 0:
                return too_large(number, task.peak_bytes, kind.largest_bytes, 0)
        return None

    def _hopeless(self, choice: Choice, now_s: float) -> bool:
        """End a job that has a task no worker has room for; whether it was such a one."""
        board, job, task = self._board, choice.job, choice.misfit
        if task is None:
            return False
        largest = board.fleet.kinds[choice.worker.placement].largest_bytes
        peak = job.plan.tasks[task].peak_bytes
        others = len(board.jobs) - 1 - len(self._misfits)
        if peak <= largest and (board.fleet.batches or others > 0):
            return False
        held = board.fleet.held_bytes.get(choice.worker.id, 0)
        self._end(job, now_s, too_large(task, peak, choice.worker.memory_bytes, held))
        return True

    # --- a second batch ---------------------------------------------------------------------------

    def _queue_behind(
        self, placement: Placement, shares: Shares, called: Iterable[WorkerId], now_s: float
    ) -> None:
        """Queue for workers that tasks belong to as they are called, else for a few in turn."""
        fleet = self._board.fleet
        soon = fleet.kinds[self._serving[placement]].soon
        for number in called:
            if number in soon:
                self._give_second(fleet[number], placement, now_s)
        if not self._loose[placement].waiting:
            return
        left = MOST_WORKERS_TRIED
        for number in [*islice(soon, 2 * left)]:
            if not left or not shares.waiting:
                return
            if not self._give_second(fleet[number], placement, now_s):
                left -= 1
                if number in soon:
                    soon[number] = soon.pop(number)  # others first, the next time

    def _give_second(self, worker: Worker, placement: Placement, now_s: float) -> bool:
        """Queue a batch behind a worker's first; whether there was any."""
        if worker.backlog_s(now_s) > self._board.settings.queue_behind_s:
            self._board.fleet.kinds[worker.placement].soon.pop(worker.id, None)
            return False
        for job in self._candidates(worker, placement):
            ready = job.ready[placement]
            if not job.started:
                self._lay(job, placement)
            if worker.id not in ready.counts and ANYWHERE not in ready.counts:
                continue
            if worker.express is not None and worker.express.job == job.id:
                continue  # what follows on it there is still to be computed
            choice = self.placer.choose(job, ready, worker, now_s)
            if choice.tasks:
                most = self._share(placement)
                batch = self.run(choice, placement, now_s)
                self._company.join(batch, worker, placement, most, now_s)
                return True
        return False

    def _share(self, placement: Placement) -> int:
        """How many of the jobs that wait are one worker's."""
        return self._company.share(placement, self._workers(placement))

    def _workers(self, placement: Placement) -> int:
        """How many workers there are for tasks of a placement."""
        return len(self._board.fleet.kinds[self._serving[placement]].ready)

    def _candidates(self, worker: Worker, placement: Placement) -> list[Job]:
        """The first job that any worker will do for, and those that wait for this, in turn."""
        jobs = self._board.jobs
        loose = self._loose[placement].first()
        own = self._board.accounts.homes.first(worker.id, MOST_JOBS_TRIED)
        if not own:
            return [] if loose is None else [jobs[loose]]
        numbers = own if loose is None or loose in own else [*own, loose]
        found = [jobs[number] for number in numbers if placement in jobs[number].ready]
        return sorted(found, key=lambda job: self._turn(job, placement))

    def _turn(self, job: Job, placement: Placement) -> tuple[float, ...]:
        return Shares.turn(self._flows(job, placement)[0], job.sequence)

    def _flows(self, job: Job, placement: Placement) -> tuple[Flow, Flow]:
        """Where a job queues: with all of its tasks, and with those any worker will do for."""
        flows = job.flows.get(placement)
        if flows is None:
            kind = job.priority, job.client, job.plan.total_s
            flows = self._shares[placement].leaf(*kind), self._loose[placement].leaf(*kind)
            job.flows[placement] = flows
            Shares.enter(flows[0])
        return flows

    def begin(self, worker: Worker, now_s: float) -> None:
        """A worker turns to its oldest batch, with which it will be nearly done some time."""
        self._begin(worker, now_s)
        batch = worker.oldest
        if batch is None or batch.alone:
            return
        if batch.id == batch.call and worker.has_one_call:
            ends_s = batch.oldest_since_s + sum([b.estimate_s for b in worker.batches.values()])
            self._board.fleet.expect(worker, batch, ends_s - self._board.settings.queue_behind_s)

    @property
    def next_s(self) -> float:
        """When a worker that tasks wait for will be nearly done with what it has."""
        fleet, serving = self._board.fleet, self._serving
        waited_for = [fleet.kinds[serving[p]] for p, own in self._shares.items() if own.waiting]
        return min([kind.ending[0][0] for kind in waited_for if kind.ending], default=inf)

    # --- a batch ----------------------------------------------------------------------------------

    def homes(self, plan: Dependencies) -> Sequence[WorkerId] | None:
        """Which shard of a plan belongs to which of the workers there are; see `Layouts.homes`."""
        return self._layouts.homes(plan)

    def _lay(self, job: Job, placement: Placement) -> None:
        """Give a job's shards their homes, where it came before there were workers or is brief."""
        if job.started or job.laid or not job.plan.sharded:
            return
        if self._layouts.lay(job, self._is_crowded(job, placement)):
            for own, ready in job.ready.items():
                self._refresh_loose(job, own, ready)

    def _is_crowded(self, job: Job, placement: Placement) -> bool:
        """Whether a job is due no more than one worker, so many others are under way."""
        return self._workers(placement) * Shares.due(self._flows(job, placement)[0]) <= 1.0

    def run(
        self, choice: Choice, placement: Placement, now_s: float, first: Batch | None = None
    ) -> Batch:
        """Give a worker the tasks that were chosen for it, and count them to its job's share.

        Args:
            first: the batch with whose call they go, if not with one of their own.
        """
        board, job, worker = self._board, choice.job, choice.worker
        batch = self.make_batch(choice, now_s, first=first)
        board.totals.retries += job.batch(choice.tasks, worker.id, batch.id)
        job.start(now_s)
        if not job.laid and job.plan.sharded and len(choice.tasks) < len(job.plan.tasks):
            self._layouts.keep_together(job, worker)
        shares, (flow, loose_flow) = self._shares[placement], job.flows[placement]
        shares.charge(flow, choice.estimate_s)
        self._loose[placement].charge(loose_flow, choice.estimate_s)
        ready = job.ready[placement]
        self._refresh_loose(job, placement, ready)
        if not ready.counts:
            shares.discard(job.id)
        if self._set_aside or self._misfits:
            self.reconsider(worker.id)
        return batch

    def make_batch(
        self,
        choice: Choice,
        now_s: float,
        avoid: WorkerId | None = None,
        first: Batch | None = None,
    ) -> Batch:
        """The batch of a choice, on its way to its worker."""
        board, job, worker, tasks = self._board, choice.job, choice.worker, choice.tasks
        plan = job.plan
        fetches = fetches_of(job, tasks, worker.id, avoid)
        to_keep_bytes, fetched_bytes, passing = self.room.to_keep_bytes(worker), 0, []
        for value, _ in fetches:
            size_bytes = plan.size_bytes(value)
            fetched_bytes += size_bytes
            if size_bytes <= to_keep_bytes:
                to_keep_bytes -= size_bytes
                job.held.add(value, worker.id)
            else:
                passing.append(value)
        calls = calls_of(job, tasks, worker.id, to_keep_bytes)
        new, measured = self._programs(choice)
        number = next(board.batch_ids)
        batch = Batch(
            number,
            job.id,
            dict(zip(tasks, calls, strict=True)),
            choice.estimate_s,
            now_s,
            choice.alone,
            measured,
            fetched_bytes=fetched_bytes,
            made_bytes=choice.made_bytes,
            coming=fetches,
            passing=tuple(passing),
            express=choice.express,
            call=number if first is None else first.call,
        )
        if worker.memory_bytes:
            batch.peak_bytes = max([plan.tasks[task].peak_bytes for task in tasks])
        board.fleet.give(worker, batch, new)
        if batch.express:
            self._begin(worker, now_s)
        elif len(worker.batches) == 1:  # what is queued behind is looked at when its turn comes
            self.begin(worker, now_s)
        run = Run(worker.id, number, job.id, calls, fetches, batch.express, batch.call)
        board.commands.append(run)
        return batch

    def _programs(self, choice: Choice) -> tuple[list[str], bool]:
        """Those of a choice that its worker was never given; whether all were measured there."""
        worker, new, measured = choice.worker, [], True
        known, fingerprints = worker.programs, choice.job.plan.fingerprints
        seconds = self._board.calibration.kinds[worker.placement].seconds
        for task in choice.tasks:
            program = fingerprints[task]
            if program not in known:
                new.append(program)
                measured = False
            elif program not in seconds:
                measured = False
        return new, measured


assert ANYWHERE == HERE, "no worker has the number of what may run anywhere"
