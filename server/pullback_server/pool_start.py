"""Waits for a worker to come up, and tells when it has a process, if that takes long.

Until it has one it waits for room in the cluster, or for Ray, which limits how long a process takes
to get as far as to be a worker's. What it does from then on nobody watches but the scheduler.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import chain, repeat

from pullback_server import ray_cluster
from pullback_server.pool_worker import PoolWorker
from pullback_server.ray_cluster import Process
from pullback_worker.actor import WorkerIdentity

LOG = logging.getLogger(__name__)

LOOKS_S = (5.0, 10.0, 20.0)
"""The times from one look whether there is a process to the next; the last goes on."""


async def first_answer(
    worker: PoolWorker, placed: Callable[[PoolWorker, Process], None]
) -> WorkerIdentity:
    """What a worker says when it is up.

    Args:
        placed: told of its process, if it has had one for seconds and is not up.

    Raises:
        RayError: it did not come up.
    """
    answer: asyncio.Future[WorkerIdentity] = asyncio.ensure_future(worker.actor.identity.remote())
    try:
        for look, look_s in enumerate(chain(LOOKS_S, repeat(LOOKS_S[-1]))):
            await asyncio.wait([answer], timeout=look_s)
            if answer.done():
                break
            process = await asyncio.to_thread(ray_cluster.process_of, worker.actor)
            if process is not None:
                placed(worker, process)
                break
            if look + 1 == len(LOOKS_S):
                LOG.warning(
                    "worker %d has had no process for %.0f s: look whether the cluster has room",
                    worker.id,
                    sum(LOOKS_S),
                )
        return await answer
    finally:
        answer.cancel()
