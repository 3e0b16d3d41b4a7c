"""Processes of the front end for batches of small different graphs, mostly work of Python's own.

Preparing a graph holds the interpreter's lock: threads can't do two at once, processes can.
They start in the background with the first batch that wants them, and end with their parent.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import NamedTuple

from pullback_graph.codec import error_to_status
from pullback_graph.errors import NotFoundError, PullbackError, ServiceError
from pullback_graph.job import Metrics
from pullback_server.config import ServerConfig
from pullback_server.front_end.arrivals import Answer, Arrival
from pullback_server.front_end.run_job import JobRunner, new_runner
from pullback_worker.one_thread import keep_to_one_thread

LOG = logging.getLogger(__name__)
VISIT_BYTES = 8 << 20
"""Replies of one visit to a process or thread; the jobs after them wait until they have left."""


class Sent(NamedTuple):
    """A job on its way to a process; clocks are the system's, so times mean the same there."""

    data: bytes
    left_s: float | None
    received_s: float


class Returned(NamedTuple):
    """What a process made of a job: an answer, or the serialised status of an error.

    Attributes:
        fingerprint: of the graph that came with the job, where it was sound.
    """

    id: str
    want: str
    metrics: Metrics | None
    data: bytes
    fingerprint: str = ""


class JobProcesses:
    """A fixed number of processes that answer jobs which bring their graph along.

    Args:
        count: processes; with none, `ready` stays False.
    """

    def __init__(self, count: int, config: ServerConfig) -> None:
        self._count = count
        self._config = config
        self._pool: ProcessPoolExecutor | None = None
        self._warm = False
        self._warming: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the processes have started; asking starts them."""
        if self._count and self._warming is None:
            self._warming = asyncio.create_task(self._start())
        return self._warm

    async def run(self, jobs: Sequence[Sent]) -> list[Returned | None]:
        """Run jobs in one process; None for those that only the front end can run.

        Raises:
            ServiceError: the process ended on the way; others are started in the background.
        """
        assert self._pool is not None, "asked to run before being ready"
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, _run, jobs)
        except BrokenProcessPool:
            LOG.warning("a job process ended; others are started")
            self._warm, self._warming = False, None
            raise ServiceError(
                "a process ended while it had this job among others; try again"
            ) from None

    async def stop(self) -> None:
        """End the processes."""
        if self._warming is not None:
            self._warming.cancel()
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def _start(self) -> None:
        """Start every process and wait until each has loaded what it needs."""
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self._count, context, _open, (self._config,))
        self._pool = pool
        loop = asyncio.get_running_loop()
        try:
            await asyncio.gather(
                *[loop.run_in_executor(pool, _run, ()) for _ in range(self._count)]
            )
        except BrokenProcessPool:
            LOG.exception("job processes could not be started; batches run on threads")
            return
        self._warm = True


# --- in the process -------------------------------------------------------------------------------

_runner: JobRunner


def _open(config: ServerConfig) -> None:
    """Prepare this process for jobs."""
    global _runner  # noqa: PLW0603  (a process pool hands its initialiser's work on in no other way)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's interrupt is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_to_one_thread()
    _runner = new_runner(config, aside=True)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        signal.raise_signal(signal.SIGKILL)


def _run(jobs: Sequence[Sent]) -> list[Returned | None]:
    """Run jobs, up to VISIT_BYTES of replies: the front end sees to those after them."""
    results: list[Returned | None] = []
    size_bytes = 0
    for job in jobs:
        done = _answer(job) if size_bytes <= VISIT_BYTES else None
        results.append(done)
        size_bytes += 0 if done is None else len(done.data)
    return results


def _answer(job: Sent) -> Returned | None:
    """Run one job; None where it needs the stores, the cluster, or the front end's log."""
    arrival = Arrival(job.data, job.left_s, received_s=job.received_s)
    try:
        done = _runner.answer(arrival)
    except NotFoundError:
        return None
    except PullbackError as error:
        status: bytes = error_to_status(error).SerializeToString()
        return Returned(arrival.id, arrival.want, None, status)
    except Exception:
        return None
    if not isinstance(done, Answer):
        return None
    return Returned(arrival.id, arrival.want, done.metrics, done.data, done.fingerprint)
