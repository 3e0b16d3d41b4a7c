"""What one would write without Pullback: the classifier's gradient by hand, on Ray actors.

The best simple version: every actor holds its shards, runs all of them in one call with one BLAS
thread, and adds up its partial results before it sends them; the driver adds the actors'.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from threadpoolctl import threadpool_limits

from benchmarks.classifier_by_hand import NDArray, Shard, Weights, added, sum_of_losses


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
