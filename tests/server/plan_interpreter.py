"""Runs a Plan in this process, task by task: the oracle of the distributed runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback_server.planner import Block, JobInput, Plan, Source
from pullback_worker.numpy_executor import NumpyExecutor


def run_plan(plan: Plan, arrays: Sequence[Any]) -> list[Any]:
    """The plan's results for the job's arrays, in order."""
    executor = NumpyExecutor()
    done: list[list[Any]] = []

    def value(source: Source) -> Any:
        if isinstance(source, JobInput):
            return block_of(arrays[source.index], source.block)
        return done[source.task][source.output]

    for task in plan.tasks:
        done.append(executor.compile(task.graph)([value(source) for source in task.operands]))
    return [value(source) for source in plan.results]


def block_of(array: Any, block: Block | None) -> Any:
    """The block of an array, contiguous as it would arrive; without one, the whole of it."""
    if block is None:
        return array
    return np.ascontiguousarray(
        array[(slice(None),) * block.axis + (slice(block.start, block.stop),)]
    )
