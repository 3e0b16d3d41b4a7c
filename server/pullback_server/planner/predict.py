"""Predicted run time of a plan on some number of workers: a list schedule by the cost table.

Each task starts, in the plan's order, on the worker its shard is laid to, when that worker is free
and its operands have arrived; a reduction runs where its first operand is.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    free = [0.0] * workers
    ends: list[float] = []
    for task, spent_s, at in zip(plan.tasks, seconds, home, strict=True):
        start = free[at]
        for source in task.operands:
            if isinstance(source, TaskOutput):
                moved = _moved_bytes(plan.tasks, source) if home[source.task] != at else 0
                start = max(start, ends[source.task] + moved / COST_TABLE.transfer_bytes_per_s)
        free[at] = start + spent_s + (COST_TABLE.task_s if len(plan.tasks) > 1 else 0.0)
        ends.append(free[at])
    return max(ends, default=0.0)


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
