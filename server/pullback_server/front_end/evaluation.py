"""Where a job runs: on the event loop, on the front end's threads, or on the cluster.

The event loop runs only what is estimated under INLINE_S; everything else leaves it at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import TypeVar

from pullback_graph.errors import (
    DeadlineExceeded,
    ExecutionError,
    OutOfMemory,
    PullbackError,
    ServiceError,
)
from pullback_graph.job import TensorHash
from pullback_server.dispatcher_link import DispatcherLink, Outcome
from pullback_server.front_end.accounting import Accounting
from pullback_server.front_end.arrivals import Answer, Arrival, brings_tape
from pullback_server.front_end.held_jobs import HeldJobs
from pullback_server.front_end.job_flag import JobFlag
from pullback_server.front_end.job_threads import JobThreads
from pullback_server.front_end.run_job import BoundJob, JobRunner, finish

INLINE_BYTES = 4096
"""Requests over this are not even parsed on the event loop."""

INLINE_ARRAY_BYTES = 1 << 16
"""Jobs of the cluster with more in their inputs and results are finished on a thread."""

Result = TypeVar("Result")
LOG = logging.getLogger(__name__)


class Evaluation:
    """Runs jobs from bytes to bytes; belongs to one event loop.

    Attributes:
        stopping: set when streams are to end with what they have.
    """

    def __init__(
        self,
        runner: JobRunner,
        threads: JobThreads,
        link: DispatcherLink | None,
        accounting: Accounting,
        queue_jobs: int,
        queue_bytes: int,
    ) -> None:
        self.runner = runner
        self.threads = threads
        self.link = link
        self.accounting = accounting
        self._held = HeldJobs(queue_jobs, queue_bytes)
        self.stopping = asyncio.Event()
        self._left = asyncio.Event()

    # --- one job ----------------------------------------------------------------------------------

    async def evaluate(
        self, arrival: Arrival, rest: Callable[[], Awaitable[None]] | None = None
    ) -> Answer:
        """The answer of a job.

        Args:
            rest: waits for what is still to come of the job, once it is clear that it may be held.

        Raises:
            PullbackError: what is wrong with the job, or went wrong; it has been counted.
        """
        if not self._held.has_room([arrival]):
            self.accounting.rejected("queue_full")
            raise ServiceError(
                f"the server holds {self.held} jobs of {self._held.size_bytes} bytes, as much as "
                "it may, or as many of yours; try again, or raise --queue-jobs or --queue-bytes",
                retry_after_s=self._held.wait_s,
            )
        if rest is None:
            answer = self._counted_at_once(arrival)
            if answer is not None:
                return answer
        held = [arrival]
        self._take_in(held)
        try:
            if rest is not None:
                await _within(arrival.flag, rest())
            answer = await self._answer(arrival, is_new=rest is not None)
            self.accounting.answered(arrival, answer.metrics)
            return answer
        except asyncio.CancelledError as error:
            self.accounting.failed(arrival, error)
            raise
        except Exception as error:
            raise self._failed(arrival, error) from None
        finally:
            self._let_go(held)

    def _counted_at_once(self, arrival: Arrival) -> Answer | None:
        """The answer of a job that need not be held, being done before anything else happens."""
        try:
            answer = self._at_once(arrival)
        except Exception as error:
            raise self._failed(arrival, error) from None
        if answer is not None:
            self.accounting.answered(arrival, answer.metrics)
        return answer

    def _failed(self, arrival: Arrival, error: Exception) -> PullbackError:
        """The error that the client sees; the job is counted."""
        typed = typed_error(error)
        self.accounting.failed(arrival, typed)
        return typed

    def _at_once(self, arrival: Arrival) -> Answer | None:
        """The answer of a job that is small enough for the event loop."""
        return self.runner.answer_at_once(arrival) if arrival.size_bytes <= INLINE_BYTES else None

    async def _answer(self, arrival: Arrival, *, is_new: bool) -> Answer:
        """The answer of a job, from wherever it runs.

        Args:
            is_new: whether the event loop has not looked at it.
        """
        answer = self._at_once(arrival) if is_new else None
        if answer is not None:
            return answer
        await self.machine_ready([arrival])
        call = partial(self.runner.answer, arrival)
        done = await _within(arrival.flag, self.threads.run(arrival.priority, call))
        return await self.on_cluster(done) if isinstance(done, BoundJob) else done

    async def machine_ready(self, arrivals: Sequence[Arrival], *, batches: bool = False) -> None:
        """Wait until tapes among these can run, or a deadline among theirs has passed.

        Args:
            batches: whether they are to run packed.
        """
        machine = self.runner.tapes.machine
        if not (machine.batches_ready if batches else machine.is_ready):
            tapes = [arrival for arrival in arrivals if brings_tape(arrival.data)]
            left = [arrival.flag.remaining_s for arrival in tapes]
            if tapes:
                soonest = min([s for s in left if s is not None], default=None)
                await machine.wait(soonest, batches=batches)

    async def on_cluster(self, bound: BoundJob) -> Answer:
        """Have the dispatcher run a bound job, and finish it: on a thread, if it is not small."""
        assert self.link is not None, "only a server with workers hands jobs on"
        flag = bound.arrival.flag
        flag.check()
        bound.arrival.on_cluster = True
        outcome = await self.link.run(
            bound.prepared.plan,
            bound.arrays,
            deadline_s=flag.remaining_s,
            priority=bound.job.options.priority,
            client=bound.arrival.client,
            sent_ahead=_sent_ahead(bound),
            called_off=flag.called_off(),
        )
        _measured(bound, outcome)
        if _is_small(bound, outcome):
            return finish(bound, outcome.results)
        call = partial(finish, bound, outcome.results)
        return await self.threads.run(bound.job.options.priority, call)

    # --- what is held -----------------------------------------------------------------------------

    async def room_for(self, arrivals: Sequence[Arrival]) -> None:
        """Wait until more jobs may be held: how a full server stops reading a stream."""
        while not self._held.has_room(arrivals):
            self._left.clear()
            await self._left.wait()

    @property
    def held(self) -> int:
        """How many jobs were taken in and are not answered."""
        return self._held.jobs

    @contextmanager
    def holding(self, arrivals: Sequence[Arrival]) -> Iterator[None]:
        """Count jobs as held for as long as the block lasts."""
        self._take_in(arrivals)
        try:
            yield
        finally:
            self._let_go(arrivals)

    def _take_in(self, arrivals: Sequence[Arrival]) -> None:
        self._held.add(arrivals)
        for arrival in arrivals:
            self.accounting.entered(arrival)

    def _let_go(self, arrivals: Sequence[Arrival]) -> None:
        self._held.remove(arrivals, monotonic())
        self.accounting.left(arrivals)
        self._left.set()


async def _within(flag: JobFlag, work: Awaitable[Result]) -> Result:
    """The result of `work` before the job's deadline; the flag is set when the caller is gone."""
    try:
        async with asyncio.timeout(flag.remaining_s):
            return await work
    except TimeoutError:
        flag.set()
        raise DeadlineExceeded(
            "the job's deadline passed before its result was there; allow more time, or split it"
        ) from None
    except asyncio.CancelledError:
        flag.set()
        raise


