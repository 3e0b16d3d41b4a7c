"""Joins scheduler and pool: passes events one way, commands the other, and answers jobs.

Runs on one event loop, so that the scheduler sees events one after another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import NamedTuple

from pullback_graph.errors import Cancelled, DeadlineExceeded, PullbackError, Stop
from pullback_graph.job import NDArray
from pullback_server.called_off import telling_s, told
from pullback_server.dispatcher.finisher import Finisher
from pullback_server.held_input import HeldInput, cut
from pullback_server.planner.plan import JobInput, Placement, Source
from pullback_server.planner.rates import Rates
from pullback_server.pool import Pool
from pullback_server.pool_job import PoolJob
from pullback_server.pool_settings import PoolSettings
from pullback_server.scheduler import (
    Cancel,
    Dependencies,
    Event,
    JobId,
    JobStatistics,
    Reply,
    Scheduler,
    Settings,
    Snapshot,
    Stopped,
    Submitted,
    Tick,
)
from pullback_server.traffic import Traffic

LOG = logging.getLogger(__name__)
TICK_S = 0.05
SHORTEST_TICK_S = 2e-3


class Answer(NamedTuple):
    """What a job gave, and what it cost."""

    results: list[NDArray]
    statistics: JobStatistics
    traffic: Traffic


@dataclass(slots=True)
class _Waiting:
    """A job that is not answered, and who waits for it."""

    plan: Dependencies
    answer: asyncio.Future[tuple[JobStatistics, PoolJob]]
    stop: asyncio.Future[Stop]
    error: PullbackError | None = None


class Engine:
    """The dispatcher without its socket.

    Args:
        on_fault: called when an event could not be dealt with: what is known of jobs and workers
            may be wrong from then on.
    """

    def __init__(
        self,
        settings: Settings,
        pool: PoolSettings,
        on_fault: Callable[[], None] = lambda: None,
    ) -> None:
        self.pool = Pool(pool, self.tell, monotonic)
        self._scheduler = Scheduler(settings)
        self._jobs: dict[JobId, _Waiting] = {}
        self._stopping: dict[JobId, _Waiting] = {}
        self._telling_s = telling_s(settings.grace_s)
        self._numbers = count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._finisher = Finisher()
        self._on_fault = on_fault

    async def run(self) -> None:
        """Let time pass, for ever."""
        while True:
            self.tell(Tick(now_s=monotonic(), cause="clock"))
            await asyncio.sleep(TICK_S)

    def tell(self, *events: Event) -> None:
        """Give the scheduler events and carry out what it wants."""
        try:
            self._handle(*events)
        except Exception:
            LOG.exception("an event could not be dealt with: %s", [str(e)[:300] for e in events])
            self._on_fault()
            raise

    def _handle(self, *events: Event) -> None:
        for command in self._scheduler.handle(*events):
            if isinstance(command, Reply):
                self._reply(command)
            elif isinstance(command, Stopped):
                self._stopped(command)
            else:
                self.pool.apply(command)
        self.pool.depart()
        self._set_timer()

    def _set_timer(self) -> None:
        """Be there when the scheduler next wants to look at something before the clock comes by."""
        due_s = max(self._scheduler.next_s, monotonic() + SHORTEST_TICK_S)
        if self._timer is None and due_s < monotonic() + TICK_S:
            self._timer = asyncio.get_running_loop().call_later(due_s - monotonic(), self._due)

    def _due(self) -> None:
        self._timer = None
        self.tell(Tick(now_s=monotonic(), cause="due"))

    def snapshot(self) -> Snapshot:
        """How the pool stands."""
        return self._scheduler.snapshot()

    def rates(self) -> Mapping[Placement, Rates]:
        """What work was measured to take, by kind of worker."""
        calibration = self._scheduler.calibration
        return {kind: calibration.rates(kind) for kind in calibration.kinds}

    async def evaluate(
        self,
        plan: Dependencies,
        inputs: Sequence[HeldInput],
        *,
        client: str = "",
        priority: int = 0,
        deadline_s: float | None = None,
    ) -> Answer:
        """Run a plan. Cancelling the caller cancels the job.

        What was called off, by the caller or its deadline, fails when it has stopped on its
        workers, and says when that was; but it waits no longer than the grace period for it.

        Args:
            deadline_s: from now.

        Raises:
            PullbackError: why there are no results.
        """
        ends_s = None if deadline_s is None else monotonic() + deadline_s
        carriers = await self.pool.inputs.lay_out(plan.plan, inputs)
        job, loop = next(self._numbers), asyncio.get_running_loop()
        waiting = _Waiting(plan, loop.create_future(), loop.create_future())
        self._jobs[job] = waiting
        self.pool.open(job, plan, inputs, carriers)
        submitted_s = monotonic()
        self.tell(
            Submitted(
                now_s=submitted_s,
                cause="submitted",
                job=job,
                plan=plan,
                client=client,
                priority=priority,
                deadline_s=ends_s,
            )
        )
        try:
            statistics, held = await waiting.answer
        except asyncio.CancelledError:
            if job in self._jobs:
                self.tell(Cancel(now_s=monotonic(), cause="the caller went away", job=job))
            if waiting.error is None:
                raise
            raise await self._told(waiting, waiting.error) from None
        except (Cancelled, DeadlineExceeded) as error:
            raise await self._told(waiting, error) from None
        if not plan.results.issubset(held.results):
            await self._finisher.finish(held, statistics, submitted_s)
        results = [await self._result(source, held) for source in plan.plan.results]
        return Answer(results, statistics, held.traffic)

    # --- inside -----------------------------------------------------------------------------------

    def _reply(self, command: Reply) -> None:
        waiting = self._jobs.pop(command.job)
        if command.error is not None:
            self._stopping[command.job] = waiting
            waiting.error = _fresh(command.error)
        if waiting.answer.done():
            return
        if waiting.error is not None:
            waiting.answer.set_exception(waiting.error)
        else:
            waiting.answer.set_result((command.statistics, self.pool.job(command.job)))

    def _stopped(self, command: Stopped) -> None:
        """Nothing runs any more of a job that failed or was called off."""
        waiting, stop = self._stopping.pop(command.job), command.stop
        LOG.info(
            "job stopped: job=%d error=%s stopped_s=%.3f wasted_s=%.3f workers_killed=%d",
            command.job,
            type(waiting.error).__name__,
            *stop,
        )
        if not waiting.stop.done():
            waiting.stop.set_result(stop)

    async def _told(self, waiting: _Waiting, error: PullbackError) -> PullbackError:
        """The error of a job that was called off, with its stop if that comes in time."""
        try:
            return told(error, await asyncio.wait_for(waiting.stop, self._telling_s))
        except TimeoutError:
            return error

    async def _result(self, source: Source, held: PoolJob) -> NDArray:
        if not isinstance(source, JobInput):
            return held.results[source]
        array = await asyncio.to_thread(self.pool.inputs.fetch, held.inputs[source.index])
        return array if source.block is None else cut(array, source.block)


def _fresh(error: PullbackError) -> PullbackError:
    """The same error without the frames it was raised through."""
    return type(error)(error.message, field=error.field, retry_after_s=error.retry_after_s)
