"""Sparse derivatives under a plan: however the lowered graph is split, the places are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.derivative import lower
from pullback_graph.job import Options, Split
from pullback_graph.want import Hessian, Jacobian
from pullback_server.planner import make_plan
from pullback_worker.numpy_executor import fold
from tests.server.plan_interpreter import run_plan

X = np.linspace(0.5, 1.5, 48).reshape(12, 4)
WEIGHTS = np.linspace(-1.0, 1.0, 12).reshape(4, 3)


def layer(x: Any) -> Any:
    """Examples that stay apart."""
    return pnp.tanh(x @ WEIGHTS)


def energy(x: Any) -> Any:
    """Their sum of squares."""
    return pnp.sum(layer(x) ** 2)


@pytest.mark.parametrize("split", ["shard(2)", "shard(3)", "stage(2)", "none"])
@pytest.mark.parametrize(
    ("function", "want"),
    [(layer, Jacobian(("x",), sparse=True)), (energy, Hessian(("x",), sparse=True))],
)
def test_a_sparse_job_may_be_split(function: Any, want: Any, split: str) -> None:
    """Values in the order of the pattern, to rounding, whatever the tasks are."""
    graph = pb.trace(function, X)
    lowered = lower(graph, want, fold=fold)
    kind, _, rest = split.partition("(")
    options = Options(split=Split(kind, int(rest.rstrip(")") or 0)))
    plan = make_plan(lowered.graph, options, values=lowered.value_count)
    named = lowered.named(run_plan(plan, [X])[lowered.value_count :])
    dense = lower(graph, type(want)(want.wrt), fold=fold)
    whole = run_plan(make_plan(dense.graph, Options(), values=dense.value_count), [X])
    for matrix, block in zip(named.values(), whole[dense.value_count :], strict=True):
        np.testing.assert_allclose(
            matrix.toarray(), block.reshape(matrix.shape), rtol=1e-12, atol=1e-14
        )
