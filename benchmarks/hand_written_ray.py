"""What one would write without Pullback: the classifier's gradient by hand, on Ray actors.

The best simple version: every actor holds its shards, runs all of them in one call with one BLAS
thread, and adds up its partial results before it sends them; the driver adds the actors'.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import ray
from threadpoolctl import threadpool_limits

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Weights: TypeAlias = "tuple[NDArray, ...]"
"""Hidden weights (D, H) and biases (H,), output weights (H, C) and biases (C,)."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of the data: inputs (N, D) and one-hot labels (N, C)."""

    x: NDArray
    y: NDArray


def shards_of(x: NDArray, y: NDArray, count: int) -> list[Shard]:
    """The data cut into `count` runs of rows."""
    pairs = zip(np.array_split(x, count), np.array_split(y, count), strict=True)
    return [Shard(np.ascontiguousarray(a), np.ascontiguousarray(b)) for a, b in pairs]


def sum_of_losses(weights: Weights, shard: Shard) -> tuple[float, Weights]:
    """The cross-entropies of a shard's rows, summed, and the gradient of that sum."""
    w1, b1, w2, b2 = weights
    hidden = np.tanh(shard.x @ w1 + b1)
    scores = hidden @ w2 + b2
    scores -= scores.max(axis=1, keepdims=True)
    exponentials = np.exp(scores)
    totals = exponentials.sum(axis=1, keepdims=True)
    value = float(np.log(totals).sum() - (scores * shard.y).sum())
    d_scores = exponentials / totals - shard.y
    d_hidden = d_scores @ w2.T
    d_hidden *= 1.0 - hidden * hidden
    gradient = (shard.x.T @ d_hidden, d_hidden.sum(0), hidden.T @ d_scores, d_scores.sum(0))
    return value, gradient


class Worker:
    """An actor that holds shards."""

    def __init__(self) -> None:
        threadpool_limits(1)
        self.shards: list[Shard] = []

    def hold(self, shards: Sequence[Shard]) -> None:
        """Keep these shards, and only these."""
        self.shards = list(shards)

    def gradient(self, weights: Weights) -> tuple[float, Weights]:
        """The sums over the shards held."""
        return added([sum_of_losses(weights, shard) for shard in self.shards])


def added(parts: Sequence[tuple[float, Weights]]) -> tuple[float, Weights]:
    """Sums of values and of gradients."""
    value, gradient = parts[0]
    for other_value, other in parts[1:]:
        value += other_value
        gradient = tuple([a + b for a, b in zip(gradient, other, strict=True)])
    return value, gradient


class Group:
    """Actors that share the shards between them, in equal runs."""

    def __init__(self, count: int, shards: Sequence[Shard]) -> None:
        actor = ray.remote(num_cpus=1)(Worker)
        self._actors: list[Any] = [actor.remote() for _ in range(count)]
        self._rows = sum(len(shard.x) for shard in shards)
        each = -(-len(shards) // count)
        runs = [shards[k * each : (k + 1) * each] for k in range(count)]
        ray.get([actor.hold.remote(run) for actor, run in zip(self._actors, runs, strict=True)])

    def value_and_gradient(self, weights: Sequence[NDArray]) -> tuple[float, Weights]:
        """The mean loss over all rows and its gradient."""
        held = ray.put(tuple(weights))
        value, gradient = added(ray.get([a.gradient.remote(held) for a in self._actors]))
        return value / self._rows, tuple([part / self._rows for part in gradient])

    def end(self) -> None:
        """End the actors, so that others may have their cores."""
        for actor in self._actors:
            ray.kill(actor)


@contextmanager
def ray_of(cpus: int) -> Iterator[None]:
    """A Ray of our own on this machine."""
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield
    finally:
        ray.shutdown()
