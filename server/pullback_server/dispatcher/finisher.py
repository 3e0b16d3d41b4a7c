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


class Finisher:
    """The programs of such ends."""

    def __init__(self) -> None:
        self._executor = NumpyExecutor()
        self._name = f"{self._executor.name}-{self._executor.version}"
        self._programs: ProgramCache[NumpyProgram] = ProgramCache(MOST_PROGRAMS, PROGRAM_BYTES)

    async def finish(self, job: PoolJob, statistics: JobStatistics, submitted_s: float) -> None:
        """Add to a job's results what its plan has behind its stem, and how that went.

        Args:
            submitted_s: when the job was submitted, by the monotonic clock.
        """
        stem = job.plan.stem
        assert stem is not None, "workers run all of a plan that has no end"
        tasks = range(len(stem.tasks), len(job.plan.tasks))
        if sum(map(job.plan.size_bytes, stem.results)) <= AT_ONCE_BYTES:
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
