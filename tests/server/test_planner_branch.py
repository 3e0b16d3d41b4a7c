"""The branch split: what parts are found, that a lane is a task, and that it computes the same."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
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
from pullback_graph.want import Gradient, Hvp, Jvp, Value, Want
from pullback_server.planner import JobInput, Phase, Plan, TaskOutput, make_plan
from pullback_server.planner.nested import nested
from pullback_server.planner.task_list import TaskList
from pullback_worker.numpy_executor import fold
from tests.server.plan_interpreter import assert_computes, planned, run_plan

SIZE = 6


def _input(builder: Builder, name: str, *shape: int) -> Ref:
    return builder.input(name, ArrayType(FLOAT64, shape))


def _sum(x: Ref) -> Ref:
    return do.sum(x, axes=tuple(range(len(x.shape))), keepdims=False)


def likelihood(terms: int = 40, rows: int = 1) -> Graph:
    """The logarithm of many different terms, summed and subtracted, behind a shared prefix."""
    b = Builder()
    theta, data = _input(b, "theta", SIZE), _input(b, "data", terms, rows, SIZE)
    scale, total = do.exp(theta), _sum(do.cos(theta))
    for k in range(terms):
        row = do.slice(data, starts=(k, 0, 0), stops=(k + 1, rows, SIZE), steps=(1, 1, 1))
        steps = (do.sin, do.tanh, do.square)
        term = _sum(do.square(steps[k % 3](row * scale) - float(k)))
        total = total + term if k % 4 else total - do.negative(term)
    return b.build({"loss": do.log(total + 1.0)})


def ensemble(members: int = 5) -> Graph:
    """A mean over members that are stacked, each with its own parameters."""
    b = Builder()
    x, outputs = _input(b, "x", 16, SIZE), []
    for k in range(members):
        hidden = do.tanh(do.matmul(x, _input(b, f"w{k}", SIZE, SIZE)))
        outputs.append(do.matmul(hidden, _input(b, f"v{k}", SIZE)))
    mean = do.sum(do.stack(*outputs, axis=0), axes=(0,), keepdims=False) / float(members)
    return b.build({"loss": _sum(do.square(mean - 1.0))})


def multi_start(starts: int = 6) -> Graph:
    """One function at several points: several outputs, and their sum to differentiate."""
    b = Builder()
    losses = []
    for k in range(starts):
        x = _input(b, f"x{k}", SIZE, SIZE)
        losses.append(_sum(do.sin(do.matmul(x, do.cos(x)))))
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return b.build({"total": total, **{f"y{k}": loss for k, loss in enumerate(losses)}})


WANTS: list[tuple[Graph, Want]] = [
    (likelihood(), Gradient(("theta",))),
    (likelihood(), Gradient(("theta", "data"))),
    (likelihood(), Value()),
    (likelihood(8), Jvp((("theta",),))),
    (likelihood(8), Hvp(("theta",), (("theta",),))),
    (ensemble(), Gradient(("w0", "w4", "v2"))),
    (multi_start(), Gradient(("x0", "x5"), "total")),
]


@pytest.mark.parametrize("count", [0, 2, 3, 5])
@pytest.mark.parametrize(("graph", "want"), WANTS)
def test_branches_give_what_one_task_gives(graph: Graph, want: Want, count: int) -> None:
    """For every want, to the rounding of a sum in another order."""
    plan, whole = planned(graph, want, Split("branch", count))
    assert plan.split.kind == "branch"
    assert_computes(plan, whole)


def test_backward_work_goes_with_its_forward_part() -> None:
    """A lane's two tasks share a home, and only small values cross between lanes."""
    plan, _ = planned(likelihood(40, 50), Gradient(("theta",)), Split("branch", 4))
    phases = Counter(task.phase for task in plan.tasks if len(task.graph.nodes) > 20)
    assert phases == {Phase.FORWARD: 4, Phase.BACKWARD: 4}
    for task in plan.tasks:
        for source in task.operands:
            if isinstance(source, TaskOutput) and plan.tasks[source.task].shard != task.shard:
                crossing = plan.tasks[source.task].graph.output_type(source.output)
                assert crossing.size <= SIZE


