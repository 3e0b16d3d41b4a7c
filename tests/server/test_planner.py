"""The planner: what it splits, what it refuses, and that a split computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.errors import LimitExceeded, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient, Value, Vjp, Want
from pullback_server.planner import Phase, Plan, make_plan, splits
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.server.plan_interpreter import run_plan

ROWS, COLUMNS, HIDDEN = 37, 5, 4


def _input(builder: Builder, name: str, *shape: int) -> Ref:
    return builder.input(name, ArrayType(FLOAT64, shape))


def _sum(x: Ref, *axes: int) -> Ref:
    return do.sum(x, axes=axes, keepdims=False)


def least_squares() -> tuple[Graph, Want]:
    """A mean over the batch and a sum-reduced parameter adjoint."""
    b = Builder()
    x, w, y = _input(b, "x", ROWS, COLUMNS), _input(b, "w", COLUMNS), _input(b, "y", ROWS)
    loss = _sum(do.square(do.matmul(x, w) - y), 0) / float(ROWS)
    return b.build({"loss": loss}), Gradient(("w",))


def per_example() -> tuple[Graph, Want]:
    """Adjoints and outputs of one example each, concatenated, beside reduced ones."""
    b = Builder()
    x, w = _input(b, "x", ROWS, COLUMNS), _input(b, "w", COLUMNS, HIDDEN)
    hidden = do.tanh(do.matmul(x, w))
    return b.build({"loss": _sum(hidden, 0, 1), "each": _sum(hidden, 1)}), Gradient(("w", "x"))


def two_layers() -> tuple[Graph, Want]:
    """A perceptron with biases that broadcast along the batch."""
    b = Builder()
    x, w1, b1 = _input(b, "x", ROWS, COLUMNS), _input(b, "w1", COLUMNS, HIDDEN), _input(b, "b1", 4)
    w2, y = _input(b, "w2", HIDDEN), _input(b, "y", ROWS)
    hidden = do.tanh(do.matmul(x, w1) + b1)
    loss = _sum(do.square(do.matmul(hidden, w2) - y), 0)
    return b.build({"loss": loss}), Gradient(("w1", "b1", "w2"))


def several_rounds() -> tuple[Graph, Want]:
    """A log-sum-exp over the batch: a maximum, then a sum, then what depends on both."""
    b = Builder()
    x, w = _input(b, "x", ROWS, COLUMNS), _input(b, "w", COLUMNS)
    scores = do.matmul(x, w)
    top = do.max(scores, axes=(0,), keepdims=False)
    total = do.log(_sum(do.exp(scores - top), 0)) + top
    return b.build({"loss": total}), Gradient(("w", "x"))


def blocked() -> tuple[Graph, Want]:
    """A row that needs the whole axis stands between sharded work."""
    b = Builder()
    x = _input(b, "x", ROWS)
    return b.build({"loss": do.logsumexp(do.sin(x), axes=(0,), keepdims=False)}), Gradient(("x",))


def contracted_into_its_own_axis() -> tuple[Graph, Want]:
    """A scatter sums over the batch into an axis of the batch's length, which meets it again."""
    b = Builder()
    x, w = _input(b, "x", ROWS, COLUMNS), _input(b, "w", COLUMNS, COLUMNS)
    scores = do.matmul(x, w)
    ranked = do.take_along_axis(scores, do.argsort(scores, axis=0), axis=0)
    return b.build({"loss": do.tanh(_sum(x + ranked, 0, 1) / 50.0)}), Gradient(("x", "w"))


def constants_cut() -> tuple[Graph, Want]:
    """Data captured as constants is cut along with the input it meets."""
    b = Builder()
    rng = np.random.default_rng(5)
    x, y = _input(b, "x", ROWS, COLUMNS), b.constant(rng.normal(size=ROWS))
    w = b.constant(rng.normal(size=COLUMNS))
    return b.build({"loss": _sum(do.square(do.matmul(x, w) - y), 0)}), Gradient(("x",))


def vjp_seed() -> tuple[Graph, Want]:
    """A seed of the batch's length is cut with the batch."""
    b = Builder()
    x, w = _input(b, "x", ROWS, COLUMNS), _input(b, "w", COLUMNS)
    return b.build({"out": do.sin(do.matmul(x, w))}), Vjp(("w", "x"), (("out",),))


def reshaped() -> tuple[Graph, Want]:
    """The batch axis goes through a transpose and a merging reshape."""
    b = Builder()
    x, w = _input(b, "x", COLUMNS, ROWS), _input(b, "w", ROWS * COLUMNS)
    flat = do.reshape(do.permute_dims(x, axes=(1, 0)), shape=(ROWS * COLUMNS,))
    return b.build({"loss": _sum(do.sin(flat * w), 0)}), Gradient(("x", "w"))


JOBS = [
    least_squares,
    per_example,
    two_layers,
    several_rounds,
    blocked,
    contracted_into_its_own_axis,
    constants_cut,
    vjp_seed,
    reshaped,
]


def _lowered(make: Any) -> tuple[Graph, list[Any]]:
    graph, want = make()
    lowered = lower(graph, want, fold=fold).graph
    rng = np.random.default_rng(11)
    return lowered, [rng.normal(size=item.type.shape) for item in lowered.inputs]


def _split(graph: Graph, count: int) -> Plan:
    return make_plan(graph, Options(split=Split("shard", count)), values=1)


