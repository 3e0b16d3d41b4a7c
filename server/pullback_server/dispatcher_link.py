"""The front end's link to the dispatcher: it keeps one running, and its jobs alive.

A dispatcher that dies, or whose Ray cluster is lost, is replaced, and the jobs it had are sent to
the next one; whoever waits for them sees time pass, never the loss.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from pullback_graph.codec import status_to_error
from pullback_graph.errors import (
    Cancelled,
    DeadlineExceeded,
    NotFoundError,
    PullbackError,
    ServiceError,
    Stop,
)
from pullback_graph.job import NDArray
from pullback_proto.internal.v1 import dispatch_pb2 as wire
from pullback_server.called_off import telling_s
from pullback_server.config import ServerConfig
from pullback_server.dispatcher.settings import DispatcherSettings
from pullback_server.dispatcher_figures import (
    Outcome,
    PoolFigures,
    after_restart,
    figures_of,
    joined,
    outcome_of,
)
from pullback_server.dispatcher_process import DispatcherProcess
from pullback_server.dispatcher_stream import DispatcherStream, EncodedPlans, JobOrder
from pullback_server.owned_folder import OwnedFolder
from pullback_server.plan_codec import decode_operand, decode_rates, discard_operand
from pullback_server.planner.plan import Placement, Plan
from pullback_server.planner.rates import UNMEASURED, Rates
from pullback_server.pool_settings import SHARED_MEMORY
from pullback_server.shared_tensors import SharedTensors

__all__ = ["DispatcherLink", "Outcome", "PoolFigures"]

LOG = logging.getLogger(__name__)

FOLDER_PREFIX = "pullback-"
LONGEST_FOLDER = 24
"""Ray's socket paths, which the system limits to 107 characters, start with the folder."""
MOST_SUBMISSIONS = 5
"""A job that this many dispatchers had when they ended is given up."""
SILENCE_S = 20.0
"""A dispatcher that says nothing for this long is replaced."""
LONGEST_PAUSE_S = 10.0
LATE_FACTOR = 3.0
"""A task is tried on a second worker when it takes this many times what it took before."""
STEADY_S = 1.0
"""A dispatcher that served this long is replaced at once."""


@dataclass(slots=True)
class _Job:
    """A job that is not answered."""

    order: JobOrder
    answer: asyncio.Future[Outcome]
    ends_s: float | None
    called_off: asyncio.Future[None]
    submissions: int = 0
    waiters: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def left_s(self) -> float | None:
        """Time until its deadline."""
        return None if self.ends_s is None else max(0.0, self.ends_s - monotonic())