def test_the_sum_is_a_fixed_tree_of_pairs() -> None:
    """Eight lanes are joined by seven additions in three rounds, whoever runs them."""
    plan, _ = planned(likelihood(), Value(), Split("branch", 8))
    joins = [task for task in plan.tasks if task.phase is Phase.REDUCE]
    assert len(joins) == 7
    assert all(len(task.operands) == 2 for task in joins)
    again, _ = planned(likelihood(), Value(), Split("branch", 8))
    assert again.digest == plan.digest


def test_a_cheap_shared_prefix_is_repeated_and_a_dear_one_is_not() -> None:
    """What all parts read runs in each of them, or in a task before them all."""
    cheap, _ = planned(likelihood(), Value(), Split("branch", 4))
    assert not any(getattr(s, "task", None) is not None for s in cheap.tasks[0].operands)
    assert sum(not _reads_tasks(task) for task in cheap.tasks) == 4
    b = Builder()
    x = _input(b, "x", 300, 300)
    shared = do.matmul(do.matmul(x, x), x)
    total = _sum(do.sin(shared))
    for k in range(2, 6):
        total = total + _sum(do.sin(shared * float(k)))
    dear, _ = planned(b.build({"loss": total}), Value(), Split("branch", 4))
    assert sum(not _reads_tasks(task) for task in dear.tasks) == 1


def _reads_tasks(task: Any) -> bool:
    return any(hasattr(source, "task") for source in task.operands)


def test_parts_alike_share_one_graph() -> None:
    """Lanes that compute the same of other inputs are compiled once."""
    plan, _ = planned(multi_start(4), Gradient(("x0", "x1"), "total"), Split("branch", 2))
    forward = [task for task in plan.tasks if not _reads_tasks(task)]
    plan_value, _ = planned(multi_start(4), Value(), Split("branch", 4))
    assert len(forward) == 2
    assert len({id(t.graph) for t in plan_value.tasks if len(t.graph.nodes) > 2}) == 1


def test_many_terms_are_branched_unasked() -> None:
    """Different heavy terms are split by the cost table; the reason says what was found."""
    lowered = lower(likelihood(300, 20_000), Gradient(("theta",)), fold=fold)
    plan = make_plan(lowered.graph, Options(), values=lowered.value_count)
    assert plan.split.kind == "branch"
    assert plan.split.count >= 8
    assert "301 independent parts" in plan.reason


def test_work_is_packed_evenly() -> None:
    """Heaviest first: no lane has more than its share by more than the lightest part."""
    plan, _ = planned(likelihood(40, 50), Value(), Split("branch", 4))
    work = [task.flops for task in plan.tasks if not _reads_tasks(task)]
    assert max(work) < 1.2 * min(work)


def test_a_chain_has_no_branches() -> None:
    """A forced branch split of a graph that is one part says so, and what to use."""
    b = Builder()
    graph = b.build({"y": _sum(do.sin(do.exp(_input(b, "x", 4))))})
    with pytest.raises(RequestError, match="1 independent part; use split shard, stage or none"):
        planned(graph, Value(), Split("branch"))


def test_more_branches_than_parts_are_refused() -> None:
    """The message says how many there are."""
    with pytest.raises(RequestError, match="5 independent parts; use fewer branches"):
        planned(ensemble(5), Gradient(("w0", "w1", "w2", "w3", "w4")), Split("branch", 6))
    with pytest.raises(RequestError, match="use fewer branches"):
        planned(ensemble(5), Gradient(("w0",)), Split("branch", (1 << 32) - 1))


