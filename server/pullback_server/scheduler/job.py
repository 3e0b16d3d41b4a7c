"""One job: the state of each of its tasks, who holds its values, and what must run again.

Values are addressed as TaskOutput. A value is freed when the last task that reads it has run; a
value that is lost before that has its task run again, and the tasks behind that one as needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pullback_server.planner.plan import TaskOutput
from pullback_server.scheduler.commands import Call
from pullback_server.scheduler.dependencies import Dependencies
from pullback_server.scheduler.events import HERE, Submitted, TaskDone, WorkerId
from pullback_server.scheduler.ready import ANYWHERE, ReadyTasks
from pullback_server.scheduler.states import FINISHED, TaskState, Trigger, after
from pullback_server.scheduler.statistics import JobStatistics, TaskTiming
from pullback_server.scheduler.worker import Worker


class Job:
    """A job under way.

    Attributes:
        states: the state of each task.
        attempts: how often each task was given to a worker.
        losses: how many workers died running each task.
        holders: who holds each value that is held.
        readers: how many tasks are still to read each value.
        ready: the tasks that could run now.
        first_homes: per task, the worker its shard was laid to; ANYWHERE for none.
        touched: the workers that were given any of it.
    """

    def __init__(self, submitted: Submitted, sequence: int) -> None:
        self.id = submitted.job
        self.plan: Dependencies = submitted.plan
        self.order = (-submitted.priority, sequence)
        self.submitted_s = submitted.now_s
        self.deadline_s = submitted.deadline_s
        count = len(self.plan.tasks)
        self.states = [TaskState.WAITING] * count
        self.attempts = [0] * count
        self.losses = [0] * count
        self.holders: dict[TaskOutput, set[WorkerId]] = {}
        self.readers = dict(self.plan.readers)
        self.ready = ReadyTasks()
        self.first_homes: Sequence[WorkerId] = (ANYWHERE,) * count
        self.touched: set[WorkerId] = set()
        self.started = False
        self.statistics = JobStatistics(tasks=count)
        self._timings: dict[int, TaskTiming] = {}
        self._ran_on: dict[int, WorkerId] = {}
        self._results_missing = set(self.plan.result_tasks)
        self._freed: dict[WorkerId, list[TaskOutput]] = {}
        self._settle(range(count))

    # --- what is asked of it ----------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the dispatcher has every result."""
        return not self._results_missing

    @property
    def running(self) -> int:
        """How many of its tasks workers have."""
        return len(self._ran_on)

    def holds(self, worker: WorkerId, value: TaskOutput) -> bool:
        """Whether a worker has a value, or will once the batches it was given have run."""
        return worker in self.holders.get(value, ()) or self._ran_on.get(value.task) == worker

    def readable(self, task: int) -> bool:
        """Whether every value the task reads is held somewhere."""
        return all(self.holders.get(value) for value in self.plan.operands[task])

    def unfinished_readers(self, value: TaskOutput) -> list[int]:
        """The tasks still to read a value."""
        return [
            task
            for task in self.plan.consumers[value.task]
            if self.states[task] not in FINISHED and value in self.plan.operands[task]
        ]

    def suspect(self, task: int) -> bool:
        """Whether a worker died while it had the task: such a task runs alone."""
        return self.losses[task] > 0

    @property
    def suspicious(self) -> bool:
        """Whether a suspect task is ready."""
        return any(self.losses) and any(self.losses[task] for task in self.ready)

    # --- what happens to it -----------------------------------------------------------------------

    def lay(self, homes: Sequence[WorkerId]) -> None:
        """Say where each task's shard belongs, and move what is ready there."""
        self.first_homes = homes
        self._rehome(self.ready)

    def batch(self, tasks: Iterable[int], worker: WorkerId) -> None:
        """The tasks are given to a worker."""
        self.touched.add(worker)
        for task in tasks:
            self._move(task, Trigger.BATCHED)
            self._ran_on[task] = worker
            self.attempts[task] += 1
            self.statistics.retries += self.attempts[task] > 1

    def completed(self, call: Call, done: TaskDone, worker: Worker) -> None:
        """A task ran: its values are held, and those it was the last to read are freed."""
        task = call.task
        self._move(task, Trigger.COMPLETED)
        del self._ran_on[task]
        self._record(done, worker)
        for output in call.keep:
            self.holders.setdefault(TaskOutput(task, output), set()).add(worker.id)
        for output in call.send:
            self.holders.setdefault(TaskOutput(task, output), set()).add(HERE)
        self._results_missing.discard(task)
        for value in self.plan.operands[task]:
            self.readers[value] -= 1
            if not self.readers[value]:
                self._free(value)
        self._release_if_unread(task)
        self._settle(self.plan.consumers[task])

    def returned(self, task: int, trigger: Trigger) -> None:
        """A task that a worker had did not run."""
        self._move(task, trigger)
        del self._ran_on[task]
        self._settle([task])

    def forget(self, worker: WorkerId) -> None:
        """A worker is no more: what it held is lost, what was laid to it may run anywhere."""
        self.touched.discard(worker)
        self.first_homes = [ANYWHERE if h == worker else h for h in self.first_homes]
        self.lose(worker, tuple(self.holders))
        self._rehome(self.ready.at(worker))

    def lose(self, holder: WorkerId, values: Iterable[TaskOutput]) -> None:
        """A holder has these values no more, if it had."""
        hurt: list[int] = []
        for value in values:
            holders = self.holders.get(value, set())
            if holder in holders:
                holders.discard(holder)
                if not holders:
                    del self.holders[value]
                    hurt += self.unfinished_readers(value)
        for task in hurt:
            if self.states[task] is TaskState.READY:
                self._move(task, Trigger.OPERANDS_LOST)
        self._settle(hurt)

    def failed(self, task: int) -> None:
        """A task made the job fail."""
        self._move(task, Trigger.RAISED)

    def end(self) -> None:
        """The job is over: nothing of it is to run or to be held."""
        for task in range(len(self.states)):
            self._move(task, Trigger.JOB_ENDED)
        self._ran_on.clear()
        self.holders.clear()
        self._freed.clear()
        timings = self._timings.values()
        self.statistics.timings = self._timings
        self.statistics.workers = len({timing.worker for timing in timings})
        self.statistics.program_cache_hit = all(timing.program_cache_hit for timing in timings)

    def take_freed(self) -> dict[WorkerId, list[TaskOutput]]:
        """Values that may be dropped, by holder, since it was last asked."""
        freed, self._freed = self._freed, {}
        return freed

    # --- inside -----------------------------------------------------------------------------------

    def _move(self, task: int, trigger: Trigger) -> None:
        before = self.states[task]
        self.states[task] = state = after(before, trigger)
        if before is TaskState.READY:
            self.ready.remove(task)
        if state is TaskState.READY:
            self.ready.add(task, self._home(task))

    def _settle(self, tasks: Iterable[int]) -> None:
        """Waiting tasks become ready where they can; what they lack and nothing computes, is."""
        open_tasks = [task for task in tasks if self.states[task] is TaskState.WAITING]
        while open_tasks:
            task = open_tasks.pop()
            if self.states[task] is not TaskState.WAITING:
                continue
            if self.readable(task):
                self._move(task, Trigger.OPERANDS_HELD)
                continue
            for value in self.plan.operands[task]:
                if not self.holders.get(value) and self.states[value.task] in FINISHED:
                    self._run_again(value.task)
                    open_tasks.append(value.task)

    def _run_again(self, task: int) -> None:
        done = self.states[task] is TaskState.DONE
        self._move(task, Trigger.VALUES_LOST if done else Trigger.NEEDED_AGAIN)
        for value in self.plan.operands[task]:
            self.readers[value] += 1

    def _free(self, value: TaskOutput) -> None:
        for holder in self.holders.pop(value, ()):
            self._freed.setdefault(holder, []).append(value)
        self._release_if_unread(value.task)

    def _release_if_unread(self, task: int) -> None:
        if self.states[task] is not TaskState.DONE:
            return
        outputs = [TaskOutput(task, k) for k in range(len(self.plan.tasks[task].graph.outputs))]
        if any(self.readers.get(value) for value in outputs):
            return
        self._move(task, Trigger.LAST_USED)
        for value in outputs:
            for holder in self.holders.pop(value, ()):
                self._freed.setdefault(holder, []).append(value)

    def _rehome(self, tasks: Iterable[int]) -> None:
        for task in tasks:
            self.ready.remove(task)
            self.ready.add(task, self._home(task))

    def _home(self, task: int) -> WorkerId:
        """The worker that holds most of what the task reads; its shard's where that is a tie."""
        held: dict[WorkerId, int] = {}
        for value in self.plan.operands[task]:
            for holder in self.holders.get(value, ()):
                if holder != HERE:
                    held[holder] = held.get(holder, 0) + self.plan.size_bytes(value) + 1
        first = self.first_homes[task]
        return max(held, key=lambda holder: (held[holder], holder == first), default=first)

    def _record(self, done: TaskDone, worker: Worker) -> None:
        statistics, phase = self.statistics, self.plan.tasks[done.task].phase
        statistics.seconds[phase] = statistics.seconds.get(phase, 0.0) + done.running_s
        statistics.compiling_s += done.compiling_s
        statistics.transferring_s += done.transferring_s
        statistics.peak_bytes = max(statistics.peak_bytes, done.peak_bytes)
        self._timings[done.task] = TaskTiming(
            worker=worker.id,
            placement=worker.placement,
            attempts=self.attempts[done.task],
            running_s=done.running_s,
            compiling_s=done.compiling_s,
            transferring_s=done.transferring_s,
            program_cache_hit=done.program_cache_hit,
            executor=done.executor,
            started_s=max(0.0, done.started_s - self.submitted_s),
        )
