"""Runs the end of a job in the dispatcher: the last sums of what several workers handed back.

On NumPy, as a worker would at first: sums and joins have the same bits on every executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic, perf_counter

from pullback_graph.job import NDArray
from pullback_server.planner.plan import Placement, TaskOutput
from pullback_server.pool_job import PoolJob
from pullback_server.scheduler import HERE, JobStatistics, TaskTiming
from pullback_worker.numpy_executor import NumpyExecutor, NumpyProgram
from pullback_worker.program_cache import ProgramCache

MOST_PROGRAMS = 256
PROGRAM_BYTES = 64 << 20
AT_ONCE_BYTES = 1 << 17
"""Of values that take no longer to add up than another thread takes to turn to it."""
AT_ONCE_TASKS = 16
"""The same, where what takes time is the number of sums."""


class Finisher:
    """The programs of such ends."""

    def __init__(self) -> None:
        self._executor = NumpyExecutor()
        self._name = f"{self._executor.name}-{self._executor.version}"
        self._programs: ProgramCache[NumpyProgram] = ProgramCache(MOST_PROGRAMS, PROGRAM_BYTES)

    async def finish(self, job: PoolJob, statistics: JobStatistics, submitted_s: float) -> None:
        """Add to a job's results what its workers left of its plan, and how that went.

        Args:
            submitted_s: when the job was submitted, by the monotonic clock.
        """
        plan, tasks = job.plan, _missing(job)
        read = {value for task in tasks for value in plan.operands[task]}
        small = sum(map(plan.size_bytes, read)) <= AT_ONCE_BYTES
        if small and len(tasks) <= AT_ONCE_TASKS:
            timings = self._run(job, tasks, submitted_s)
        else:
            timings = await asyncio.to_thread(self._run, job, tasks, submitted_s)
        statistics.timings = {**statistics.timings, **timings}

    def _run(self, job: PoolJob, tasks: Iterable[int], submitted_s: float) -> dict[int, TaskTiming]:
        timings, plan = {}, job.plan
        values: dict[TaskOutput, NDArray] = dict(job.results)
        for task in tasks:
            started_s = monotonic() - submitted_s
            program, hit, compile_s = self._programs.get(plan.tasks[task].graph, self._executor)
            sources = plan.tasks[task].operands
            operands = [values[own] for own in sources if isinstance(own, TaskOutput)]
            begun_s = perf_counter()
            outputs = program(operands)
            running_s = perf_counter() - begun_s
            values.update(zip(plan.outputs[task], outputs, strict=True))
            timings[task] = TaskTiming(
                HERE, Placement.CPU, 1, running_s, compile_s, 0.0, hit, self._name, started_s
            )
        job.results.update(values)
        return timings


def _missing(job: PoolJob) -> list[int]:
    """The tasks behind a job's results that are to be run, in order, for its plan's."""
    plan, missing = job.plan, set[int]()
    asked = [value for value in plan.results if value not in job.results]
    while asked:
        task = asked.pop().task
        if task not in missing:
            missing.add(task)
            asked += [value for value in plan.operands[task] if value not in job.results]
    return sorted(missing)
