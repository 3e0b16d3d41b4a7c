"""What is done about workers that take too long: a second try elsewhere, a question, their end.

A late batch is copied to an idle worker, whoever is first counts, and the other is told to stop. A
worker that does not even say that it lives is killed, and what it ran is to blame. So is one that
another waits for. One that goes on with what was cancelled is killed, too: see `grace.py`.
"""

from __future__ import annotations

from math import inf

from pullback_server.planner.plan import TaskOutput
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.commands import AskWorker, CancelRun, KillWorker
from pullback_server.scheduler.events import WorkerAnswered, WorkerId
from pullback_server.scheduler.grace import Grace
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.matching import Matching
from pullback_server.scheduler.placement import Choice
from pullback_server.scheduler.states import Trigger
from pullback_server.scheduler.worker import Batch, Worker

MOST_COPIES_SHARE = 0.1
"""Of the workers of a kind, those that may try what another is late with; one always may."""
SILENCE_FACTOR = 10.0


class Stragglers:
    """Looks at a worker when its batch is due."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._copies = 0
        settings = board.settings
        self._silence_s = settings.silence_s
        self._late_s = min(settings.late_least_s, settings.silence_s)
        self._least_s = min(settings.late_least_s, settings.silence_s, settings.grace_s)
        self._grace = Grace(board, self.kill)
        self.matching: Matching

    def begin(self, worker: Worker, now_s: float) -> None:
        """A worker turns to a batch: it needs an alarm where none rings before anything is due."""
        oldest = worker.oldest
        least_s = self._least_s
        if oldest is not None and worker.express is None and not worker.called_off:
            least_s = self._late_s if oldest.measured else self._silence_s
        if worker.due_s > now_s + least_s:
            self.arm(worker, now_s)

    def arm(self, worker: Worker, now_s: float) -> None:
        """A worker's batches changed: have it looked at when the first thing is due."""
        if worker.doomed:
            return
        due_s, oldest = inf, worker.oldest
        if oldest is not None:
            due_s = self._due_at_s(worker, oldest, now_s)
        if worker.express is not None:
            due_s = min(due_s, self._due_at_s(worker, worker.express, now_s))
        if worker.called_off:
            due_s = min(due_s, self._grace.due_at_s(worker))
        if due_s < worker.due_s:
            worker.due_s = due_s
            self._set_alarm(worker)

    def _due_at_s(self, worker: Worker, batch: Batch, now_s: float) -> float:
        """When something is to be done about a batch that runs."""
        due_s = self._silent_at_s(worker, batch)
        if batch.measured and batch.twin is None:
            due_s = min(due_s, self._copied_at_s(worker, batch, now_s))
        return due_s

    def _set_alarm(self, worker: Worker) -> None:
        """Have a worker looked at when it is due, where no alarm set before rings until then."""
        if not worker.alarms_s or worker.due_s < worker.alarms_s[-1]:
            worker.alarms_s.append(worker.due_s)
            self._board.alarms.at(worker.due_s, self._look, worker.id)

    def _look(self, number: WorkerId, now_s: float) -> None:
        worker = self._board.fleet.get(number)
        if worker is None:
            return
        worker.alarms_s.pop()
        if now_s < worker.due_s:
            if worker.due_s < inf:
                self._set_alarm(worker)
            return
        worker.due_s = inf
        self._grace.look(worker, now_s)
        for batch in worker.foremost:
            if not worker.doomed:
                self._look_at(worker, batch, now_s)
        self.arm(worker, now_s)

    def _look_at(self, worker: Worker, batch: Batch, now_s: float) -> None:
        """Do what is due about a batch that runs."""
        if now_s >= self._silent_at_s(worker, batch):
            self._ask(worker, batch, now_s)
        late_s = self._late_at_s(batch) if batch.measured else inf
        if now_s >= late_s and now_s >= late_s + self._way_s(worker, batch):
            self.matching.reconsider(worker.id)
            late = [batch] if batch.express else [*worker.batches.values()]
            self._copy_all(worker, late, now_s)

    def answered(self, worker: Worker, event: WorkerAnswered) -> None:
        """A worker said that it lives, and what it runs."""
        self._grace.answered(worker, event)
        if worker.called_off:
            self.arm(worker, event.now_s)

    def kill(self, worker: Worker, cause: str) -> None:
        """End a worker; nothing more goes to it."""
        self._board.fleet.retire(worker)
        self._board.commands.append(KillWorker(worker.id, cause))
        for job in self._board.part_with(worker):
            self.matching.note(job)

    # --- workers that say nothing -----------------------------------------------------------------

    def _silent_at_s(self, worker: Worker, batch: Batch) -> float:
        """When a worker is asked whether it lives, or, having been asked, is killed."""
        settings = self._board.settings
        bound_s = max(settings.silence_s, SILENCE_FACTOR * batch.estimate_s)
        heard_s = max(batch.oldest_since_s, worker.answered_s)
        return (
            heard_s + bound_s if worker.asked_s <= heard_s else worker.asked_s + settings.answer_s
        )

    def _ask(self, worker: Worker, batch: Batch, now_s: float) -> None:
        if worker.asked_s > max(batch.oldest_since_s, worker.answered_s):
            self._give_up(worker, now_s)
            return
        self._put_question(worker, now_s)
        for holder in self._awaited_of(worker, batch):
            self._put_question(holder, now_s)
            self._board.alarms.at(now_s + self._board.settings.answer_s, self._asked, holder.id)

    def _put_question(self, worker: Worker, now_s: float) -> None:
        worker.asked_s = now_s
        self._board.commands.append(AskWorker(worker.id))

    def _awaited_of(self, worker: Worker, batch: Batch) -> list[Worker]:
        """Workers that hold what a batch reads: it may be waiting for one of them, an idle one."""
        job = self._board.jobs.get(batch.job)
        if job is None:
            return []
        read = [value for task in batch.unreported for value in job.plan.operands[task]]
        holders = {holder for value in read for holder in job.held.holders.get(value, ())}
        found = [self._board.fleet.get(holder) for holder in sorted(holders - {worker.id})]
        return [w for w in found if w is not None and not w.doomed and w.answered_s >= w.asked_s]

    def _asked(self, number: WorkerId, now_s: float) -> None:
        """A worker that was asked for another's sake has had its time to answer."""
        worker = self._board.fleet.get(number)
        if worker is None or worker.doomed or worker.answered_s >= worker.asked_s:
            return
        if now_s >= worker.asked_s + self._board.settings.answer_s:
            self._give_up(worker, now_s)

    def _give_up(self, worker: Worker, now_s: float) -> None:
        worker.silent = True
        self.kill(worker, f"it did not answer for {now_s - worker.asked_s:.0f} s")

    # --- workers that are late --------------------------------------------------------------------

    def _late_at_s(self, batch: Batch) -> float:
        settings = self._board.settings
        if not settings.late_factor:
            return inf
        return batch.oldest_since_s + max(
            settings.late_least_s, settings.late_factor * batch.estimate_s
        )

    def _copied_at_s(self, worker: Worker, batch: Batch, now_s: float) -> float:
        """When a batch is to be tried elsewhere; again after a while, where nobody could."""
        late_s = self._late_at_s(batch)
        if late_s <= now_s < inf:  # the way is counted for few: it goes through what is read
            late_s += self._way_s(worker, batch)
        return late_s if late_s > now_s else now_s + self._board.settings.late_least_s

    def _way_s(self, worker: Worker, batch: Batch) -> float:
        """As much time again for what a batch may have to be sent first."""
        job, settings = self._board.jobs.get(batch.job), self._board.settings
        if job is None:
            return 0.0
        size_bytes = job.plan.input_bytes(batch.unreported) + batch.fetched_bytes
        return settings.late_factor * self._board.calibration.move_s(worker.placement, size_bytes)

    def _copy_all(self, worker: Worker, batches: list[Batch], now_s: float) -> None:
        """Try what a late worker has on idle ones, as far as there are any that have no better."""
        kind = self._board.fleet.kinds[worker.placement]
        for batch in batches:
            job = self._board.jobs.get(batch.job)
            allowed = max(1, int(MOST_COPIES_SHARE * len(kind.ready)))
            if job is None or batch.twin or not kind.idle or self._copies >= allowed:
                continue
            self._copy(job, batch, worker, now_s)

    def _copy(self, job: Job, batch: Batch, worker: Worker, now_s: float) -> None:
        """Give what a batch has not reported to an idle worker as well."""
        board = self._board
        tasks = {task: None for task in batch.unreported if job.runs(task, batch.id)}
        outside = [v for t in tasks for v in job.plan.operands[t] if v.task not in tasks]
        if not tasks or any(value not in job.held for value in outside):
            return
        helper = board.fleet.first_idle(worker.placement)
        choice = Choice(job, helper, self.matching.placer, 0.0, batch.estimate_s, alone=True)
        if not all(map(choice.take, tasks)):
            return
        copy = self.matching.make_batch(choice, now_s, avoid=worker.id)
        job.copied(tasks, helper.id, copy.id)
        batch.twin, copy.twin = (helper.id, copy.id), (worker.id, batch.id)
        board.totals.copies += len(tasks)
        self._copies += 1

    def settle(self, job: Job | None, batch: Batch, now_s: float) -> None:
        """A batch that was tried twice is done with: tell the other to stop, if it can."""
        if batch.twin is None:
            return
        number, other = batch.twin
        batch.twin = None
        self._copies -= 1
        worker = self._board.fleet.get(number)
        own = [] if worker is None else worker.in_flight
        twin = next((batch for batch in own if batch.id == other), None)
        if worker is None or twin is None:
            return
        twin.twin = None
        twin.alone = True
        if job is None:
            twin.superseded = batch.counted_s > 0
        elif twin.cancelled_s is None and not any(job.runs(t, other) for t in twin.unreported):
            self._supersede(job, worker, twin, now_s)

    def _supersede(self, job: Job, worker: Worker, batch: Batch, now_s: float) -> None:
        """Stop a batch that another was done before, and those queued behind it that build on it.

        They would look in vain for what it was to leave there: their tasks go elsewhere at once.
        """
        absent: set[TaskOutput] = set()
        own = [b for b in worker.in_flight if b.job == batch.job and b.cancelled_s is None]
        for other in own[own.index(batch) :]:
            if other is not batch and absent.isdisjoint(other.builds_on(job.plan.operands)):
                continue
            absent |= {value for value, _ in other.coming}
            absent |= {value for task in other.unreported for value in job.plan.outputs[task]}
            self._call_off(job, worker, other, now_s)
        self.arm(worker, now_s)

    def _call_off(self, job: Job, worker: Worker, batch: Batch, now_s: float) -> None:
        """Stop a batch whose tasks others run or ran; what it was to be brought may not come.

        If it reports a task all the same, it has been brought that.
        """
        batch.superseded = True
        worker.call_off(batch, now_s)
        self._board.commands.append(CancelRun(worker.id, batch.id, batch.express))
        coming = [value for value, _ in batch.coming if job.held.has(worker.id, value)]
        batch.doubted += tuple(coming)
        job.lose(worker.id, coming)
        for task in batch.unreported:
            if job.runs(task, batch.id):
                job.returned(task, batch.id, Trigger.RETURNED)
        self.matching.note(job)
