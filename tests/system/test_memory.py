"""Jobs of ten times a worker's memory: done in parts, or refused with the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.errors import LimitExceeded, OutOfMemory
from pullback_graph.graph import Graph
from pullback_graph.job import Options
from pullback_graph.memory import peak_bytes
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient
from pullback_server.planner import JobInput, Phase, Plan, Task, TaskOutput, make_plan
from pullback_server.planner.plan import Source
from pullback_server.planner.plan_within import Cap, Fitted, plan_within
from pullback_worker.memory_watch import LIBRARIES_BYTES
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.server import plans
from tests.server.test_planner_stage import WEIGHTS, layered
from tests.system.jobs import chain_graph, rotation
from tests.system.running_link import RunningLink

pytestmark = [pytest.mark.system, pytest.mark.slow]
WORKER_BYTES = 64 << 20
"""What a worker's arrays may take."""


def wide(layers: int = 40, size: int = 1024) -> tuple[Graph, Gradient]:
    """A deep network with a small batch: weights and their gradients are what takes memory."""
    b = Builder()
    hidden = b.input("x", ArrayType(FLOAT64, (8, size)))
    names = tuple([f"w{k}" for k in range(layers)])
    for name in names:
        hidden = do.tanh(do.matmul(hidden, b.input(name, ArrayType(FLOAT64, (size, size)))))
    loss = do.sum(do.square(hidden), axes=(0, 1), keepdims=False)
    return b.build({"loss": loss}), Gradient(names)


def tall(rows: int = 40_000, size: int = 128) -> tuple[Graph, Gradient]:
    """A network with a large batch: residuals are what takes memory."""
    graph = layered(rows, size)
    only = Graph(graph.inputs, graph.constants, graph.nodes, graph.outputs[:1])
    return only, Gradient(WEIGHTS)


@pytest.fixture(scope="module")
def link() -> Iterator[RunningLink]:
    """Two workers with little memory each, on a cluster of their own."""
    with RunningLink(workers=2, worker_memory_bytes=WORKER_BYTES, promotion=False) as link:
        link.until_all_ready()
        yield link


def fitted(graph: Graph, want: Gradient) -> tuple[Fitted, Graph]:
    """The plan within the memory of a worker, and the lowered graph."""
    lowered = lower(graph, want, fold=fold)
    cap = Cap(WORKER_BYTES, "--worker-memory-bytes")
    return plan_within(lowered.graph, Options(), lowered.value_count, cap), lowered.graph


@pytest.mark.parametrize(("make", "kind"), [(tall, "shard"), (wide, "stage")])
def test_a_job_of_ten_times_a_worker_s_memory_gives_its_gradient(
    link: RunningLink, make: Any, kind: str
) -> None:
    """By shards where there is a batch, by stages where weights fill it; no worker is lost."""
    made, graph = fitted(*make())
    assert peak_bytes(graph) >= 10 * WORKER_BYTES
    assert made.plan.split.kind == kind
    rng = np.random.default_rng(3)
    arrays: list[Any] = [0.05 * rng.normal(size=item.type.shape) for item in graph.inputs]
    whole = NumpyExecutor().compile(graph)(arrays)
    outcome = link.run(made.plan, arrays)
    for one, other in zip(whole, outcome.results, strict=True):
        scale = np.abs(one).max(initial=1e-300)
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-10 * scale)
    assert outcome.peak_bytes <= WORKER_BYTES + LIBRARIES_BYTES
    assert link.figures().workers_lost == 0


def test_a_job_that_fits_no_way_is_refused_before_it_runs(link: RunningLink) -> None:
    """By the planner with what it takes and may take; by the pool, should it get there."""
    size = 4096
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (size, size)))
    graph = b.build({"y": do.matmul(x, x)})
    with pytest.raises(
        LimitExceeded, match=rf"need \d+ bytes, --worker-memory-bytes allows {WORKER_BYTES}"
    ):
        plan_within(graph, Options(), 1, Cap(WORKER_BYTES, "--worker-memory-bytes"))
    done = link.figures().tasks
    with pytest.raises(OutOfMemory, match=f"memory of {WORKER_BYTES} bytes"):
        link.run(make_plan(graph, Options()), [np.ones((size, size))])
    assert link.figures().tasks == done
    assert link.figures().workers_lost == 0


def test_a_value_that_no_worker_has_room_to_keep_is_read_again_and_again(link: RunningLink) -> None:
    """It is brought for one task at a time and dropped there, which leaves it to the next."""
    size, readers = 300, 6
    square = chain_graph(size, 1)
    sources: list[Source] = [JobInput(0), *[TaskOutput(0, 0)] * readers]
    tasks = [Task(square, (s,), Phase.FUSED, 1e9, 0.0, peak_bytes=WORKER_BYTES) for s in sources]
    made = plans.make_plan(tasks, [TaskOutput(1 + k, 0) for k in range(readers)])
    plan = Plan(square.inputs, made.tasks, made.results, made.split, made.reason, 1.0)
    x = rotation(size)
    outcome = link.run(plan, [x])
    for result in outcome.results:
        np.testing.assert_allclose(result, np.linalg.matrix_power(x, 4), atol=1e-12)
    assert outcome.retries == 0
