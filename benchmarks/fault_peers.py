"""Many jobs on worker processes that are killed under them, each peer as its users would write it.

Which processes of a peer are its workers is known by their command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from typing import Any, NamedTuple, TypeAlias

import ray
from ray.util import ActorPool

from benchmarks.fault_jobs import Answers, Chunk, Holder, Work, answers
from benchmarks.hand_written_ray import ray_of

Run: TypeAlias = Callable[[Sequence[Chunk]], Iterator[Answers]]
"""Answers of chunks in whatever order; raises where the peer gives up."""


@contextmanager
def _ray_actors(work: Work, workers: int) -> Iterator[Run]:
    with ray_of(workers):
        options: Any = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": -1}
        actor = ray.remote(**options)(Holder)
        pool: Any = ActorPool([actor.remote(work) for _ in range(workers)])
        yield lambda chunks: pool.map_unordered(lambda own, c: own.answers.remote(c), chunks)


@contextmanager
def _ray_tasks(work: Work, workers: int) -> Iterator[Run]:
    task: Any = ray.remote(num_cpus=1, max_retries=-1)(answers)

    def run(chunks: Sequence[Chunk]) -> Iterator[Answers]:
        left = [task.remote(work, chunk) for chunk in chunks]
        while left:
            done, left = ray.wait(left)
            yield from ray.get(done)

    with ray_of(workers):
        yield run


@contextmanager
def _dask(work: Work, workers: int) -> Iterator[Run]:
    distributed = import_module("distributed")
    cluster = distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL"
    )
    with cluster, distributed.Client(cluster) as client:

        def run(chunks: Sequence[Chunk]) -> Iterator[Answers]:
            futures = client.map(partial(answers, work), chunks, pure=False)
            for future in distributed.as_completed(futures):
                if future.status == "finished":  # else its workers died too often
                    yield future.result()

        yield run


@contextmanager
def _joblib(work: Work, workers: int, *, again: bool = True) -> Iterator[Run]:
    joblib = import_module("joblib")
    broken = import_module("joblib.externals.loky.process_executor").TerminatedWorkerError

    def run(chunks: Sequence[Chunk]) -> Iterator[Answers]:
        left = {chunk[0][0]: chunk for chunk in chunks}
        while left:
            parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
            calls = [joblib.delayed(answers)(work, chunk) for chunk in left.values()]
            try:
                for found in parallel(calls):
                    del left[found[0][0]]
                    yield found
            except broken:
                if not again:
                    raise

    yield run


@contextmanager
def _process_pool(work: Work, workers: int, *, again: bool = True) -> Iterator[Run]:
    def run(chunks: Sequence[Chunk]) -> Iterator[Answers]:
        left = {chunk[0][0]: chunk for chunk in chunks}
        while left:
            with ProcessPoolExecutor(workers, get_context("fork")) as pool:
                try:
                    asked = [pool.submit(answers, work, chunk) for chunk in left.values()]
                    for future in as_completed(asked):
                        found = future.result()
                        del left[found[0][0]]
                        yield found
                except BrokenProcessPool:
                    if not again:
                        raise

    yield run


class FaultPeer(NamedTuple):
    """One row: the module it needs, what its workers' command lines hold, and how it is set up."""

    module: str
    named: str
    make: Callable[[Work, int], AbstractContextManager[Run]]


PEERS: dict[str, FaultPeer] = {
    "Ray actors that restart": FaultPeer("ray", "ray::Holder", _ray_actors),
    "Ray tasks with retries": FaultPeer("ray", "ray::answers", _ray_tasks),
    "Dask distributed": FaultPeer("distributed", "multiprocessing.spawn", _dask),
    "joblib, in a loop": FaultPeer("joblib", "popen_loky", _joblib),
    "joblib, once": FaultPeer("joblib", "popen_loky", partial(_joblib, again=False)),
    "process pool, in a loop": FaultPeer("numpy", "fault_process", _process_pool),
    "process pool, once": FaultPeer("numpy", "fault_process", partial(_process_pool, again=False)),
}
