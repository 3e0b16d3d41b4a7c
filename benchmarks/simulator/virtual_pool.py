"""Workers in virtual time: they take commands, and their reports come when the time has passed.

What tasks really take is drawn from a seeded generator: the predicted time, times a spread, times
now and then a large factor; a batch has an overhead, and operands from elsewhere a way to go. An
express batch shares its worker's processor: it takes twice as long, and what it takes, the other
batch is late.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from pullback_server.planner.plan import Placement
from pullback_server.scheduler import (
    AskWorker,
    BatchEnded,
    CancelRun,
    Command,
    Dependencies,
    Event,
    JobId,
    KillWorker,
    Reply,
    Run,
    StartWorker,
    StopWorker,
    TaskDone,
    WorkerAnswered,
    WorkerId,
    WorkerLost,
    WorkerReady,
)


@dataclass(frozen=True, slots=True)
class Costs:
    """What things take, in seconds; the defaults were measured with Ray on one machine.

    Attributes:
        spread: standard deviation of the logarithm of a task's time over its prediction.
        straggle: probability that a batch takes `straggle_factor` times as long.
        fault_every_s: a worker's mean life.
    """

    batch_s: float = 1.5e-3
    transfer_bytes_per_s: float = 1e9
    start_s: float = 2.0
    cancel_s: float = 5e-3
    spread: float = 0.2
    straggle: float = 0.0
    straggle_factor: float = 20.0
    fault_every_s: float = float("inf")


@dataclass(slots=True)
class _Worker:
    placement: Placement
    queue: deque[Run] = field(default_factory=deque)
    express: Run | None = None
    cancelled: set[int] = field(default_factory=set)
    running: int = 0
    since_s: float = 0.0
    works_s: float = 0.0
    late_s: float = 0.0

    def worked_s(self, now_s: float) -> float:
        """Time spent so far in the tasks of the batch it is running."""
        return min(max(0.0, now_s - self.since_s), self.works_s) if self.running else 0.0


class VirtualPool:
    """The pool of a scheduler under test.

    Args:
        plans, clients: of the jobs, by number.
        reply: called with each answer.

    Attributes:
        now_s: virtual time.
        worked_s: time spent in tasks whose batches ended, all workers together.
        served_s: the same by client.
        placed: tasks that were given to a worker.
    """

    def __init__(
        self,
        plans: Mapping[JobId, Dependencies],
        clients: Mapping[JobId, str],
        costs: Costs,
        seed: int,
        reply: Callable[[Reply], None],
    ) -> None:
        self.now_s = 0.0
        self.worked_s = 0.0
        self.served_s: dict[str, float] = {}
        self.placed = 0
        self._plans = plans
        self._clients = clients
        self._costs = costs
        self._random = random.Random(seed)
        self._reply = reply
        self._order = count()
        self._coming: list[tuple[float, int, Callable[[Any], Iterable[Event]], Any]] = []
        self._workers: dict[WorkerId, _Worker] = {}

    # --- time -------------------------------------------------------------------------------------

    @property
    def next_s(self) -> float:
        """When something happens next."""
        return self._coming[0][0] if self._coming else float("inf")

    def at(self, time_s: float, happen: Callable[[Any], Iterable[Event]], what: Any) -> None:
        """Have something happen; the events it gives are told to the scheduler."""
        heappush(self._coming, (time_s, next(self._order), happen, what))

    def work_s(self) -> float:
        """Time spent in tasks until now, those that run included, all workers together."""
        return self.worked_s + sum(own.worked_s(self.now_s) for own in self._workers.values())

    def step(self) -> Iterable[Event]:
        """Let the next thing happen."""
        self.now_s, _, happen, what = heappop(self._coming)
        return happen(what)

    # --- commands ---------------------------------------------------------------------------------

    def apply(self, commands: Iterable[Command]) -> None:
        """Carry commands out."""
        for command in commands:
            if isinstance(command, Run):
                self._run(command)
            elif isinstance(command, Reply):
                self._reply(command)
            elif isinstance(command, StartWorker):
                start_s = self._costs.start_s * self._random.uniform(0.5, 1.5)
                self.at(self.now_s + start_s, self._started, command)
            elif isinstance(command, CancelRun):
                self._cancel(command)
            elif isinstance(command, KillWorker | StopWorker):
                self.at(self.now_s, self._lost, command.worker)
            elif isinstance(command, AskWorker):
                self.at(self.now_s + self._costs.batch_s, self._answered, command.worker)

    def _run(self, run: Run) -> None:
        self.placed += len(run.calls)
        worker = self._workers[run.worker]
        if run.express:
            worker.express = run
            self._begin_express(run, worker)
            return
        worker.queue.append(run)
        if len(worker.queue) == 1:
            self._begin(run, worker)

    def _cancel(self, command: CancelRun) -> None:
        worker = self._workers.get(command.worker)
        if worker is None:
            return
        express = worker.express is not None and worker.express.batch == command.batch
        if express or any(run.batch == command.batch for run in worker.queue):
            worker.cancelled.add(command.batch)
            if express or worker.running == command.batch:
                self.at(
                    self.now_s + self._costs.cancel_s,
                    self._ended,
                    (command.worker, command.batch, ()),
                )

    # --- workers ----------------------------------------------------------------------------------

    def _started(self, command: StartWorker) -> Iterable[Event]:
        self._workers[command.worker] = _Worker(command.placement)
        if self._costs.fault_every_s < float("inf"):
            life_s = self._random.expovariate(1.0 / self._costs.fault_every_s)
            self.at(self.now_s + life_s, self._lost, command.worker)
        return [WorkerReady(now_s=self.now_s, worker=command.worker, placement=command.placement)]

    def _lost(self, worker: WorkerId) -> Iterable[Event]:
        if self._workers.pop(worker, None) is None:
            return []
        return [WorkerLost(now_s=self.now_s, worker=worker)]

    def _answered(self, worker: WorkerId) -> Iterable[Event]:
        return [WorkerAnswered(now_s=self.now_s, worker=worker)] if worker in self._workers else []

    def _begin(self, run: Run, worker: _Worker) -> None:
        """A worker turns to a batch: when it will be done is known to the simulation alone."""
        worker.running, worker.late_s = run.batch, 0.0
        took, moved_s = self._times(run)
        works_s = sum(seconds for _, seconds in took)
        busy_s = works_s + moved_s
        cancelled = run.batch in worker.cancelled
        worker.since_s, worker.works_s = self.now_s, 0.0 if cancelled else works_s
        end_s = self.now_s + self._costs.batch_s + (0.0 if cancelled else busy_s)
        self.at(end_s, self._ended, (run.worker, run.batch, () if cancelled else took))

    def _begin_express(self, run: Run, worker: _Worker) -> None:
        """A worker runs a batch beside another."""
        took, moved_s = self._times(run)
        works_s = sum(seconds for _, seconds in took)
        worker.late_s += works_s
        worker.since_s += works_s
        end_s = self.now_s + self._costs.batch_s + 2.0 * works_s + moved_s
        self.at(end_s, self._ended, (run.worker, run.batch, took))

    def _times(self, run: Run) -> tuple[tuple[tuple[int, float], ...], float]:
        """What the tasks of a batch take, and how long what they read is on its way."""
        plan, draw = self._plans[run.job], self._random.lognormvariate
        spread = self._costs.spread
        slow = self._costs.straggle_factor if self._random.random() < self._costs.straggle else 1.0
        took = tuple(
            (call.task, slow * plan.estimates_s[call.task] * draw(0.0, spread))
            for call in run.calls
        )
        moved_s = (
            sum(plan.size_bytes(f.value) for f in run.fetches) / self._costs.transfer_bytes_per_s
        )
        return took, moved_s

    def _ended(self, what: tuple[WorkerId, int, tuple[tuple[int, float], ...]]) -> Iterable[Event]:
        number, batch, took = what
        worker = self._workers.get(number)
        if worker is None:
            return []
        express = worker.express
        if express is not None and express.batch == batch:
            worker.express, run = None, express
        elif worker.running != batch:
            return []
        elif worker.late_s and batch not in worker.cancelled:
            self.at(self.now_s + worker.late_s, self._ended, what)
            worker.late_s = 0.0
            return []
        else:
            worker.running, run = 0, worker.queue.popleft()
        if batch in worker.cancelled:
            took = ()
            worker.cancelled.discard(batch)
        client = self._clients[run.job]
        busy_s = sum(seconds for _, seconds in took)
        self.worked_s += busy_s
        self.served_s[client] = self.served_s.get(client, 0.0) + busy_s
        events: list[Event] = [
            TaskDone(now_s=self.now_s, worker=number, batch=batch, task=task, running_s=seconds)
            for task, seconds in took
        ]
        events.append(BatchEnded(now_s=self.now_s, worker=number, batch=batch, busy_s=busy_s))
        if worker.queue and not worker.running:
            self._begin(worker.queue[0], worker)
        return events
