"""Runs a Plan in this process, task by task: the oracle of the distributed runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback_graph.derivative import lower
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.want import Want
from pullback_server.planner import Block, JobInput, Plan, Source, make_plan
from pullback_worker.numpy_executor import NumpyExecutor, fold


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


def planned(graph: Graph, want: Want, split: Split) -> tuple[Plan, Graph]:
    """The plan of a job's lowered graph, and that graph."""
    lowered = lower(graph, want, fold=fold)
    plan = make_plan(lowered.graph, Options(split=split), values=lowered.value_count)
    return plan, lowered.graph


def assert_computes(plan: Plan, graph: Graph, rtol: float = 1e-11) -> None:
    """The plan's results are one task's, on normal numbers, by the scale of each array."""
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=item.type.shape) for item in graph.inputs]
    for one, other in zip(
        NumpyExecutor().compile(graph)(arrays), run_plan(plan, arrays), strict=True
    ):
        scale = np.abs(one).max(initial=1e-300)
        np.testing.assert_allclose(other, one, rtol=rtol, atol=rtol * scale, strict=True)
