"""Other ways to run the same shards on several processes, each as its users would write it.

All compute `sum_of_losses` on the same shards with one BLAS thread a process, and hold the data
where it is read: Dask as scattered futures, Ray's ActorPool as objects, joblib as mapped files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple, TypeAlias

import ray
from ray.util import ActorPool
from threadpoolctl import threadpool_limits

from benchmarks.classifier import NDArray
from benchmarks.classifier_by_hand import Shard, Weights, added, sum_of_losses
from benchmarks.hand_written_ray import Worker

Gradient: TypeAlias = Callable[[Sequence[NDArray]], "tuple[float, Sequence[NDArray]]"]
"""Weights -> value and gradient."""


class ShardPeer(NamedTuple):
    """One row: the module it needs, and how its gradient is set up on so many processes."""

    module: str
    make: Callable[[ExitStack, int, Sequence[Shard]], Gradient]


def shard_peers(
    stack: ExitStack, workers: int, shards: Sequence[Shard]
) -> tuple[Mapping[str, Gradient], list[str]]:
    """The gradients of those that are installed, and a line for each that is not.

    Ray must be running.
    """
    missing = [name for name, peer in PEERS.items() if find_spec(peer.module) is None]
    made = {n: p.make(stack, workers, shards) for n, p in PEERS.items() if n not in missing}
    return made, [f"{name}: not installed (make bench brings it)" for name in missing]


def _one_process(stack: ExitStack, workers: int, shards: Sequence[Shard]) -> Gradient:
    def gradient(weights: Sequence[NDArray]) -> tuple[float, Sequence[NDArray]]:
        with threadpool_limits(1):
            return _mean([sum_of_losses(tuple(weights), shard) for shard in shards], shards)

    return gradient


def _actor_pool(stack: ExitStack, workers: int, shards: Sequence[Shard]) -> Gradient:
    actor = ray.remote(num_cpus=1)(_PoolWorker)
    pool = ActorPool([actor.remote() for _ in range(workers)])
    held = [ray.put(shard) for shard in shards]

    def gradient(weights: Sequence[NDArray]) -> tuple[float, Sequence[NDArray]]:
        sent = ray.put(tuple(weights))
        parts = pool.map(lambda worker, shard: worker.one.remote(sent, shard), held)
        return _mean(list(parts), shards)

    return gradient


class _PoolWorker(Worker):
    """An actor that is given its shard with every call."""

    def one(self, weights: Weights, shard: Shard) -> tuple[float, Weights]:
        """The sums over one shard."""
        return sum_of_losses(weights, shard)


def _dask(stack: ExitStack, workers: int, shards: Sequence[Shard]) -> Gradient:
    distributed = import_module("distributed")
    cluster = stack.enter_context(
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs="ERROR",
        )
    )
    client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
    held = client.scatter(list(shards))

    def gradient(weights: Sequence[NDArray]) -> tuple[float, Sequence[NDArray]]:
        sent = client.scatter(tuple(weights), broadcast=True, hash=False)
        parts = client.map(_on_one_thread, [sent] * len(held), held, pure=False)
        return _mean(client.gather(parts), shards)

    return gradient


def _joblib(stack: ExitStack, workers: int, shards: Sequence[Shard]) -> Gradient:
    joblib = import_module("joblib")
    parallel = stack.enter_context(joblib.Parallel(n_jobs=workers, inner_max_num_threads=1))

    def gradient(weights: Sequence[NDArray]) -> tuple[float, Sequence[NDArray]]:
        call = joblib.delayed(sum_of_losses)
        return _mean(parallel([call(tuple(weights), shard) for shard in shards]), shards)

    return gradient


PEERS: dict[str, ShardPeer] = {
    "one process": ShardPeer("numpy", _one_process),
    "Ray ActorPool": ShardPeer("ray", _actor_pool),
    "Dask distributed": ShardPeer("distributed", _dask),
    "joblib": ShardPeer("joblib", _joblib),
}


def _on_one_thread(weights: Weights, shard: Shard) -> tuple[float, Weights]:
    with threadpool_limits(1):
        return sum_of_losses(weights, shard)


def _mean(
    parts: Sequence[tuple[float, Weights]], shards: Sequence[Shard]
) -> tuple[float, Sequence[NDArray]]:
    """The mean over all rows, of sums over shards."""
    rows = sum(len(shard.x) for shard in shards)
    value, gradient = added(parts)
    return value / rows, tuple([part / rows for part in gradient])
