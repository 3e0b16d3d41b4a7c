"""Batches of matrices are split between workers; nodes of several results go with them."""

from __future__ import annotations

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient
from pullback_server.planner import make_plan
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.server.plan_interpreter import run_plan

BATCH, SIZE = 11, 3


def _total(x: Ref) -> Ref:
    return do.sum(x, axes=tuple(range(len(x.shape))), keepdims=False)


def _graph() -> Graph:
    """A loss of every row of several results, with weights that the batch shares."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (BATCH, SIZE, SIZE)))
    w = builder.input("w", ArrayType(FLOAT64, (SIZE, SIZE)))
    u, s, vh = builder.add("svd", do.matmul(x, w))
    values, vectors = builder.add("eigh", x)
    q, r = builder.add("qr", x)
    _, logarithm = builder.add("slogdet", x)
    solved = do.triangular_solve(do.cholesky(do.matmul(x, w)), u, lower=True)
    terms = [solved * vh, do.expand_dims(values, axes=(2,)) * vectors, q * r]
    loss = _total(do.square(terms[0] + terms[1] + terms[2])) + _total(logarithm)
    return builder.build({"loss": loss, "s": s})


@pytest.mark.parametrize("count", [2, 4])
def test_a_batch_of_factorisations_is_sharded(count: int) -> None:
    """Shards give what one task gives, value and gradient."""
    graph = lower(_graph(), Gradient(("x", "w"), "loss"), fold=fold).graph
    rng = np.random.default_rng(2)
    x = rng.normal(size=(BATCH, SIZE, SIZE)) * 0.3 + np.diag([3.0, 5.0, 8.0])
    arrays = [x @ x.swapaxes(-1, -2), np.eye(SIZE) + 0.01 * rng.normal(size=(SIZE, SIZE))]
    plan = make_plan(graph, Options(split=Split("shard", count)))
    assert sum(task.shard >= 0 for task in plan.tasks) >= count
    whole = NumpyExecutor().compile(graph)(arrays)
    for one, other in zip(whole, run_plan(plan, arrays), strict=True):
        np.testing.assert_allclose(
            other, one, rtol=1e-9, atol=1e-9 * np.abs(one).max(), strict=True
        )


def test_a_batch_grows_with_shapes() -> None:
    """A graph of factorisations built for one batch is retyped for another."""
    graph = _graph()
    longer = graph.with_shapes({"x": (2 * BATCH, SIZE, SIZE)})
    assert longer.output_type(1).shape == (2 * BATCH, SIZE)
    assert longer.with_shapes({"x": (BATCH, SIZE, SIZE)}) == graph
