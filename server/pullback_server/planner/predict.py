"""Predicted run time of a plan on some number of workers: a list schedule.

By the cost table where a plan is chosen, as that must be a function of the job; by what workers
were measured to take where it is told. A task runs on the worker its shard is laid to; a worker
that is free takes, of the tasks whose operands have arrived, the first in the plan's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import JobInput, Phase, Plan, Task, TaskOutput
from pullback_server.planner.rates import Rates
from pullback_worker.numpy_work import work_of


def task_s(task: Task, rates: Rates | None = None) -> float:
    """Predicted run time of a task, without what surrounds it; by the cost table without rates."""
    if rates is not None:
        return rates.task_s(work_of(task.graph), task.executor)
    return sum([COST_TABLE.seconds(cost) for cost in task.graph.node_costs])


def homes(tasks: Sequence[Task], seconds: Sequence[float], workers: int) -> list[int]:
    """The worker of each task: contiguous shards of about equal work each."""
    work: dict[int, float] = {}
    for task, spent_s in zip(tasks, seconds, strict=True):
        if task.phase is not Phase.REDUCE:
            work[task.shard] = work.get(task.shard, 0.0) + spent_s + COST_TABLE.node_s
    before, total = 0.0, max(sum(work.values()), 1e-12)
    home = {}
    for shard in sorted(work):
        home[shard] = min(int((before + work[shard] / 2) / total * workers), workers - 1)
        before += work[shard]
    return [home.get(task.shard, 0) for task in tasks]


class Prediction(NamedTuple):
    """How a plan runs on some workers.

    Attributes:
        estimated_s: from the first task's start to the last one's end.
        moved_bytes: tasks' results that are read on another worker, once per worker.
        worker_bytes: the most that one worker holds at once, values that wait to be read included.
    """

    workers: int
    estimated_s: float
    moved_bytes: int
    worker_bytes: int


def predict(
    plan: Plan, workers: int, seconds: Sequence[float] | None = None, rates: Rates | None = None
) -> Prediction:
    """The prediction for a number of workers.

    Args:
        seconds: per task, its run time; by the cost table, if not given.
        rates: of what surrounds tasks; by the cost table as well.
    """
    schedule = _Schedule(plan, workers, seconds, rates)
    estimated_s = schedule.run()
    return Prediction(workers, estimated_s, schedule.moved_bytes(), max(schedule.most))


def makespan_s(plan: Plan, workers: int) -> float:
    """Predicted seconds from the first task's start to the last one's end."""
    return _Schedule(plan, workers).run()


class _Schedule:
    """A run of a plan in imagined time.

    Who waits for a value of another worker waits for a batch on its way as well.

    Attributes:
        most: per worker, the most bytes it held so far.
    """

    def __init__(
        self,
        plan: Plan,
        workers: int,
        seconds: Sequence[float] | None = None,
        rates: Rates | None = None,
    ) -> None:
        self.tasks = plan.tasks
        self.seconds = task_seconds(plan) if seconds is None else seconds
        self.home = homes(plan.tasks, self.seconds, workers)
        self.transfer_bytes_per_s = (rates or COST_TABLE).transfer_bytes_per_s
        self.away_s = COST_TABLE.task_s if rates is None else rates.overhead_s
        self.overhead_s = COST_TABLE.call_s if len(plan.tasks) > 1 else 0.0
        self.most = [0] * workers
        self._held = [0] * workers
        self._waits = [len(_values(task)) for task in plan.tasks]
        self._readers: dict[TaskOutput, list[int]] = {}
        for number, task in enumerate(plan.tasks):
            for value in _values(task):
                self._readers.setdefault(value, []).append(number)
        self._unread = {value: len(own) for value, own in self._readers.items()}
        self._ready: list[list[int]] = [[] for _ in range(workers)]  # per worker, a heap of tasks
        self._idle = [True] * workers
        self._arrivals = [0.0] * len(plan.tasks)  # when the last operand is there

    def run(self) -> float:
        """When the last task ends."""
        # (when, 0 for a task that is ready and 1 for one that is done, its number)
        events = [(0.0, 0, task) for task, left in enumerate(self._waits) if not left]
        now_s = 0.0
        while events:
            now_s, done, task = heappop(events)
            at = self.home[task]
            if done:
                self._idle[at] = True
                self._end(task, now_s, events)
            else:
                heappush(self._ready[at], task)
            if self._idle[at] and self._ready[at]:
                chosen = heappop(self._ready[at])
                self._idle[at] = False
                self.most[at] = max(self.most[at], self._held[at] + self.tasks[chosen].peak_bytes)
                ends_s = now_s + self.seconds[chosen] + self.overhead_s
                heappush(events, (ends_s, 1, chosen))
        return now_s

    def _end(self, task: int, now_s: float, events: list[tuple[float, int, int]]) -> None:
        """A task is done: its values are held until read, and their readers wait for less."""
        at = self.home[task]
        for value in _values(self.tasks[task]):
            self._unread[value] -= 1
            if not self._unread[value]:
                self._held[self.home[value.task]] -= self._bytes(value)
        for output in range(len(self.tasks[task].graph.outputs)):
            value = TaskOutput(task, output)
            size = self._bytes(value)
            self._held[at] += size if value in self._readers else 0
            for reader in self._readers.get(value, ()):
                away = self.home[reader] != at
                moving_s = self.away_s + size / self.transfer_bytes_per_s if away else 0.0
                self._arrivals[reader] = max(self._arrivals[reader], now_s + moving_s)
                self._waits[reader] -= 1
                if not self._waits[reader]:
                    heappush(events, (self._arrivals[reader], 0, reader))

    def moved_bytes(self) -> int:
        """Bytes that cross between workers."""
        crossing = {
            (value, self.home[reader])
            for value, own in self._readers.items()
            for reader in own
            if self.home[reader] != self.home[value.task]
        }
        return sum([self._bytes(value) for value, _ in crossing])

    def _bytes(self, value: TaskOutput) -> int:
        return self.tasks[value.task].graph.output_type(value.output).size_bytes


def _values(task: Task) -> list[TaskOutput]:
    """The values of other tasks that a task reads, each once."""
    read = [source for source in task.operands if isinstance(source, TaskOutput)]
    return list(dict.fromkeys(read))


def input_bytes(plan: Plan) -> int:
    """Bytes of the job's inputs, which go to each machine once."""
    used = {s.index for task in plan.tasks for s in task.operands if isinstance(s, JobInput)}
    return sum([plan.inputs[index].type.size_bytes for index in used])


def task_seconds(plan: Plan, rates: Rates | None = None) -> list[float]:
    """Predicted seconds of each task; equal graphs are looked at once."""
    graphs = {id(task.graph): task for task in plan.tasks}
    known = {key: task_s(task, rates) for key, task in graphs.items()}
    return [known[id(task.graph)] for task in plan.tasks]