def test_parts_that_wait_for_one_another_are_none() -> None:
    """A chain that meets a new term at every step is no sum, and is refused in words."""
    b = Builder()
    x, parts = _input(b, "x", 60, SIZE), []
    for k in range(60):
        row = do.slice(x, starts=(k, 0), stops=(k + 1, SIZE), steps=(1, 1))
        parts.append(_sum(do.square(row)))
    total = parts[0]
    for part in parts[1:]:
        total = total * part
    graph = b.build({"loss": total})
    with pytest.raises(RequestError, match="wait for one another"):
        planned(graph, Gradient(("x",)), Split("branch", 4))


def test_a_forced_split_into_too_much_is_refused() -> None:
    """Stages beyond what any machine could hold are refused before any is made."""
    with pytest.raises(LimitExceeded, match="use fewer stages"):
        planned(likelihood(), Value(), Split("stage", (1 << 32) - 1))


# --- shards within branches -----------------------------------------------------------------------


def two_data_sets(first: int, second: int) -> Graph:
    """Two different likelihoods of shared parameters, each with a batch of its own."""
    b = Builder()
    w, shift = _input(b, "w", 8, 8), _input(b, "shift", 8)
    shared = do.tanh(do.matmul(w, w))
    x, y = _input(b, "x", first, 8), _input(b, "y", second, 8)
    one = _sum(do.square(do.matmul(do.tanh(do.matmul(x, shared)), shared)))
    other = _sum(do.sin(do.matmul(do.sin(do.matmul(y, shared) + shift), shared)))
    return b.build({"loss": do.log(one / 1e3 + 2.0) + do.tanh(other / 1e3)})


def test_branches_with_batches_are_sharded_in_their_turn() -> None:
    """Each data set along its own batch, and the reason says so."""
    lowered = lower(two_data_sets(400_000, 300_001), Gradient(("w", "shift")), fold=fold)
    plan = make_plan(lowered.graph, Options(), values=lowered.value_count)
    assert plan.split.kind == "branch"
    assert "shards of length 400000" in plan.reason
    assert "shards of length 300001" in plan.reason


def test_shards_within_branches_give_what_one_task_gives() -> None:
    """Every task of two lanes that can be sharded is, ragged ends included."""
    outer, whole = planned(two_data_sets(40, 31), Gradient(("w", "shift")), Split("branch", 2))
    inner = {}
    for number, task in enumerate(outer.tasks):
        with suppress(RequestError):
            inner[number] = make_plan(task.graph, Options(split=Split("shard", 3)))
    assert len(inner) >= 4
    made, results = nested(outer, inner)
    plan = replace(outer, tasks=tuple(made.tasks), results=results)
    assert_computes(plan, whole)


def test_a_nested_plan_cuts_what_another_task_gave() -> None:
    """A block of a job's input is a block of it; of a task's result, a slice made once."""
    b = Builder()
    x = _input(b, "x", 12, 2)
    first = b.build({"h": do.sin(x)})
    b = Builder()
    h = _input(b, "h", 12, 2)
    second = b.build({"loss": _sum(do.square(h)), "each": do.cos(h)})
    tasks = TaskList()
    made = tasks.add(first, [JobInput(0)], Phase.FORWARD, 0)
    last = tasks.add(second, [TaskOutput(made, 0)], Phase.FORWARD, 1)
    results = (TaskOutput(last, 0), TaskOutput(last, 1), JobInput(0))
    outer = Plan(first.inputs, tuple(tasks.tasks), results, Split("branch", 2), "by hand", 1.0)
    inner = {
        number: make_plan(graph, Options(split=Split("shard", 3)))
        for number, graph in ((made, first), (last, second))
    }
    array = np.random.default_rng(0).normal(size=(12, 2))
    for chosen in ({}, {made: inner[made]}, {last: inner[last]}, inner):
        flat, sources = nested(outer, chosen)
        plan = replace(outer, tasks=tuple(flat.tasks), results=sources)
        loss, each, same = run_plan(plan, [array])
        np.testing.assert_allclose(loss, np.sum(np.sin(array) ** 2), rtol=1e-13)
        np.testing.assert_array_equal(each, np.cos(np.sin(array)))
        assert same is array
        assert all(getattr(s, "task", -1) < k for k, t in enumerate(plan.tasks) for s in t.operands)
