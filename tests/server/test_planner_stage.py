"""The stage split: forward stages, backward ones in reverse beside them, and micro-batches."""

from __future__ import annotations

import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import Split
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient, Hvp, Jvp, Value, Vjp, Want
from pullback_server.planner import Phase, TaskOutput
from pullback_server.planner.phases import forward_nodes
from pullback_server.planner.stage import stage_split
from tests.server.plan_interpreter import assert_computes, planned

LAYERS = 8
WEIGHTS = tuple(f"w{k}" for k in range(LAYERS))


def _sum(x: Ref) -> Ref:
    return do.sum(x, axes=tuple(range(len(x.shape))), keepdims=False)


def layered(rows: int = 24, size: int = 5) -> Graph:
    """A residual network: each layer has its weights, and a way around it."""
    b = Builder()
    hidden = b.input("x", ArrayType(FLOAT64, (rows, size)))
    for name in WEIGHTS:
        weights = b.input(name, ArrayType(FLOAT64, (size, size)))
        hidden = do.tanh(do.matmul(hidden, weights)) + hidden * 0.5
    return b.build({"loss": _sum(do.square(hidden)), "last": hidden})


def recurrent(steps: int = 12, rows: int = 6) -> Graph:
    """An unrolled recurrence with gates, whose parameters every step shares."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (steps, rows, 3)))
    w, u = b.input("w", ArrayType(FLOAT64, (3, 3))), b.input("u", ArrayType(FLOAT64, (3, 3)))
    state = b.input("h", ArrayType(FLOAT64, (rows, 3)))
    for k in range(steps):
        now = do.slice(x, starts=(k, 0, 0), stops=(k + 1, rows, 3), steps=(1, 1, 1))
        now = do.reshape(now, shape=(rows, 3))
        gate = do.sigmoid(do.matmul(now, w) + do.matmul(state, u))
        state = gate * do.tanh(do.matmul(now, u)) + (1.0 - gate) * state
    return b.build({"loss": _sum(do.square(state))})


WANTS: list[tuple[Graph, Want]] = [
    (layered(), Gradient(WEIGHTS, "loss")),
    (layered(), Gradient(("x", "w3"), "loss")),
    (layered(), Vjp(("x", "w0"), (("last",),))),
    (layered(), Value()),
    (layered(), Jvp((("x", "w3"),))),
    (layered(), Hvp(("w0", "w5"), (("w0", "w5"),), "loss")),
    (recurrent(), Gradient(("w", "u", "h", "x"))),
]


@pytest.mark.parametrize("count", [0, 2, 3, 7])
@pytest.mark.parametrize(("graph", "want"), WANTS)
def test_stages_give_what_one_task_gives(graph: Graph, want: Want, count: int) -> None:
    """Nothing is added in another order: up to how kernels round what lies elsewhere in memory."""
    plan, whole = planned(graph, want, Split("stage", count))
    assert plan.split.kind == "stage"
    assert_computes(plan, whole, 1e-13)


def test_backward_stages_run_in_reverse_where_their_residuals_are() -> None:
    """Forward and backward task of a stage share a home; what crosses is a layer's width."""
    plan, _ = planned(layered(), Gradient(WEIGHTS, "loss"), Split("stage", 4))
    assert [task.phase for task in plan.tasks] == [Phase.FORWARD] * 4 + [Phase.BACKWARD] * 4
    assert [task.shard for task in plan.tasks] == [0, 1, 2, 3, 3, 2, 1, 0]
    for task in plan.tasks:
        crossing = [
            source
            for source in task.operands
            if isinstance(source, TaskOutput) and plan.tasks[source.task].shard != task.shard
        ]
        assert len(crossing) <= 3


def test_a_long_graph_holds_less_at_once_in_stages() -> None:
    """The largest task of eight stages needs a fraction of what one task needs."""
    whole, _ = planned(layered(4096, 32), Gradient(WEIGHTS, "loss"), Split("none"))
    stages, _ = planned(layered(4096, 32), Gradient(WEIGHTS, "loss"), Split("stage", 8))
    largest = max(task.peak_bytes for task in stages.tasks)
    assert largest < 0.6 * whole.tasks[0].peak_bytes


def test_forward_mode_goes_along_with_the_values() -> None:
    """Tangents are computed in the stage of what they are tangents of: no stage runs twice."""
    plan, _ = planned(layered(), Jvp((("x", "w3"),)), Split("stage", 4))
    assert [task.shard for task in plan.tasks] == [0, 1, 2, 3]
    assert {task.phase for task in plan.tasks} == {Phase.FUSED}


@pytest.mark.parametrize(
    ("rows", "want"), [(4000, Gradient(("x", *WEIGHTS), "loss")), (12_000, Value())]
)
def test_micro_batches_go_through_the_stages(rows: int, want: Want) -> None:
    """With a batch axis that is worth it, each stage runs a micro-batch at a time."""
    plan, whole = planned(layered(rows, 32), want, Split("stage", 2))
    assert "micro-batches along axis 0 of 'x'" in plan.reason
    homes = {task.shard for task in plan.tasks}
    assert homes == {0, 1}
    assert len(plan.tasks) > 4
    assert_computes(plan, whole, 1e-10)


def test_micro_batches_add_up_in_each_stage_what_stages_share() -> None:
    """The adjoint of weights that every step has is summed along the stages before it is joined."""
    plan, whole = planned(recurrent(12, 30_000), Gradient(("w", "u", "x")), Split("stage", 3))
    assert "micro-batches" in plan.reason
    assert_computes(plan, whole, 1e-10)


def test_more_stages_than_nodes_are_refused() -> None:
    """The message says how many nodes there are to cut between."""
    with pytest.raises(RequestError, match="only 34 nodes to cut between; use fewer stages"):
        planned(layered(), Gradient(("w0",), "loss"), Split("stage", 35))
    b = Builder()
    graph = b.build({"y": do.sin(b.input("x", ArrayType(FLOAT64, ())))})
    with pytest.raises(RequestError, match="fewer than two nodes"):
        planned(graph, Value(), Split("stage"))


@pytest.mark.parametrize("count", range(1, 35))
def test_any_number_of_stages_cuts_the_forward_part(count: int) -> None:
    """Every stage has a node, for each count up to the number of nodes."""
    graph = layered()
    split = stage_split(graph, forward_nodes(graph, 2), count)
    assert split is not None
    assert set(split.parts.of) == set(range(count))
