"""A pool without processes: it carries the scheduler's commands out on symbolic values.

A value is the multiset of the tasks it was computed from, so that counting one twice shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pullback_graph.errors import PullbackError, Stop
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import Placement, Plan, TaskOutput
from pullback_server.scheduler import (
    HERE,
    AskWorker,
    BatchEnded,
    Call,
    CancelRun,
    Command,
    Dependencies,
    Event,
    Free,
    JobId,
    KillWorker,
    Reply,
    Run,
    StartWorker,
    Stopped,
    StopWorker,
    TaskDone,
    TaskFailed,
    ValuesLost,
    WorkerAnswered,
    WorkerId,
    WorkerLost,
    WorkerPlaced,
    WorkerReady,
)

Symbol: TypeAlias = "Counter[int]"
Store: TypeAlias = dict[tuple[JobId, TaskOutput], Symbol]


def evaluate(plan: Plan) -> dict[TaskOutput, Symbol]:
    """Every value of a plan, computed in order."""
    values: dict[TaskOutput, Symbol] = {}
    for task in range(len(plan.tasks)):
        values.update(outputs_of(plan, task, values))
    return values


def outputs_of(plan: Plan, task: int, values: dict[TaskOutput, Symbol]) -> dict[TaskOutput, Symbol]:
    """The outputs of one task: itself once, and all of its operands.

    Raises:
        KeyError: an operand is not among `values`.
    """
    total: Symbol = Counter({task: 1})
    for source in plan.tasks[task].operands:
        if isinstance(source, TaskOutput):
            total.update(values[source])
    outputs = range(len(plan.tasks[task].graph.outputs))
    return {TaskOutput(task, k): total + Counter({-1 - k: 1}) for k in outputs}


def drop(store: Store, free: Free) -> None:
    """Drop values of a job."""
    for job, value in tuple(store):
        if job == free.job and (free.values is None or value in free.values):
            del store[job, value]


def finish(plan: Plan, values: dict[TaskOutput, Symbol]) -> None:
    """Compute what workers left to whoever has their values: the end of a plan."""
    for task in range(len(plan.tasks)):
        operands = [own for own in plan.tasks[task].operands if isinstance(own, TaskOutput)]
        if operands and values.keys() >= set(operands) and TaskOutput(task, 0) not in values:
            values.update(outputs_of(plan, task, values))


@dataclass
class SimulatedWorker:
    """A worker: what it was given, oldest first, what runs beside that, and what it holds.

    Attributes:
        freed: what it is to drop at the next occasion.
        along: what it is to drop before it runs a batch.
    """

    placement: Placement = Placement.CPU
    queue: list[Run] = field(default_factory=list)
    express: list[Run] = field(default_factory=list)
    store: Store = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    freed: list[Free] = field(default_factory=list)
    along: dict[int, list[Free]] = field(default_factory=dict)

    def take(self, run: Run) -> None:
        """Have a batch, with what is to be dropped before it runs."""
        if not run.express:
            self.along[run.batch], self.freed = self.freed, []
        elif any(free.job == run.job for free in self.freed):
            self.flush()
        (self.express if run.express else self.queue).append(run)

    def flush(self) -> None:
        """Drop what is to be dropped."""
        freed, self.freed = self.freed, []
        for free in freed:
            drop(self.store, free)

    def dropping(self) -> Store:
        """What it holds and will drop."""
        rest = dict(self.store)
        for free in [*self.freed, *[f for own in self.along.values() for f in own]]:
            drop(rest, free)
        return {key: value for key, value in self.store.items() if key not in rest}

    @property
    def in_flight(self) -> list[Run]:
        """All batches it has."""
        return [*self.queue, *self.express]

    def lane(self, express: bool) -> list[Run]:
        """The batches that run in turn or the others; those there are, where there is one kind."""
        if self.queue and self.express:
            return self.express if express else self.queue
        return self.queue or self.express


@dataclass
class SimulatedPool:
    """Workers, and the dispatcher's side of them.

    Attributes:
        starting: workers asked for that have not started.
        killed: workers the scheduler had killed or stopped, to be reported.
        asked: workers that were asked whether they live and have not said so.
        untold: workers that died or were killed, and whose end the scheduler may not know: commands
            go nowhere.
        memory_bytes: what each worker may have; 0 for no limit.
        most_bytes: the most that one had so far.
        here: values sent to the dispatcher.
        replies: what each job was answered.
        stops: how each job that was answered with an error is said to have stopped.
        misses: how often a batch that was not called off did not find a value.
        running_s: what every task takes; as predicted, if 0.
        is_lazy: whether workers hear what they may drop with the next batch, or by `flush`.
    """

    plans: dict[JobId, Plan] = field(default_factory=dict)
    workers: dict[WorkerId, SimulatedWorker] = field(default_factory=dict)
    starting: list[StartWorker] = field(default_factory=list)
    killed: list[WorkerId] = field(default_factory=list)
    asked: list[WorkerId] = field(default_factory=list)
    untold: set[WorkerId] = field(default_factory=set)
    memory_bytes: int = 0
    most_bytes: int = 0
    here: Store = field(default_factory=dict)
    results: Store = field(default_factory=dict)
    replies: dict[JobId, list[tuple[PullbackError | None, dict[TaskOutput, Symbol]]]] = field(
        default_factory=dict
    )
    statistics: dict[JobId, Reply] = field(default_factory=dict)
    stops: dict[JobId, list[Stop]] = field(default_factory=dict)
    misses: int = 0
    running_s: float = 0.0
    now_s: float = 0.0
    is_lazy: bool = False
    _answered: list[JobId] = field(default_factory=list)

    def flush(self) -> None:
        """Workers drop what they may."""
        for own in self.workers.values():
            own.flush()

    def take_answered(self) -> list[JobId]:
        """The jobs that were answered since this was last asked."""
        answered, self._answered = self._answered, []
        return answered

    def apply(self, commands: Iterable[Command]) -> None:
        """Carry commands out; what takes time is queued."""
        for command in commands:
            if getattr(command, "worker", None) in self.untold:
                continue
            match command:
                case StartWorker():
                    self.starting.append(command)
                case Run(worker=worker):
                    self._check_room(command)
                    self._check_lane(command)
                    self.workers[worker].take(command)
                case CancelRun(worker=worker, batch=batch):
                    self.workers[worker].cancelled.add(batch)
                case KillWorker(worker=worker):
                    self._kill(worker)
                case _:
                    self._apply_rest(command)

    def _apply_rest(self, command: Command) -> None:
        match command:
            case StopWorker(worker=worker):
                self._stop(worker)
            case AskWorker(worker=worker):
                assert worker in self.workers
                self.asked.append(worker)
            case Free():
                self._free(command)
            case Reply():
                self._reply(command)
            case Stopped(job=job, stop=stop):
                self._check_stopped(job)
                self.stops.setdefault(job, []).append(stop)

    def _check_stopped(self, job: JobId) -> None:
        """A job that is said to have stopped was answered, and no worker has any of it."""
        assert job in self.replies
        for worker, own in self.workers.items():
            assert worker in self.untold or all(run.job != job for run in own.in_flight)

    def start(self, which: int = 0) -> Event:
        """A worker that was asked for starts."""
        command = self.starting.pop(which)
        self.workers[command.worker] = SimulatedWorker(command.placement)
        return WorkerReady(
            now_s=self.now_s,
            worker=command.worker,
            placement=command.placement,
            memory_bytes=self.memory_bytes,
        )

    def place(self, which: int = 0) -> Event:
        """A worker that was asked for has a process."""
        return WorkerPlaced(now_s=self.now_s, worker=self.starting[which].worker)

    def fail_start(self, which: int = 0, cause: str = "test") -> Event:
        """A worker that was asked for does not start."""
        command = self.starting.pop(which)
        return WorkerLost(now_s=self.now_s, worker=command.worker, cause=cause)

    def lose(self, worker: WorkerId) -> Event:
        """A worker dies."""
        self.workers.pop(worker, None)
        self.untold.add(worker)
        return WorkerLost(now_s=self.now_s, worker=worker, cause="test")

    def answer(self, worker: WorkerId, *, ended: int = 0, running_s: float = 0.0) -> Event:
        """A worker that may be gone says what it runs: what comes after so many of its call.

        Those are reported when the last of them is.
        """
        queue = self.workers[worker].queue if worker in self.workers else []
        call = [run.batch for run in queue if run.call == queue[0].call]
        batch = call[min(ended, len(call) - 1)] if call else -1
        return WorkerAnswered(now_s=self.now_s, worker=worker, batch=batch, running_s=running_s)

    def finish(
        self,
        worker: WorkerId,
        *,
        only: int | None = None,
        heed: bool = True,
        express: bool = False,
        slowness: float = 1.0,
        is_last: bool = False,
    ) -> list[Event]:
        """A worker runs its oldest batch: all of it, or `only` so many tasks and dies after.

        Args:
            slowness: how many times what was predicted its tasks take.
            is_last: whether it says that it is done, although it ran only so many.
            express: whether it is one that runs beside others, where there is a choice.
            heed: whether it sees in time that the batch was cancelled.
        """
        own = self.workers[worker]
        run = own.lane(express).pop(0)
        for free in own.along.pop(run.batch, ()):
            drop(own.store, free)
        if run.batch in own.cancelled and heed:
            own.cancelled.discard(run.batch)
            return [BatchEnded(now_s=self.now_s, worker=worker, batch=run.batch, busy_s=0.0)]
        events = [*self._fetch(run), *self._compute(run, run.calls[:only], slowness)]
        if only is None or is_last:
            events.append(BatchEnded(now_s=self.now_s, worker=worker, batch=run.batch, busy_s=1.0))
        return events

    def _compute(self, run: Run, calls: Iterable[Call], slowness: float) -> Iterator[Event]:
        """What a worker says of calls it runs; of what they did not find, behind the others."""
        plan, store = self.plans[run.job], self.workers[run.worker].store
        values = {value: symbol for (job, value), symbol in store.items() if job == run.job}
        lost: dict[TaskOutput, None] = {}
        for call in calls:
            needed = [s for s in plan.tasks[call.task].operands if isinstance(s, TaskOutput)]
            absent = [value for value in needed if value not in values]
            if absent:
                lost.update(dict.fromkeys(absent))
                continue
            outputs = outputs_of(plan, call.task, values)
            self._check_memory(run, call.task, values)
            values.update(outputs)
            self._place(run, outputs, call.keep, call.send)
            yield TaskDone(
                now_s=self.now_s,
                worker=run.worker,
                batch=run.batch,
                task=call.task,
                running_s=slowness * self._running_s(run.job, call.task),
            )
        if lost:
            self.misses += self._is_wanted(run)
            yield self._lost(run, [*lost], run.worker)

    def fail(self, worker: WorkerId, error: PullbackError, *, express: bool = False) -> list[Event]:
        """The first task of a worker's oldest batch raises."""
        own = self.workers[worker]
        run = own.lane(express).pop(0)
        for free in own.along.pop(run.batch, ()):
            drop(own.store, free)
        task = run.calls[0].task
        return [
            TaskFailed(now_s=self.now_s, worker=worker, batch=run.batch, task=task, error=error),
            BatchEnded(now_s=self.now_s, worker=worker, batch=run.batch),
        ]

    def _is_wanted(self, run: Run) -> bool:
        called_off = run.batch in self.workers[run.worker].cancelled
        return run.job not in self.replies and not called_off

    def _running_s(self, job: JobId, task: int) -> float:
        return self.running_s or self.plans[job].tasks[task].flops / COST_TABLE.flops_per_s

    def _kill(self, worker: WorkerId) -> None:
        """One that starts may be killed, too."""
        starting = [command.worker for command in self.starting]
        assert (worker in self.workers) != (worker in starting)
        self.starting = [command for command in self.starting if command.worker != worker]
        self.workers.pop(worker, None)
        self.untold.add(worker)
        self.killed.append(worker)

    def _stop(self, worker: WorkerId) -> None:
        """Only what has no batch is stopped."""
        self.starting = [command for command in self.starting if command.worker != worker]
        own = self.workers.pop(worker, None)
        assert own is None or not own.in_flight
        self.killed.append(worker)

    def _check_room(self, run: Run) -> None:
        tasks = self.plans[run.job].tasks
        largest = max(tasks[call.task].peak_bytes for call in run.calls)
        assert not self.memory_bytes or largest <= self.memory_bytes

    def _check_lane(self, run: Run) -> None:
        """One batch runs beside others, and of another job: nothing waits for values in between."""
        own = self.workers[run.worker]
        assert not (run.express and (own.express or own.placement is GPU))
        placements = {self.plans[run.job].tasks[call.task].placement for call in run.calls}
        assert own.placement is GPU or placements == {CPU}
        beside = own.queue if run.express else own.express
        assert all(other.job != run.job for other in beside)

    def _check_memory(self, run: Run, task: int, values: dict[TaskOutput, Symbol]) -> None:
        """While a task runs, what its worker holds besides is no more than leaves it room."""
        plan, own = self.plans[run.job], self.workers[run.worker]
        dropping = own.dropping()
        held = {key for key in own.store if key[0] in self.plans}
        held |= {(run.job, value) for value in values}
        held -= dropping.keys()
        held -= {(run.job, s) for s in plan.tasks[task].operands if isinstance(s, TaskOutput)}
        taken_bytes = sum([self._size_bytes(*value) for value in held])
        taken_bytes += plan.tasks[task].peak_bytes + self._beside_bytes(run, held)
        self.most_bytes = max(self.most_bytes, taken_bytes)
        assert not self.memory_bytes or taken_bytes <= self.memory_bytes

    def _beside_bytes(self, run: Run, held: set[tuple[JobId, TaskOutput]]) -> int:
        """What a task may take that its worker runs at the same time, besides what is held."""
        own, most_bytes = self.workers[run.worker], 0
        for other in own.queue[:1] if run.express else own.express:
            for call in other.calls:
                task = self.plans[other.job].tasks[call.task]
                operands = {(other.job, s) for s in task.operands if isinstance(s, TaskOutput)}
                here_bytes = sum([self._size_bytes(*value) for value in operands & held])
                most_bytes = max(most_bytes, task.peak_bytes - here_bytes)
        return most_bytes

    def _size_bytes(self, job: JobId, value: TaskOutput) -> int:
        return self.plans[job].tasks[value.task].graph.output_type(value.output).size_bytes

    # --- inside -----------------------------------------------------------------------------------

    def _fetch(self, run: Run) -> Iterable[Event]:
        own = self.workers[run.worker]
        for value, holder in run.fetches:
            source = self.here if holder == HERE else self._store(holder)
            if (run.job, value) in source:
                own.store[run.job, value] = source[run.job, value]
            else:
                self.misses += self._is_wanted(run)
                yield self._lost(run, [value], holder)

    def _store(self, holder: WorkerId) -> Store:
        return self.workers[holder].store if holder in self.workers else {}

    def _lost(self, run: Run, values: Sequence[TaskOutput], holder: WorkerId) -> Event:
        return ValuesLost(
            now_s=self.now_s,
            worker=run.worker,
            batch=run.batch,
            values=tuple(values),
            holder=holder,
        )

    def _place(
        self,
        run: Run,
        outputs: dict[TaskOutput, Symbol],
        keep: tuple[int, ...],
        send: tuple[int, ...],
    ) -> None:
        wanted = Dependencies(self.plans[run.job]).wanted
        for value, symbol in outputs.items():
            if value.output in keep:
                self.workers[run.worker].store[run.job, value] = symbol
            if value.output in send and run.job not in self.replies:
                self.here[run.job, value] = symbol
                if value in wanted:
                    self.results[run.job, value] = symbol

    def _free(self, command: Free) -> None:
        own = self.workers.get(command.holder)
        if command.holder == HERE:
            drop(self.here, command)
        elif own is not None and self.is_lazy:
            own.freed.append(command)
        elif own is not None:
            drop(own.store, command)

    def _reply(self, command: Reply) -> None:
        own = {v: s for (job, v), s in self.results.items() if job == command.job}
        for value in own:
            del self.results[command.job, value]
        plan = self.plans[command.job]
        if command.error is None:
            finish(plan, own)
        own = {value: symbol for value, symbol in own.items() if value in plan.results}
        self.replies.setdefault(command.job, []).append((command.error, own))
        self.statistics[command.job] = command
        self._answered.append(command.job)


CPU, GPU = Placement.CPU, Placement.GPU
