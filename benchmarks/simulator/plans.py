"""Plans without mathematics: the scheduler looks at edges, sizes and predicted times alone."""

from __future__ import annotations

from itertools import count

from pullback_graph.graph import Graph, Input, Output
from pullback_graph.job import Split
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import JobInput, Phase, Plan, Source, Task, TaskOutput
from pullback_server.scheduler import Dependencies

REDUCE_S = 1e-4
_SIZES = count(1)
"""Every program has a shape of its own, and so a fingerprint."""


def sharded(shards: int, seconds: float) -> Dependencies:
    """So many shards of that predicted time each, and a binary tree of sums over them."""
    type = ArrayType(FLOAT64, (next(_SIZES),))
    leaf, join = _graph(1, type), _graph(2, type)
    tasks = [_task(leaf, (JobInput(0),), Phase.FUSED, k, seconds) for k in range(shards)]
    level = list(range(shards))
    while len(level) > 1:
        above = []
        for left, right in zip(level[::2], level[1::2], strict=False):
            operands = (TaskOutput(left, 0), TaskOutput(right, 0))
            tasks.append(_task(join, operands, Phase.REDUCE, tasks[left].shard, REDUCE_S))
            above.append(len(tasks) - 1)
        level = above + level[len(level) - len(level) % 2 :]
    results = (TaskOutput(level[0], 0),)
    plan = Plan(
        (Input("x", type),), tuple(tasks), results, Split("shard", shards), "simulated", seconds
    )
    return Dependencies(plan)


def single(seconds: float) -> Dependencies:
    """One task."""
    type = ArrayType(FLOAT64, (next(_SIZES),))
    task = _task(_graph(1, type), (JobInput(0),), Phase.FUSED, -1, seconds)
    plan = Plan(
        (Input("x", type),), (task,), (TaskOutput(0, 0),), Split("none", 1), "simulated", seconds
    )
    return Dependencies(plan)


def _graph(inputs: int, type: ArrayType) -> Graph:
    return Graph(
        inputs=tuple(Input(f"x{k}", type) for k in range(inputs)),
        constants=(),
        nodes=(),
        outputs=(Output("y", 0),),
    )


def _task(
    graph: Graph, operands: tuple[Source, ...], phase: Phase, shard: int, seconds: float
) -> Task:
    flops = seconds * COST_TABLE.flops_per_s
    return Task(graph, operands, phase, flops, 0.0, 0, shard=shard)