class DispatcherLink:
    """Runs plans on the dispatcher's workers.

    Args:
        config: the server's; of it, what concerns workers and how many jobs may be held.
        on_stop: told how each job that was called off ended on its workers.
    """

    def __init__(
        self, config: ServerConfig, on_stop: Callable[[Stop], None] = lambda stop: None
    ) -> None:
        self._config = config
        self._on_stop = on_stop
        self._jobs: dict[int, _Job] = {}
        self._numbers, self._incarnations = count(1), count(1)
        self._plans = EncodedPlans()
        self._stream: DispatcherStream | None = None
        self._process: DispatcherProcess | None = None
        self._figures, self._before = PoolFigures(), PoolFigures()
        self._rates: dict[Placement, Rates] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._served_since_s = inf
        self._stopping = False
        self._folders: list[OwnedFolder] = []

    # --- the contract -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start a dispatcher and return at once; Ray takes some seconds more."""
        shared = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
        self._folders = [OwnedFolder(parent, FOLDER_PREFIX) for parent in (_short_folder(), shared)]
        self._shared = SharedTensors(self._folders[1].path, "link")
        self._keeper = asyncio.create_task(self._keep_one())

    async def run(
        self,
        plan: Plan,
        inputs: Sequence[NDArray],
        *,
        deadline_s: float | None = None,
        priority: int = 0,
        client: str = "",
        sent_ahead: Collection[int] = (),
        called_off: asyncio.Future[None] | None = None,
    ) -> Outcome:
        """Run a plan on its inputs. Cancelling the caller stops it, down to the worker.

        Args:
            inputs: an array per input of the plan; not to be changed until the job is answered.
            deadline_s: from now.
            client: whose job it is; workers are shared evenly between clients.
            sent_ahead: positions of inputs that were sent before, for several jobs.
            called_off: stops it as well, once done; the caller hears how that went.

        Raises:
            Cancelled: it was called off.
            DeadlineExceeded: the deadline passed, waiting for a dispatcher included.
            ServiceError: too many jobs are held, or the link was stopped.
            PullbackError: what the job itself failed with.
        """
        if self._stopping:
            raise ServiceError("the server is stopping; try another")
        if len(self._jobs) >= self._config.queue_jobs:
            raise ServiceError(
                f"{len(self._jobs)} jobs are held, as many as --queue-jobs allows; try again later"
            )
        number = next(self._numbers)
        ends_s = None if deadline_s is None else monotonic() + deadline_s
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        order = JobOrder(number, plan, inputs, priority, client, sent_ahead)
        job = _Job(order, answer, ends_s, called_off or loop.create_future())
        self._jobs[number] = job
        try:
            if self._stream is not None:
                self._send(job, self._stream)
            return await self._answered(job, deadline_s)
        finally:
            del self._jobs[number]
            self._let_go(job)

    async def _answered(self, job: _Job, deadline_s: float | None) -> Outcome:
        """The outcome; a job that workers may have says when it stopped, shortly after that time.

        Raises:
            DeadlineExceeded: the deadline passed.
            Cancelled: the job was called off.
        """
        either: list[asyncio.Future[Any]] = [job.answer, job.called_off]
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait(either, timeout=deadline_s, return_when=first)
        if job.answer.done():
            return job.answer.result()
        if job.called_off.done() and self._stream is not None:
            self._stream.cancel(job.order.number)
        if self._stream is not None and job.submissions:
            await asyncio.wait([job.answer], timeout=telling_s(self._config.cancel_grace_s))
        late = job.answer.exception() if job.answer.done() else None
        if isinstance(late, PullbackError):
            raise late
        if job.called_off.done():
            raise Cancelled("the job was cancelled before the workers were done")
        raise DeadlineExceeded("the deadline passed before the workers were done; allow more time")

    def snapshot(self) -> PoolFigures:
        """How the pool stands, as last heard."""
        return replace(self._figures, jobs=len(self._jobs))

    def rates(self, kind: Placement) -> Rates:
        """What work was last measured to take on a kind of worker."""
        return self._rates.get(kind, UNMEASURED)

    @property
    def pid(self) -> int | None:
        """The dispatcher's process, which leads a session with all of Ray's."""
        return self._process.pid if self._process is not None else None

    async def stop(self, grace_s: float = 10.0) -> None:
        """End the dispatcher and all it started; jobs still held fail with ServiceError."""
        self._stopping = True
        for job in self._jobs.values():
            _fail(job, ServiceError("the server stopped before the job was done; try another"))
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process is not None:
            await self._process.end(grace_s)
            self._process = None
        for folder in self._folders:
            folder.remove()
        self._figures = replace(self._figures, up=False, workers={})

    # --- one dispatcher after another -------------------------------------------------------------

    async def _keep_one(self) -> None:
        """Start dispatchers for ever, each when the one before has ended."""
        pause_s = 0.0
        while True:
            self._served_since_s = inf
            try:
                await self._serve_with_one()
            except Exception:
                LOG.exception("the link to the dispatcher failed")
            pause_s = pause_after(monotonic() - self._served_since_s, pause_s)
            LOG.warning("the dispatcher ended; another starts in %.1f s", pause_s)
            await asyncio.sleep(pause_s)

    async def _serve_with_one(self) -> None:
        """Start a dispatcher and serve with it until it ends; then remove what it left."""
        process = await self._started()
        stream = DispatcherStream(
            f"unix:{process.settings.socket}",
            self._shared,
            self._plans,
            self._config.tensor_store_bytes // 4,
        )
        endings = [
            asyncio.create_task(ending)
            for ending in (self._serve(stream), process.wait(), stream.silence(SILENCE_S))
        ]
        try:
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stream = None
            for task in endings:
                task.cancel()
            await asyncio.gather(*endings, return_exceptions=True)
            await stream.close()
            if not self._stopping:
                self._figures = self._before = after_restart(self._figures)
                await process.end(0.0)
                self._process = None
                self._sweep()

    async def _started(self) -> DispatcherProcess:
        """A new dispatcher; even when stopped meanwhile, it is known, so that it can be ended."""
        starting = asyncio.create_task(DispatcherProcess.start(self._settings()))
        try:
            await asyncio.shield(starting)
        finally:
            self._process = await starting
        return self._process

    def _settings(self) -> DispatcherSettings:
        config, (own, shared) = self._config, (folder.path for folder in self._folders)
        folder = own / str(next(self._incarnations))
        folder.mkdir()
        return DispatcherSettings(
            folder=str(folder),
            shared_folder=str(shared),
            orphaned=(str(own), str(shared)),
            workers=config.most_workers,
            least_workers=config.least_workers,
            gpu_workers=config.gpu_workers,
            idle_s=config.idle_s,
            late_factor=LATE_FACTOR if config.speculation else 0.0,
            cancel_grace_s=config.cancel_grace_s,
            start_timeout_s=config.start_timeout_s,
            ray_address=config.ray_address,
            gpus_per_worker=config.gpus_per_worker,
            worker_memory_bytes=config.worker_memory_bytes,
            programs=config.programs,
            promotion=config.promotion,
            xla_device=config.xla_device,
            log_level=logging.getLevelName(LOG.getEffectiveLevel()),
        )

    def _sweep(self) -> None:
        """Remove what was written, to a dispatcher or by it, and nobody will read."""
        for path in self._folders[1].path.glob("*-*"):
            path.unlink(missing_ok=True)

    # --- one stream -------------------------------------------------------------------------------

    async def _serve(self, stream: DispatcherStream) -> None:
        """Send what waits, and take answers, until the stream ends."""
        await stream.connect()
        self._stream, self._served_since_s = stream, monotonic()
        for job in tuple(self._jobs.values()):
            self._send(job, stream)
        while (reply := await stream.read()) is not None:
            kind = reply.WhichOneof("reply")
            if kind == "status":
                self._figures = joined(self._before, figures_of(reply.status))
            elif kind == "rates":
                placement, rates = decode_rates(reply.rates)
                self._rates[placement] = rates
            elif kind == "done":
                await self._done(reply.done, stream)
            else:
                self._failed(reply.failed, stream)

    def _send(self, job: _Job, stream: DispatcherStream) -> None:
        """Send a job on its way; one that was sent too often is given up."""
        job.submissions += 1
        if job.submissions > MOST_SUBMISSIONS:
            _fail(
                job,
                ServiceError(
                    f"{MOST_SUBMISSIONS} dispatchers in turn ended while they had this job; "
                    "it is not sent again"
                ),
            )
            return
        task = asyncio.create_task(self._submit(job, stream))
        job.waiters.add(task)
        task.add_done_callback(job.waiters.discard)

    async def _submit(self, job: _Job, stream: DispatcherStream) -> None:
        try:
            await stream.submit(job.order, job.left_s)
        except Exception as error:
            LOG.exception("a job could not be sent to the dispatcher")
            _fail(job, ServiceError(f"the job could not be sent to the workers: {error}"))
        if job.answer.done() or job.called_off.done():
            stream.cancel(job.order.number)

    def _let_go(self, job: _Job) -> None:
        """Nobody waits for a job any more: if it is not answered, it is to stop."""
        if self._stream is not None and (job.answer.cancelled() or not job.answer.done()):
            job.answer.cancel()
            self._stream.cancel(job.order.number)

    async def _done(self, done: wire.Done, stream: DispatcherStream) -> None:
        stream.answered(done.job)
        job = self._jobs.get(done.job)
        if job is None or job.answer.done():
            for item in done.results:
                discard_operand(item, self._shared)
            return
        try:
            results = [decode_operand(item, self._shared) for item in done.results]
        except ServiceError as error:
            _fail(job, error)
            return
        job.answer.set_result(outcome_of(done, job.order.plan, results))

    def _failed(self, failed: wire.Failed, stream: DispatcherStream) -> None:
        stream.answered(failed.job)
        error = status_to_error(failed.error)
        if error.stop is not None:
            self._on_stop(error.stop)
        job = self._jobs.get(failed.job)
        if job is None:
            return
        is_lost = type(error) is ServiceError and error.retry_after_s is None
        if isinstance(error, NotFoundError) or is_lost:
            stream.forget()  # a plan it no longer has, or an array that was lost on its way
            self._send(job, stream)
        else:
            _fail(job, error)


def pause_after(served_s: float, paused_s: float) -> float:
    """How long to wait before the next dispatcher, by how long this one served and the last wait.

    One that came to serve is replaced at once. Where they end sooner, something is wrong that a
    start costs much and mends nothing of, so that they start ever less often.
    """
    return 0.0 if served_s > STEADY_S else min(2 * paused_s + 0.1, LONGEST_PAUSE_S)


def _fail(job: _Job, error: PullbackError) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


def _short_folder() -> Path:
    """The folder for temporary files, unless its name is too long for sockets in it."""
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) <= LONGEST_FOLDER else Path("/tmp")
