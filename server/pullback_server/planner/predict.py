"""Predicted run time of a plan on some number of workers: a list schedule by the cost table.

A task runs on the worker its shard is laid to; a worker that is free takes, of the tasks whose
operands have arrived, the first in the plan's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import JobInput, Phase, Plan, Source, Task, TaskOutput


def task_s(task: Task) -> float:
    """Predicted run time of a task, without what surrounds it."""
    return sum([COST_TABLE.seconds(cost) for cost in task.graph.node_costs])


def homes(tasks: Sequence[Task], seconds: Sequence[float], workers: int) -> list[int]:
    """The worker of each task: contiguous shards of about equal work each."""
    work: dict[int, float] = {}
    for task, spent_s in zip(tasks, seconds, strict=True):
        if task.phase is not Phase.REDUCE:
            work[task.shard] = work.get(task.shard, 0.0) + spent_s
    before, total = 0.0, max(sum(work.values()), 1e-12)
    home = {}
    for shard in sorted(work):
        home[shard] = min(int((before + work[shard] / 2) / total * workers), workers - 1)
        before += work[shard]
    return [home.get(task.shard, 0) for task in tasks]


def makespan_s(plan: Plan, workers: int) -> float:
    """Predicted seconds from the first task's start to the last one's end."""
    seconds = _seconds(plan.tasks)
    home = homes(plan.tasks, seconds, workers)
    overhead_s = COST_TABLE.task_s if len(plan.tasks) > 1 else 0.0
    waits, readers = _edges(plan.tasks)
    ready: list[list[int]] = [[] for _ in range(workers)]  # per worker, a heap of tasks
    idle = [True] * workers
    arrivals = [0.0] * len(plan.tasks)  # when the last operand is there
    events = [(0.0, 0, task) for task, left in enumerate(waits) if not left]
    now_s = 0.0
    while events:  # (when, 0 for a task that is ready and 1 for one that is done, its number)
        now_s, done, task = heappop(events)
        at = home[task]
        if done:
            idle[at] = True
            for reader, moved in readers[task]:
                moving_s = moved / COST_TABLE.transfer_bytes_per_s if home[reader] != at else 0.0
                arrivals[reader] = max(arrivals[reader], now_s + moving_s)
                waits[reader] -= 1
                if not waits[reader]:
                    heappush(events, (arrivals[reader], 0, reader))
        else:
            heappush(ready[at], task)
        if idle[at] and ready[at]:
            chosen = heappop(ready[at])
            idle[at] = False
            heappush(events, (now_s + seconds[chosen] + overhead_s, 1, chosen))
    return now_s


def _edges(tasks: Sequence[Task]) -> tuple[list[int], list[list[tuple[int, int]]]]:
    """Per task how many values it waits for, and who reads it with how many bytes of each."""
    waits = [0] * len(tasks)
    readers: list[list[tuple[int, int]]] = [[] for _ in tasks]
    for number, task in enumerate(tasks):
        for source in task.operands:
            if isinstance(source, TaskOutput):
                waits[number] += 1
                readers[source.task].append((number, _moved_bytes(tasks, source)))
    return waits, readers


def moved_bytes(plan: Plan, workers: int) -> int:
    """Bytes of tasks' results that are read on another worker, once per worker."""
    home = homes(plan.tasks, _seconds(plan.tasks), workers)
    crossing: dict[tuple[Source, int], int] = {}
    for task, at in zip(plan.tasks, home, strict=True):
        for source in task.operands:
            if isinstance(source, TaskOutput) and home[source.task] != at:
                crossing[source, at] = _moved_bytes(plan.tasks, source)
    return sum(crossing.values())


def input_bytes(plan: Plan) -> int:
    """Bytes of the job's inputs, which go to each machine once."""
    used = {s.index for task in plan.tasks for s in task.operands if isinstance(s, JobInput)}
    return sum([plan.inputs[index].type.size_bytes for index in used])


def _seconds(tasks: Sequence[Task]) -> list[float]:
    """Predicted seconds of each task; equal graphs are looked at once."""
    known: dict[int, float] = {}
    found = []
    for task in tasks:
        if id(task.graph) not in known:
            known[id(task.graph)] = task_s(task)
        found.append(known[id(task.graph)])
    return found


def _moved_bytes(tasks: Sequence[Task], source: TaskOutput) -> int:
    return tasks[source.task].graph.output_type(source.output).size_bytes
