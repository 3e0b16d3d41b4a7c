"""Random numbers, convolutions and pooling in shards: the bits of one worker, on any number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import nn, random
from pullback_graph.derivative import lower
from pullback_graph.job import Options, Split
from pullback_graph.want import Gradient, Value, Want
from pullback_server.planner import Plan, make_plan
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.server.plan_interpreter import run_plan

ROWS, COLUMNS = 22, 5
KEYS = random.split(random.key(8), ROWS)
X = np.random.default_rng(2).normal(size=(ROWS, COLUMNS))
IMAGES = np.random.default_rng(3).normal(size=(ROWS, 2, 6, 6))
KERNEL = np.random.default_rng(4).normal(size=(3, 2, 3, 3))


def _own_noise(x: Any, keys: Any) -> Any:
    """Each row's noise by its own key."""
    return x * random.normal(keys, COLUMNS) + random.uniform(keys, COLUMNS)


def _shared_noise(x: Any, key: Any) -> Any:
    """All of the noise by one key, which every shard must cut alike."""
    return x * random.normal(key, (ROWS, COLUMNS))


DRAWS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "a key a row": (_own_noise, (X, KEYS)),
    "one key": (_shared_noise, (X, KEYS[0])),
    "gamma": (lambda x, keys: x * random.gamma(keys, 0.8, COLUMNS), (X, KEYS)),
    "bits": (lambda keys: random.bits(keys, 3), (KEYS,)),
    "keys of keys": (lambda keys: random.fold_in(random.split(keys, 3), 4), (KEYS,)),
    "integers": (lambda keys: random.randint(keys, 4, 0, 1000), (KEYS,)),
    "dropout": (lambda x, keys: nn.dropout(x, 0.5, keys), (X, KEYS)),
}


def _planned(graph: pb.Graph, want: Want, count: int) -> tuple[Plan, Any]:
    lowered = lower(graph, want, fold=fold).graph
    return make_plan(lowered, Options(split=Split("shard", count))), lowered


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("count", [2, 5])
def test_draws_in_shards(name: str, count: int):
    """A batch drawn in shards holds the bits that one worker draws."""
    function, arrays = DRAWS[name]
    graph = pb.trace(function, *arrays)
    plan, lowered = _planned(graph, Value(), count)
    assert len(plan.tasks) >= count
    whole = NumpyExecutor().compile(lowered)(arrays)
    for one, other in zip(run_plan(plan, arrays), whole, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def _network(images: Any, kernel: Any, keys: Any) -> Any:
    hidden = nn.max_pool(nn.relu(nn.conv(images, kernel, padding=1)), 2)
    hidden = nn.avg_pool(nn.dropout(hidden, 0.3, keys), 2, stride=1)
    return pnp.sum(hidden**2)


@pytest.mark.parametrize("count", [2, 5])
def test_a_convolutional_network_in_shards(count: int):
    """Value, the kernel's gradient (summed) and the images' (side by side) are one worker's."""
    arrays = (IMAGES, KERNEL, KEYS)
    graph = pb.trace(_network, *arrays)
    names = tuple(item.name for item in graph.inputs)[:2]
    plan, lowered = _planned(graph, Gradient(names), count)
    assert len(plan.tasks) >= count
    whole = NumpyExecutor().compile(lowered)(arrays)
    for one, other in zip(run_plan(plan, arrays), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
