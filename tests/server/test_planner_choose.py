"""The split of a job that asks for none: for few workers and many, and no burden on one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.derivative import lower
from pullback_graph.job import Split
from pullback_graph.want import Gradient
from pullback_server.planner.choose import MOST_LONGER
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.predict import makespan_s
from pullback_server.planner.shard_axes import shard_count
from pullback_server.planner.splits import Joint
from pullback_worker.numpy_executor import fold
from tests.server.plan_interpreter import planned

Shapes = tuple[tuple[int, ...], ...]


def layers(w: Any, x: Any) -> Any:
    """Heavy layers, each with weights of its own: every shard has as large an adjoint as all."""
    for k in range(w.shape[0]):
        x = x + 0.1 * pnp.tanh(x @ w[k])
    return pnp.mean(x**2)


def terms(theta: Any, data: Any) -> Any:
    """Many small terms: whoever has a shard of each makes every call again."""
    total = 0.0
    for k in range(data.shape[0]):
        z = data[k] @ theta
        total = total + (pnp.mean(pnp.log1p(pnp.exp(z))) if k % 3 else pnp.mean(pnp.tanh(z) ** 2))
    return total


def pairs(w: Any, x: Any) -> Any:
    """Each row against all others: several rounds."""
    a = pnp.tanh(x @ w)
    return pnp.mean(pnp.logsumexp(a @ a.T, axis=1))


MODELS: list[tuple[Callable[..., Any], Shapes]] = [
    (layers, ((6, 256, 256), (2000, 256))),
    (layers, ((24, 64, 64), (4000, 64))),
    (terms, ((40, 40), (400, 300, 40))),
    (pairs, ((64, 64), (3000, 64))),
    (pairs, ((8, 8), (900, 8))),
]


@pytest.mark.parametrize(("model", "shapes"), MODELS)
def test_no_split_that_was_not_asked_for_burdens_one_worker(
    model: Callable[..., Any], shapes: Shapes
) -> None:
    """On one worker it is predicted to take hardly longer than one task; on two it gains."""
    graph = pb.trace(model, *[np.ones(shape) for shape in shapes])
    plan, _ = planned(graph, Gradient((graph.inputs[0].name,)), Split())
    assert makespan_s(plan, 1) <= MOST_LONGER * plan.estimated_s
    if len(plan.tasks) > 1:
        assert makespan_s(plan, 2) < plan.estimated_s


def test_the_more_a_shard_has_to_join_the_fewer_there_are() -> None:
    """Partial values are joined shard by shard, and travel: no more shards than are worth that."""
    lowered = lower(
        pb.trace(layers, np.ones((6, 256, 256)), np.ones((4000, 256))), Gradient(("w",)), fold=fold
    )
    axis = Joint(lowered.graph, lowered.value_count).axis
    assert axis is not None
    assert axis.joined_bytes == 6 * 256 * 256 * 8 + 8
    counts = [shard_count(replace(axis, joined_bytes=10**power)) for power in (0, 7, 8, 9)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] >= 8
    assert counts[-1] <= 2


def test_a_typical_time_lies_between_those_on_few_workers_and_on_many() -> None:
    """One that is the same for all, or somewhere between the extremes."""
    assert COST_TABLE.typical_s(lambda workers: 3.0) == pytest.approx(3.0)
    halving = COST_TABLE.typical_s(lambda workers: 1.0 / workers)
    assert 1.0 / max(COST_TABLE.workers) < halving < 1.0
