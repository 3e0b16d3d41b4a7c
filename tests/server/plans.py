"""Plans made by hand, for tests that need one without a planner."""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.graph import Graph, Input, Output
from pullback_graph.job import Split
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import (
    Block,
    JobInput,
    Phase,
    Placement,
    Plan,
    Source,
    Task,
    TaskOutput,
)

VECTOR = ArrayType(FLOAT64, (4,))


def passing_graph(inputs: int, outputs: int = 1, type: ArrayType = VECTOR) -> Graph:
    """A graph without nodes: each output is one of the inputs. Schedulers look no deeper."""
    count = max(inputs, 1)
    return Graph(
        inputs=tuple(Input(f"x{k}", type) for k in range(count)),
        constants=(),
        nodes=(),
        outputs=tuple(Output(f"y{k}", k % count) for k in range(outputs)),
    )


def make_task(
    operands: Sequence[Source],
    *,
    outputs: int = 1,
    phase: Phase = Phase.FUSED,
    shard: int = -1,
    seconds: float = 1e-3,
    placement: Placement = Placement.CPU,
    type: ArrayType = VECTOR,
    peak_bytes: int = 0,
) -> Task:
    """A task of about that many predicted seconds."""
    graph = passing_graph(len(operands), outputs, type)
    flops = seconds * COST_TABLE.flops_per_s
    return Task(graph, tuple(operands), phase, flops, 0.0, peak_bytes, placement, shard)


def make_plan(tasks: Sequence[Task], results: Sequence[Source], inputs: int = 1) -> Plan:
    """A plan of those tasks."""
    types = tuple(Input(f"x{k}", VECTOR) for k in range(inputs))
    split = Split("shard", 1 + max((task.shard for task in tasks), default=0))
    return Plan(types, tuple(tasks), tuple(results), split, "by hand", 1.0)


def reduce_plan(shards: int, seconds: float = 1e-3, type: ArrayType = VECTOR) -> Plan:
    """One task a shard, and a binary tree of sums over them."""
    tasks = [
        make_task([JobInput(0, Block(0, k, k + 1))], shard=k, seconds=seconds, type=type)
        for k in range(shards)
    ]
    level = list(range(shards))
    while len(level) > 1:
        above = []
        for left, right in zip(level[::2], level[1::2], strict=False):
            operands = [TaskOutput(left, 0), TaskOutput(right, 0)]
            shard = tasks[left].shard
            tasks.append(
                make_task(operands, phase=Phase.REDUCE, shard=shard, seconds=1e-6, type=type)
            )
            above.append(len(tasks) - 1)
        level = above + level[len(level) - len(level) % 2 :]
    return make_plan(tasks, [TaskOutput(level[0], 0)])