def typed_error(error: Exception) -> PullbackError:
    """The error a client sees; of a fault of ours its class and none of its inner workings."""
    if isinstance(error, PullbackError):
        return error
    LOG.error("a job failed by a fault of the server", exc_info=error)
    if isinstance(error, MemoryError):
        return OutOfMemory("the server ran out of memory before the job ran; send less at once")
    return ExecutionError(
        f"the server failed with {type(error).__name__}; its log says more; please report it"
    )


def _sent_ahead(bound: BoundJob) -> set[int]:
    """The positions of inputs that the client named by their hashes."""
    given = bound.job.inputs
    wanted = enumerate(bound.prepared.lowered.job_inputs)
    return {k for k, own in wanted if isinstance(given.get(own.name), TensorHash)}


def _is_small(bound: BoundJob, outcome: Outcome) -> bool:
    """Whether finishing a job takes no longer than a visit to a thread.

    Its arrays are looked through for what is not finite, and nothing is searched for the source.
    """
    if bound.job.options.check != "none" or bound.prepared.lowered.patterns:
        return False
    sizes = [array.nbytes for array in (*bound.arrays, *outcome.results)]
    return sum(sizes) <= INLINE_ARRAY_BYTES


def _measured(bound: BoundJob, outcome: Outcome) -> None:
    """Take over what the dispatcher measured."""
    metrics = bound.metrics
    metrics.executor = outcome.executor
    metrics.digest = bound.prepared.digest_on(outcome.executors)
    metrics.queued_s = outcome.queued_s
    metrics.compiling_s += outcome.compiling_s
    metrics.forward_s = outcome.phase_s.get("forward", 0.0)
    metrics.backward_s = outcome.phase_s.get("backward", 0.0)
    metrics.fused_s = outcome.phase_s.get("fused", 0.0)
    metrics.reducing_s = outcome.phase_s.get("reduce", 0.0)
    metrics.transferring_s = outcome.transferring_s
    metrics.workers = outcome.workers
    metrics.retries = outcome.retries
    metrics.peak_bytes = outcome.peak_bytes or metrics.peak_bytes
    metrics.moved_bytes = outcome.moved_bytes
    metrics.network_bytes = outcome.network_bytes
    if bound.job.options.timeline:
        metrics.timeline = tuple(outcome.timeline)
        metrics.timeline_omitted = max(0, outcome.tasks - len(outcome.timeline))