@pytest.mark.parametrize("make", JOBS)
@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_shards_give_what_one_task_gives(make: Any, count: int) -> None:
    """A forced shard split equals the unsplit job to rounding, ragged last shard included."""
    graph, arrays = _lowered(make)
    plan = _split(graph, count)
    whole = NumpyExecutor().compile(graph)(arrays)
    for one, other in zip(whole, run_plan(plan, arrays), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", JOBS)
def test_every_task_follows_those_it_reads(make: Any) -> None:
    """Tasks are in topological order, and every result and operand has a source."""
    graph, _ = _lowered(make)
    plan = _split(graph, 4)
    for position, task in enumerate(plan.tasks):
        assert len(task.operands) == len(task.graph.inputs)
        assert all(getattr(s, "task", -1) < position for s in task.operands)
    assert len(plan.results) == len(graph.outputs)


def test_equal_shards_share_one_graph() -> None:
    """Shards of one size are one Graph object, so workers compile it once."""
    graph, _ = _lowered(least_squares)
    plan = _split(graph, 4)
    graphs = {id(t.graph) for t in plan.tasks if t.phase is Phase.FUSED and t.shard >= 0}
    assert len(graphs) <= 3


def test_the_reduce_tree_is_a_function_of_the_graph() -> None:
    """Planning twice gives the same digest; another count gives another."""
    graph, _ = _lowered(two_layers)
    assert _split(graph, 4).digest == _split(graph, 4).digest
    assert _split(graph, 4).digest != _split(graph, 8).digest


def test_a_small_job_is_one_task() -> None:
    """What is estimated under the worth of two shards is not split, and the reason says so."""
    graph, _ = _lowered(least_squares)
    plan = make_plan(graph, Options())
    assert len(plan.tasks) == 1
    assert "too little" in plan.reason


def test_a_large_job_is_sharded_without_annotations() -> None:
    """A heavy batch job is split along the batch axis by the cost table."""
    b = Builder()
    x, w = _input(b, "x", 1_000_000, 64), _input(b, "w", 64, 64)
    graph = b.build({"loss": _sum(do.tanh(do.matmul(x, w)), 0, 1)})
    plan = make_plan(lower(graph, Gradient(("w",)), fold=fold).graph, Options())
    assert plan.split.kind == "shard"
    assert plan.split.count >= 4
    assert "axis 0 of 'x'" in plan.reason


def test_calls_too_small_to_divide_are_one_task_without_a_look_at_axes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each shard would make all of 100,000 calls: their time says so before any axis is sought."""
    monkeypatch.setattr(splits, "candidates", lambda graph: pytest.fail("looked for an axis"))
    b = Builder()
    y = _input(b, "x", 4)
    for _ in range(100_000):
        y = do.sin(y)
    plan = make_plan(b.build({"y": y}), Options())
    assert len(plan.tasks) == 1
    assert plan.estimated_s > 0.1


def test_a_graph_without_an_axis_cannot_be_forced() -> None:
    """Forcing a shard split on scalars is an error that says what to use."""
    b = Builder()
    x = _input(b, "x")
    with pytest.raises(RequestError, match="use split none"):
        _split(b.build({"y": do.sin(x)}), 2)


def test_more_shards_than_elements_are_refused() -> None:
    """A shard count over the axis's length is an error naming both numbers."""
    graph, _ = _lowered(least_squares)
    with pytest.raises(RequestError, match="37 elements"):
        _split(graph, 38)


def test_a_value_job_has_forward_tasks() -> None:
    """Without derivatives the phase of the work is forward."""
    graph, _ = least_squares()
    lowered = lower(graph, Value(), fold=fold).graph
    plan = make_plan(lowered, Options(split=Split("shard", 2)))
    assert {task.phase for task in plan.tasks} == {Phase.FORWARD, Phase.REDUCE}


def test_a_whole_operand_that_the_row_blocks_stays_whole() -> None:
    """Rows taken by a cut index come from all of a value, whatever else of it is cut elsewhere."""
    b = Builder()
    x, w = _input(b, "x", 6, 3), _input(b, "w", 3, 3)
    index = b.constant(np.array([0, 0, 1, 1, 2, 2]))
    hidden = do.matmul(x, w) + x
    whole = do.square(do.scatter_add(hidden, index, do.sin(hidden), axis=0))
    graph = b.build({"y": do.take(whole, index, axis=0) * hidden + whole})
    plan = make_plan(graph, Options(split=Split("shard", 2)))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=item.type.shape) for item in graph.inputs]
    assert any(task.shard == 1 for task in plan.tasks)
    np.testing.assert_allclose(
        run_plan(plan, arrays)[0], NumpyExecutor().compile(graph)(arrays)[0], rtol=1e-12
    )


def test_a_forced_split_into_too_much_is_refused() -> None:
    """Shards that no machine could hold are refused, and before any is made."""
    b = Builder()
    graph = b.build({"y": _sum(do.sin(_input(b, "x", 1 << 30)), 0)})
    with pytest.raises(LimitExceeded, match="use fewer shards"):
        make_plan(graph, Options(split=Split("shard", 1 << 29)))


def test_many_groups_of_axes_cost_no_more_than_a_few() -> None:
    """Of many axes only those that touch the most work are tried; the batch is among them."""
    b = Builder()
    x = _input(b, "x", 64, 3)
    loss = _sum(do.square(x), 0, 1)
    for k in range(200):
        loss = loss + _sum(_input(b, f"w{k}", 2), 0)
    plan = make_plan(b.build({"loss": loss}), Options(split=Split("shard", 4)))
    assert "'x'" in plan.reason
