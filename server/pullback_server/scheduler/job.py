"""One job: the state of each of its tasks, who holds its values, and what must run again.

Values are addressed as TaskOutput. A value is freed when the last task that reads it has run; a
value that is lost before that has its task run again, and the tasks behind that one as needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from pullback_server.planner.plan import Placement, TaskOutput
from pullback_server.scheduler.accounts import Accounts
from pullback_server.scheduler.commands import Call
from pullback_server.scheduler.events import HERE, BatchId, Submitted, TaskDone, WorkerId
from pullback_server.scheduler.holdings import Holdings
from pullback_server.scheduler.ready import ANYWHERE, SUSPECT, Backlog, ReadyTasks, Turn
from pullback_server.scheduler.shares import Flow, size_class
from pullback_server.scheduler.states import AFTER, FINISHED, Loss, TaskState, Trigger
from pullback_server.scheduler.statistics import JobStatistics, TaskTiming
from pullback_server.scheduler.worker import Worker

_WAITING, _READY = TaskState.WAITING, TaskState.READY
_DONE, _RELEASED = TaskState.DONE, TaskState.RELEASED
_BATCHED, _COMPLETED = AFTER[Trigger.BATCHED], AFTER[Trigger.COMPLETED]
_LAST_USED = AFTER[Trigger.LAST_USED]


class Job:
    """A job under way.

    Attributes:
        plan: what workers are to run of the whole one that was submitted.
        states: the state of each task.
        attempts: how often each task was given to a worker, copies not counted.
        losses: how many workers died running each task.
        suspicions: those losses, of tasks that have not run through since.
        strays_before: how many workers were lost for nothing before a task's first loss.
        held: who holds each value that is held.
        readers: how many tasks are still to read each value.
        ready: the tasks that could run now, by placement.
        flows: where it queues for its share of the workers, by placement.
        touched: the workers that were given any of it.
        passed_on: values that the workers they are made on have no room to keep.
        freed: values that may be dropped, by holder, and were not taken yet.
        stirred: whether more became ready, or for another worker, since this was last looked at.
    """

    def __init__(
        self,
        submitted: Submitted,
        sequence: int,
        accounts: Accounts,
        homes: Sequence[WorkerId] | None = None,
    ) -> None:
        self.id = submitted.job
        self.whole = self.plan = submitted.plan
        self.client, self.priority = submitted.client, submitted.priority
        self.sequence = sequence
        self.submitted_s = submitted.now_s
        self.deadline_s = submitted.deadline_s
        self._accounts = accounts
        count = len(self.plan.tasks)
        self.states = [_WAITING] * count
        self.attempts = [0] * count
        self.losses = [0] * count
        self.suspicions: dict[int, list[Loss]] = {}
        self.strays_before: dict[int, int] = {}
        self.held = Holdings(self.plan.size_bytes, accounts.held_bytes)
        self.readers = dict(self.plan.readers)
        turn = Turn((self.priority, self.client, size_class(self.plan.total_s)), sequence)
        self.ready = {p: ReadyTasks(self.id, accounts.homes, turn) for p in self.plan.placements}
        self._only: tuple[ReadyTasks, Backlog] | None = None
        if len(self.ready) == 1:
            ((placement, ready),) = self.ready.items()
            self._only = ready, accounts.backlog[placement]
        self.touched: set[WorkerId] = set()
        self.flows: dict[Placement, tuple[Flow, Flow]] = {}
        self.started = False
        accounts.unstarted += 1
        self.statistics = JobStatistics(tasks=count)
        self.stirred = False
        self._homes: Sequence[WorkerId] | None = None
        self._kept_on: WorkerId = ANYWHERE
        self._lost_homes: set[WorkerId] = set()
        self._timings: dict[int, TaskTiming] = {}
        self._ran_on: dict[int, Mapping[BatchId, WorkerId]] = {}
        self._lost_work: set[int] = set()
        self.passed_on: set[TaskOutput] = set()
        self._results_missing = set(self.plan.result_tasks)
        self.freed: defaultdict[WorkerId, list[TaskOutput]] = defaultdict(list)
        for task in reversed(self.plan.roots):
            self._move(task, Trigger.OPERANDS_HELD)
        if homes is not None:
            self.lay(homes)

    # --- what is asked of it ----------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the dispatcher has every result."""
        return not self._results_missing

    @property
    def laid(self) -> bool:
        """Whether its shards have homes."""
        return self._homes is not None

    @property
    def running(self) -> int:
        """How many of its tasks workers have."""
        return len(self._ran_on)

    def runs(self, task: int, batch: BatchId) -> bool:
        """Whether a batch is one that the task's result is awaited of."""
        return batch in self._ran_on.get(task, ())

    def holds(self, worker: WorkerId, value: TaskOutput) -> bool:
        """Whether a worker has a value, or will once the batches it was given have run."""
        if worker in self.held.holders.get(value, ()):
            return True
        attempts = self._ran_on.get(value.task)
        return (
            attempts is not None
            and worker in attempts.values()
            and (not self.passed_on or value not in self.passed_on)
        )

    def unfinished_readers(self, value: TaskOutput) -> list[int]:
        """The tasks still to read a value."""
        states = self.states
        return [task for task in self.plan.reading.get(value, ()) if states[task] not in FINISHED]

    def suspect(self, task: int) -> bool:
        """Whether a worker died while it had the task: such a task runs alone."""
        return self.losses[task] > 0

    def first_home(self, task: int) -> WorkerId:
        """The worker the task's shard was laid to; ANYWHERE for none."""
        if self._homes is None:
            return ANYWHERE
        home = self._homes[task]
        return ANYWHERE if home in self._lost_homes else home

    # --- what happens to it -----------------------------------------------------------------------

    def lay(self, homes: Sequence[WorkerId]) -> None:
        """Say where each task's shard belongs, and move what is ready there."""
        self._homes = homes
        if not self.started:
            self._leave_end()
        for ready in self.ready.values():
            for task in ready.at(ANYWHERE):
                if homes[task] != ANYWHERE:
                    ready.move(task, self._home(task))

    def keep_on(self, worker: WorkerId, placements: Collection[Placement]) -> None:
        """All that is still to run, of the tasks of these placements, belongs to one worker."""
        self._kept_on = worker
        homes = [worker if t.placement in placements else ANYWHERE for t in self.plan.tasks]
        self.lay(homes)

    def batch(self, tasks: Collection[int], worker: WorkerId, batch: BatchId) -> int:
        """The tasks are given to a worker; how many of them are to run again after a loss."""
        self.touched.add(worker)
        states, attempts, ran_on, retries = self.states, self.attempts, self._ran_on, 0
        attempt = {batch: worker}
        for task in tasks:
            before = states[task]
            states[task] = _BATCHED[before]
            if before is _READY:
                self._not_ready(task)
            ran_on[task] = attempt
            attempts[task] += 1
        self._accounts.running += len(tasks)
        if self._lost_work:
            retries = len(self._lost_work.intersection(tasks))
            self._lost_work.difference_update(tasks)
            self.statistics.retries += retries
        return retries

    def copied(self, tasks: Iterable[int], worker: WorkerId, batch: BatchId) -> None:
        """Tasks that run are given to a second worker."""
        self.touched.add(worker)
        for task in tasks:
            self._move(task, Trigger.COPIED)
            self._ran_on[task] = {**self._ran_on[task], batch: worker}

    def completed(self, call: Call, done: TaskDone, worker: Worker) -> None:
        """A task ran: its values are held, and those it was the last to read are freed."""
        task, plan, readers, states = call.task, self.plan, self.readers, self.states
        states[task] = _COMPLETED[states[task]]
        del self._ran_on[task]
        self._accounts.running -= 1
        self._record(done, worker)
        self._hold(call, worker.id)
        if task in plan.result_tasks:
            self._results_missing.discard(task)
        for value in plan.operands[task]:
            left = readers[value] = readers[value] - 1
            if not left:
                self._free(value)
        self._release_if_unread(task)
        if plan.consumers[task]:
            self._settle(plan.consumers[task])

    def came_too_late(self, call: Call, worker: WorkerId) -> None:
        """A task ran that another worker was asked for or had done: its values are to spare.

        But for those that were lost since, and are to be read.
        """
        outputs = self.plan.outputs[call.task]
        self.brought([outputs[k] for k in call.keep], worker)
        self.brought([outputs[k] for k in call.send], HERE)

    def returned(self, task: int, batch: BatchId, trigger: Trigger, *, begun: bool = False) -> bool:
        """A task that a worker had did not run; whether nobody else is at it.

        Args:
            begun: whether the worker may have begun it, or had done it: then it runs again.
        """
        others = {own: worker for own, worker in self._ran_on[task].items() if own != batch}
        if others:
            self._ran_on[task] = others
            self._move(task, Trigger.COPY_ENDED)
            return False
        self._move(task, trigger)
        self._stop(task)
        if begun:
            self._lost_work.add(task)
        self._settle([task])
        return True

    def blame(self, task: int, loss: Loss, strays: int) -> None:
        """A worker died running a task: it runs alone from now.

        Args:
            strays: how many workers were lost for nothing so far.
        """
        self.losses[task] += 1
        self.suspicions.setdefault(task, []).append(loss)
        self.strays_before.setdefault(task, strays)
        ready, _ = self._only or self._queue(task)
        if task in ready and ready.home(task) != SUSPECT:
            ready.move(task, SUSPECT)
            self.stirred = True
            self._accounts.suspects += 1

    def start(self, now_s: float) -> None:
        """A worker is given the first of it, or nothing ever."""
        if not self.started:
            self.started = True
            self.statistics.queued_s = now_s - self.submitted_s
            self._accounts.unstarted -= 1

    def part_with(self, worker: WorkerId) -> bool:
        """A worker is to end: what it held is lost, what was laid to it may run anywhere.

        Returns: whether anything of the job was there, or was to be.
        """
        if self._kept_on == worker:
            self._homes, self._kept_on = None, ANYWHERE
        elif self.laid:
            self._lost_homes.add(worker)
        waiting = [ready for ready in self.ready.values() if worker in ready.counts]
        if worker not in self.touched and not waiting:
            return False
        self.lose(worker, self.held.of(worker))
        self.stirred = True
        for ready in waiting:
            for task in ready.at(worker):
                ready.move(task, self._home(task))
        return True

    def forget(self, worker: WorkerId) -> bool:
        """A worker is no more, nor is what it ran; whether it had anything of the job."""
        concerned = self.part_with(worker)
        self.touched.discard(worker)
        return concerned

    def lose(self, holder: WorkerId, values: Iterable[TaskOutput]) -> None:
        """A holder has these values no more, if it had."""
        hurt: list[int] = []
        for value in values:
            if self.held.discard(value, holder):
                hurt += self.unfinished_readers(value)
        for task in hurt:
            if self.states[task] is _READY:
                self._move(task, Trigger.OPERANDS_LOST)
        self._settle(hurt)

    def brought(self, values: Iterable[TaskOutput], holder: WorkerId) -> None:
        """A holder has values after all that it was not expected to have any more."""
        for value in values:
            if value in self.held.holders:
                self.held.add(value, holder)
            elif self.readers.get(value):
                self.held.add(value, holder)
                self._settle(self.plan.reading[value])
            else:
                self.freed[holder].append(value)

    def failed(self, task: int) -> None:
        """A task made the job fail."""
        self._stop(task)
        self._move(task, Trigger.RAISED)

    def end(self) -> None:
        """The job is over: nothing of it is to run or to be held."""
        for task, state in enumerate(self.states):
            if state is not _RELEASED:
                self._move(task, Trigger.JOB_ENDED)
        self._accounts.running -= len(self._ran_on)
        self._ran_on.clear()
        self.held.clear()
        self.freed.clear()
        timings = self._timings.values()
        self.statistics.timings = self._timings
        self.statistics.workers = len({timing.worker for timing in timings})
        self.statistics.program_cache_hit = all(timing.program_cache_hit for timing in timings)

    def take_freed(self) -> dict[WorkerId, list[TaskOutput]]:
        """Values that may be dropped, by holder, since it was last asked."""
        freed, self.freed = self.freed, defaultdict(list)
        return freed

    # --- inside -----------------------------------------------------------------------------------

    def _queue(self, task: int) -> tuple[ReadyTasks, Backlog]:
        """Where a task is while it is ready, and the account it counts in."""
        placement = self.plan.tasks[task].placement
        return self.ready[placement], self._accounts.backlog[placement]

    def _move(self, task: int, trigger: Trigger) -> None:
        before = self.states[task]
        state = self.states[task] = AFTER[trigger][before]
        if before is _READY:
            self._not_ready(task)
        elif state is _READY:
            self._now_ready(task)

    def _not_ready(self, task: int) -> None:
        ready, backlog = self._only or self._queue(task)
        if ready.remove(task) == SUSPECT:
            self._accounts.suspects -= 1
        backlog.remove(self.plan.estimates_s[task])

    def _now_ready(self, task: int) -> None:
        ready, backlog = self._only or self._queue(task)
        home = self._home(task)
        ready.add(task, home)
        backlog.add(self.plan.estimates_s[task])
        if home == SUSPECT:
            self._accounts.suspects += 1
        self.stirred = True

    def _hold(self, call: Call, worker: WorkerId) -> None:
        """The values of a call that ran are where it said."""
        task, keep, send = call
        outputs, add = self.plan.outputs[task], self.held.add
        for output in keep:
            add(outputs[output], worker)
        for output in send:
            add(outputs[output], HERE)

    def _leave_end(self) -> None:
        """Where several workers give what the last sums are of, the dispatcher does the rest.

        Of a tree of sums over shards laid to so many workers, these levels join those of several.
        """
        homes = self._homes
        if homes is None or not self.plan.ends:
            return
        workers = len({*homes} - {ANYWHERE})
        stem = self.plan.stem((workers - 1).bit_length()) if workers > 1 else None
        if stem is not None and len({homes[task] for task in stem.result_tasks} - {ANYWHERE}) > 1:
            self.plan = stem
            self.readers = dict(stem.readers)
            self._results_missing = set(stem.result_tasks)

    def _stop(self, task: int) -> None:
        """No worker's result of a task is awaited any more."""
        del self._ran_on[task]
        self._accounts.running -= 1

    def _settle(self, tasks: Iterable[int]) -> None:
        """Waiting tasks become ready where they can; what they lack and nothing computes, is."""
        states, held = self.states, self.held.holders
        open_tasks = []
        for task in tasks:
            if states[task] is _WAITING:
                open_tasks.append(task)
        while open_tasks:
            task = open_tasks.pop()
            if states[task] is not _WAITING:
                continue
            lacking = [value for value in self.plan.operands[task] if value not in held]
            if not lacking:
                self._move(task, Trigger.OPERANDS_HELD)
            for value in lacking:
                if states[value.task] in FINISHED:
                    self._run_again(value.task)
                    open_tasks.append(value.task)

    def _run_again(self, task: int) -> None:
        self._lost_work.add(task)
        done = self.states[task] is _DONE
        self._move(task, Trigger.VALUES_LOST if done else Trigger.NEEDED_AGAIN)
        for value in self.plan.operands[task]:
            self.readers[value] += 1

    def _free(self, value: TaskOutput) -> None:
        self._drop(value)
        task = value.task
        if self.states[task] is _DONE:
            if len(self.plan.outputs[task]) == 1:
                self.states[task] = _LAST_USED[_DONE]
            else:
                self._release_if_unread(task)

    def _drop(self, value: TaskOutput) -> None:
        freed = self.freed
        for holder in self.held.drop(value):
            freed[holder].append(value)

    def _release_if_unread(self, task: int) -> None:
        if self.states[task] is not _DONE:
            return
        outputs, readers = self.plan.outputs[task], self.readers
        for value in outputs:
            if readers.get(value):
                return
        self.states[task] = _LAST_USED[_DONE]
        held = self.held.holders
        for value in outputs:
            if value in held:
                self._drop(value)

    def _home(self, task: int) -> WorkerId:
        """The worker that holds most of what the task reads; its shard's where that is a tie.

        What the dispatcher holds too was handed back for all to read, and says nothing.
        """
        if self.losses[task]:
            return SUSPECT
        first = self.first_home(task)
        operands = self.plan.operands[task]
        if not operands:
            return first
        held: dict[WorkerId, int] = {}
        for value in operands:
            holders = self.held.holders.get(value, ())
            if HERE not in holders:
                size_bytes = self.plan.size_bytes(value) + 1
                for holder in holders:
                    held[holder] = held.get(holder, 0) + size_bytes
        if self._only is None:
            placement = self.plan.tasks[task].placement
            held = {k: v for k, v in held.items() if self._accounts.serves(k, placement)}
        if len(held) <= 1:
            return next(iter(held), first)
        return max(held, key=lambda holder: (held[holder], holder == first))

    def _record(self, done: TaskDone, worker: Worker) -> None:
        statistics, task, running_s = self.statistics, done.task, done.running_s
        compiling_s, transferring_s = done.compiling_s, done.transferring_s
        seconds, phase = statistics.seconds, self.plan.tasks[task].phase
        seconds[phase] = seconds.get(phase, 0.0) + running_s
        statistics.compiling_s += compiling_s
        statistics.transferring_s += transferring_s
        started_s = done.started_s - self.submitted_s
        if done.peak_bytes > statistics.peak_bytes:
            statistics.peak_bytes = done.peak_bytes
        self._timings[task] = TaskTiming(
            worker.id,
            worker.placement,
            self.attempts[task],
            running_s,
            compiling_s,
            transferring_s,
            done.program_cache_hit,
            done.executor,
            started_s if started_s > 0.0 else 0.0,
        )
