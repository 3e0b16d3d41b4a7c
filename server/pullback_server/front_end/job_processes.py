"""Processes of the front end for batches of small different graphs, mostly work of Python's own.

Preparing a graph holds the interpreter's lock: threads can't do two at once, processes can.
They start in the background with the first batch that wants them, and end with their parent. Memory
that they share with it holds a flag for each job, by which it is called off.
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
from ctypes import c_bool
from functools import partial
from multiprocessing.connection import wait
from time import monotonic
from typing import Any, NamedTuple

from pullback_graph.codec import error_to_status
from pullback_graph.errors import NotFoundError, PullbackError, ServiceError
from pullback_graph.job import Metrics
from pullback_server.config import ServerConfig
from pullback_server.front_end.arrivals import Answer, Arrival
from pullback_server.front_end.job_flag import JobFlag
from pullback_server.front_end.new_runner import new_runner
from pullback_server.front_end.run_job import JobRunner
from pullback_worker.one_thread import keep_to_one_thread

LOG = logging.getLogger(__name__)
VISIT_BYTES = 8 << 20
"""Replies of one visit to a process or thread; the jobs after them wait until they have left."""
VISIT_S = 0.1
"""A visit that has taken longer ends with the job at hand, so that its reply waits for no other."""
MOST_FLAGS = 4096
"""Jobs with processes, running or waiting there, that can be called off; more run to their end."""


class Visit:
    """What one visit to a process or thread has left of its bytes and its time."""

    def __init__(self) -> None:
        self._left_bytes = VISIT_BYTES
        self._until_s = monotonic() + VISIT_S

    def ends_with(self, reply_bytes: int) -> bool:
        """Count one more reply; whether it was the last."""
        self._left_bytes -= reply_bytes
        return self._left_bytes < 0 or monotonic() > self._until_s


class Sent(NamedTuple):
    """A job on its way to a process; clocks are the system's, so times mean the same there.

    Attributes:
        flag: its place among the shared flags, or -1.
    """

    data: bytes
    left_s: float | None
    received_s: float
    flag: int


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
        self._context = multiprocessing.get_context("spawn")
        self._flags: Any = self._context.RawArray(c_bool, MOST_FLAGS if count else 1)
        self._free = list(range(len(self._flags)))
        self._lent: dict[int, JobFlag] = {}

    @property
    def ready(self) -> bool:
        """Whether the processes have started; asking starts them."""
        if self._count and self._warming is None:
            self._warming = asyncio.create_task(self._start())
        return self._warm

    async def run(self, arrivals: Sequence[Arrival]) -> list[Returned | None]:
        """Run jobs in one process, the first or more of them; None for the front end's to run.

        Raises:
            ServiceError: the process ended on the way; others are started in the background.
        """
        assert self._pool is not None, "asked to run before being ready"
        jobs = [Sent(a.data, a.flag.remaining_s, a.received_s, self._lend(a)) for a in arrivals]
        loop = asyncio.get_running_loop()
        visit = loop.run_in_executor(self._pool, _run, jobs)
        visit.add_done_callback(partial(self._ended, [job.flag for job in jobs]))
        try:
            return await asyncio.shield(visit)
        except BrokenProcessPool:
            LOG.warning("a job process ended; others are started")
            self._warm, self._warming = False, None
            raise ServiceError(
                "a process ended while it had this job among others; try again"
            ) from None

    def _lend(self, arrival: Arrival) -> int:
        """A shared flag that is set when the job's own is; -1 where none is free."""
        if not self._free:
            return -1
        number, own = self._free.pop(), arrival.flag
        self._flags[number], self._lent[number] = False, own
        own.called_off().add_done_callback(lambda _: self._pass_on(number, own))
        return number

    def _pass_on(self, number: int, own: JobFlag) -> None:
        if self._lent.get(number) is own:
            self._flags[number] = True

    def _ended(self, numbers: Sequence[int], visit: asyncio.Future[Any]) -> None:
        """Take shared flags back; an error that nobody waits for any more is seen here."""
        for number in numbers:
            if self._lent.pop(number, None) is not None:
                self._free.append(number)
        if not visit.cancelled():
            visit.exception()

    async def stop(self) -> None:
        """End the processes."""
        if self._warming is not None:
            self._warming.cancel()
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def _start(self) -> None:
        """Start every process and wait until each has loaded what it needs."""
        given = self._config, self._flags
        pool = ProcessPoolExecutor(self._count, self._context, _open, given)
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
_flags: Any


def _open(config: ServerConfig, flags: Any) -> None:
    """Prepare this process for jobs."""
    # A process pool hands its initialiser's work on in no other way.
    global _runner, _flags  # noqa: PLW0603
    _flags = flags
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's interrupt is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_to_one_thread()
    _runner = new_runner(config, aside=True)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        signal.raise_signal(signal.SIGKILL)


class _SharedFlag:
    """One of the shared flags, as a CancelFlag is read."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    @property
    def is_set(self) -> bool:
        """Whether the job should stop."""
        return bool(_flags[self._number])


def _run(jobs: Sequence[Sent]) -> list[Returned | None]:
    """Run jobs, as many as a visit takes."""
    results: list[Returned | None] = []
    visit = Visit()
    for job in jobs:
        done = _answer(job)
        results.append(done)
        if visit.ends_with(0 if done is None else len(done.data)):
            break
    return results


def _answer(job: Sent) -> Returned | None:
    """Run one job; None where it needs the stores, the cluster, or the front end's log."""
    caller: Any = None if job.flag < 0 else _SharedFlag(job.flag)
    arrival = Arrival(job.data, job.left_s, caller, received_s=job.received_s)
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
