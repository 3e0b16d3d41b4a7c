"""Plans with real work in them, for the tests of real workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient
from pullback_server.planner import JobInput, Phase, Plan, Task, TaskOutput, make_plan


def loss_plan(rows: int, columns: int, shards: int) -> Plan:
    """Value and gradient of a sum of squares of tanh(x @ w), split along the rows."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (rows, columns)))
    w = builder.input("w", ArrayType(FLOAT64, (columns, 8)))
    loss = do.sum(do.square(do.tanh(x @ w)), axes=(0, 1), keepdims=False)
    lowered = lower(builder.build({"loss": loss}), Gradient(("w",)))
    options = Options(split=Split("shard", shards))
    return make_plan(lowered.graph, options, values=lowered.value_count)


def loss_inputs(rows: int, columns: int) -> list[Any]:
    """Inputs of a `loss_plan`, the same every time."""
    generator = np.random.default_rng(7)
    x = generator.standard_normal((rows, columns))
    x.flags.writeable = False
    return [x, 0.1 * generator.standard_normal((columns, 8))]


def chain_graph(size: int, length: int) -> Graph:
    """`length` products of a square matrix, one after another."""
    builder = Builder()
    x = y = builder.input("x", ArrayType(FLOAT64, (size, size)))
    for _ in range(length):
        y = y @ x
    return builder.build({"y": y})


def whole_plan(graph: Graph) -> Plan:
    """A plan of one task."""
    return make_plan(graph, Options(split=Split("none")))


def slow_shards_plan(shards: int, size: int, length: int) -> Plan:
    """A chain of products per shard, and the sum of all: seconds of work in many calls."""
    chain = chain_graph(size, length)
    builder = Builder()
    left, right = (builder.input(n, ArrayType(FLOAT64, (size, size))) for n in ("left", "right"))
    addition = builder.build({"sum": left + right})
    flops = chain.cost.flops
    tasks = [
        Task(chain, (JobInput(0),), Phase.FUSED, flops, 0.0, 0, shard=shard)
        for shard in range(shards)
    ]
    last = 0
    for shard in range(1, shards):
        operands = (TaskOutput(last, 0), TaskOutput(shard, 0))
        tasks.append(Task(addition, operands, Phase.REDUCE, 0.0, 0.0, 0, shard=0))
        last = len(tasks) - 1
    results = (TaskOutput(last, 0),)
    return Plan(chain.inputs, tuple(tasks), results, Split("shard", shards), "by hand", 1.0)


def rotation(size: int) -> Any:
    """A matrix whose powers neither grow nor vanish."""
    generator = np.random.default_rng(3)
    orthogonal, _ = np.linalg.qr(generator.standard_normal((size, size)))
    return orthogonal
