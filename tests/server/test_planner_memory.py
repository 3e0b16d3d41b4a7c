"""Plans for a memory cap: what is taken when one task would not fit, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.errors import LimitExceeded, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.memory import peak_bytes
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient
from pullback_server.front_end.prepare import Preparer
from pullback_server.planner.plan_within import Cap, Fitted, fits, plan_within
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.server.plan_interpreter import run_plan
from tests.server.test_planner_stage import WEIGHTS, layered


def _within(
    graph: Graph, share: float, split: str = "auto", count: int = 0
) -> tuple[Fitted, Graph]:
    """The plan for a cap of some share of what one task needs."""
    lowered = lower(graph, Gradient(WEIGHTS, "loss"), fold=fold)
    cap = Cap(int(share * peak_bytes(lowered.graph)), "memory_cap_bytes")
    options = Options(split=Split(split, count))
    made = plan_within(lowered.graph, options, lowered.value_count, cap)
    assert fits(made.plan, cap.size_bytes)
    return made, lowered.graph


def _check(made: Fitted, graph: Graph) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=item.type.shape) for item in graph.inputs]
    for one, other in zip(
        NumpyExecutor().compile(graph)(arrays), run_plan(made.plan, arrays), strict=True
    ):
        scale = np.abs(one).max(initial=1e-300)
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-12 * scale)


def steep(layers: int = 8) -> Graph:
    """A deep network in which every example meets every other: nothing to shard, much to keep."""
    b = Builder()
    hidden = b.input("x", ArrayType(FLOAT64, (40, 40)))
    for name in WEIGHTS[:layers]:
        hidden = do.cumsum(
            do.tanh(do.matmul(hidden, b.input(name, ArrayType(FLOAT64, (40, 40))))), axis=0
        )
        for _ in range(6):
            hidden = do.sin(do.cumsum(hidden, axis=1))
    return b.build({"loss": do.sum(do.square(hidden), axes=(0, 1), keepdims=False)})


@pytest.mark.parametrize("share", [0.3, 0.15])
def test_a_job_over_the_cap_is_cut_into_more_shards(share: float) -> None:
    """Nothing is computed again where a batch can be cut finely enough; the reason has numbers."""
    made, graph = _within(layered(20_000, 16), share)
    assert (made.plan.split.kind, made.factor) == ("shard", 0.0)
    assert "bytes in a task" in made.plan.reason
    _check(made, graph)


def test_a_small_job_is_computed_again_rather_than_sent_away() -> None:
    """Where that is predicted to be done first."""
    made, graph = _within(layered(400, 8), 0.6)
    assert made.factor > 1.0
    assert made.plan.split.kind == "none"
    _check(made, graph)


def test_what_cannot_be_sharded_is_computed_again_or_staged() -> None:
    """A forced stage split without a count takes as many stages as fit."""
    made, graph = _within(steep(), 0.5, "stage")
    assert made.plan.split.kind == "stage"
    _check(made, graph)


def test_a_forced_count_is_kept() -> None:
    """A split into so many parts stays so; its tasks compute again what they must."""
    made, graph = _within(layered(4000, 16), 0.3, "shard", 2)
    assert str(made.plan.split) == "shard(2)"
    assert made.factor > 1.0
    _check(made, graph)


def test_what_fits_no_way_is_refused_with_the_numbers() -> None:
    """What a task needs, what is allowed, and what would be enough."""
    with pytest.raises(LimitExceeded, match=r"need \d+ bytes, memory_cap_bytes allows \d+: .*take"):
        _within(steep(), 0.001)


def test_the_servers_limit_of_a_task_counts_as_well() -> None:
    """A job over --memory-bytes is split by a server with workers; without, it is refused."""
    graph = layered(20_000, 16)
    options, want = Options(), Gradient(WEIGHTS, "loss")
    prepared = Preparer(10, 1 << 30, 6 << 20, cluster=True).prepare(graph, want, options)
    assert prepared.plan.split.kind == "shard"
    assert prepared.peak_bytes <= 6 << 20
    with pytest.raises(LimitExceeded, match="--memory-bytes allows 2097152"):
        Preparer(10, 1 << 30, 2 << 20, cluster=False).prepare(graph, want, options)
    with pytest.raises(RequestError, match="--workers 0"):
        Preparer(10, 1 << 30, 1 << 30, cluster=False).prepare(
            graph, want, Options(split=Split("stage", 2))
        )


def test_a_job_of_ten_times_the_cap_is_done() -> None:
    """Parameters and inputs fit, residuals do not by far: shards, and no task over the cap."""
    graph = layered(20_000, 16)
    lowered = lower(graph, Gradient(WEIGHTS, "loss"), fold=fold)
    only = lower(_without_last(graph), Gradient(WEIGHTS, "loss"), fold=fold)
    cap = Cap(peak_bytes(only.graph) // 10, "--memory-bytes")
    made = plan_within(only.graph, Options(), only.value_count, cap)
    assert fits(made.plan, cap.size_bytes)
    assert peak_bytes(lowered.graph) > 9 * cap.size_bytes
    _check(made, only.graph)


def _without_last(graph: Graph) -> Graph:
    return Graph(graph.inputs, graph.constants, graph.nodes, graph.outputs[:1])
