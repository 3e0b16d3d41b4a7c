"""A node is lost with the values on it that later tasks read: what they need is computed again.

Stages and shards of several rounds keep residuals on the workers that made them. Which round a loss
falls into is known by the tasks that are done, since a round awaits the whole of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient
from pullback_server.dispatcher_link import Outcome
from pullback_server.planner import Phase, Plan, make_plan
from pullback_server.planner.assign import assign
from pullback_worker.numpy_executor import fold
from tests.server.test_planner_stage import WEIGHTS, layered
from tests.system.ray_nodes import RayNodes, ray_nodes
from tests.system.running_link import RunningLink

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NODES = 3
WORKERS = 2
PATIENCE_S = 240.0


def normalised(rows: int, size: int, layers: int) -> Graph:
    """A log-sum-exp over a batch: a round for the sum, and another for the adjoints."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (rows, size, size)))
    w = b.input("w", ArrayType(FLOAT64, (size, size)))
    hidden = x
    for _ in range(layers):
        hidden = do.tanh(do.matmul(hidden, w))
    each = do.sum(do.square(hidden), axes=(1, 2), keepdims=False)
    total = do.sum(do.exp(each * 1e-6), axes=(0,), keepdims=False)
    return b.build({"loss": do.log(total)})


def planned(graph: Graph, wanted: tuple[str, ...], split: Split) -> Plan:
    """The plan of the gradient of a loss, as it is for a reproducible job."""
    lowered = lower(graph, Gradient(wanted, "loss"), fold=fold)
    plan = make_plan(lowered.graph, Options(split=split), values=lowered.value_count)
    return assign(plan, "auto", steady=True)


SHARDED = planned(normalised(24, 500, 16), ("w",), Split("shard", 4))
STAGED = planned(layered(60_000, 64), WEIGHTS, Split("stage", 2))


def inputs(plan: Plan) -> list[Any]:
    """An array for each input, the same every time."""
    rng = np.random.default_rng(1)
    return [rng.normal(size=item.type.shape) * 0.05 for item in plan.inputs]


def large(plan: Plan, phase: Phase) -> list[int]:
    """The large tasks of a phase."""
    costly = max(task.flops for task in plan.tasks if task.phase is phase) / 2
    tasks = enumerate(plan.tasks)
    return [k for k, task in tasks if task.phase is phase and task.flops > costly]


FIRST_ROUND = 1 + large(SHARDED, Phase.FUSED)[-1]
"""Tasks up to the end of the first round; what is computed after, reads residuals of all of it."""
SECOND_ROUND = large(SHARDED, Phase.BACKWARD)[0]
"""Tasks before the large ones of the second round, of which every worker has some."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A head and three nodes, of which two have a worker each."""
    with ray_nodes(NODES) as running:
        yield running


@pytest.fixture(scope="module")
def link(nodes: RayNodes) -> Iterator[RunningLink]:
    """A link to them."""
    with RunningLink(workers=WORKERS, ray_address=nodes.address) as running:
        running.until_all_ready()
        yield running


def unharmed(link: RunningLink, plan: Plan) -> Sequence[Any]:
    """The results of a run that loses nothing; the figures tell of all of it when it returns."""
    start = link.until_all_ready().tasks
    results = link.run(plan, inputs(plan)).results
    link.until(lambda f: f.tasks >= start + len(plan.tasks))
    return results


def hurt(
    link: RunningLink, plan: Plan, when: Callable[[int], bool], strike: Callable[[], None]
) -> Outcome:
    """Run a plan, and strike once so many of its tasks are done that `when` says so."""
    before = link.figures()
    job = link.submit(plan, inputs(plan))
    found = link.until(lambda f: when(f.tasks - before.tasks) or job.done())
    assert not job.done(), f"too late: {found.tasks - before.tasks} tasks were done"
    strike()
    return job.result(PATIENCE_S)


def in_first_round(done: int) -> bool:
    """Residuals are held, and not all of them yet."""
    return 2 <= done < FIRST_ROUND


def in_second_round(done: int) -> bool:
    """Every residual is held and still to be read, so that no worker is through."""
    return FIRST_ROUND <= done <= SECOND_ROUND


def among_stages(done: int) -> bool:
    """Some micro-batches are through and some are not."""
    return len(STAGED.tasks) // 5 <= done < len(STAGED.tasks) // 2


@pytest.mark.parametrize(
    ("plan", "when"),
    [(SHARDED, in_first_round), (SHARDED, in_second_round), (STAGED, among_stages)],
)
def test_what_a_lost_node_held_is_computed_again(
    nodes: RayNodes, link: RunningLink, plan: Plan, when: Callable[[int], bool]
) -> None:
    """The bits are those of a run that loses nothing, and the reply says what was run again."""
    expected = unharmed(link, plan)
    outcome = hurt(link, plan, when, nodes.lose)
    for whole, found in zip(expected, outcome.results, strict=True):
        np.testing.assert_array_equal(found, whole, strict=True)
    assert outcome.retries >= 1
    assert [span.task for span in outcome.timeline] == list(range(len(plan.tasks)))


def test_a_head_lost_among_rounds_costs_time_only(nodes: RayNodes, link: RunningLink) -> None:
    """All that was computed is gone with the cluster; the job runs again on the one after it."""
    expected = unharmed(link, SHARDED)
    restarts = link.figures().restarts
    outcome = hurt(link, SHARDED, lambda done: done >= 2, nodes.lose_head)
    for whole, found in zip(expected, outcome.results, strict=True):
        np.testing.assert_array_equal(found, whole, strict=True)
    assert link.figures().restarts > restarts
