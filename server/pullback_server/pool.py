"""The pool: Ray workers as actors. With ray_cluster all of the server that imports Ray.

It decides nothing: commands of the scheduler come in, events go out. Ray's own retries are off.
Everything here runs on one event loop, except `connect`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import ray
from ray.exceptions import RayError, RayTaskError

from pullback_graph.job import NDArray
from pullback_server import ray_cluster
from pullback_server.held_input import Carried, HeldInput, Store
from pullback_server.input_store import InputStore
from pullback_server.planner.plan import Placement, TaskOutput
from pullback_server.pool_job import PoolJob, ended, events_of, refused
from pullback_server.pool_sender import Sender
from pullback_server.pool_settings import PoolSettings
from pullback_server.pool_start import first_answer
from pullback_server.pool_worker import Flight, PoolWorker
from pullback_server.ray_cluster import Process
from pullback_server.scheduler import (
    HERE,
    AskWorker,
    CancelRun,
    Command,
    Dependencies,
    Event,
    Free,
    JobId,
    KillWorker,
    Run,
    StartWorker,
    StopWorker,
    WorkerAnswered,
    WorkerId,
    WorkerLost,
    WorkerMeasured,
    WorkerPlaced,
    WorkerReady,
)
from pullback_server.scheduler import Call as WantedCall
from pullback_server.traffic import MachineId, Traffic
from pullback_worker.batch import (
    Call,
    Freed,
    InputOperand,
    Packed,
    Report,
    ValueKey,
    no_room,
    not_taken,
)
from pullback_worker.parcel import Answered, reports_in

LOG = logging.getLogger(__name__)

FLUSH_S = 0.05
"""What is to be freed waits this long for a batch to travel with."""
MOST_CALLS_KNOWN = 1 << 14
"""Of one plan, where jobs lie on their workers in ever other ways."""
STOPPED = "stopped for want of work"

Tell: TypeAlias = Callable[..., None]
Wait: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


class Pool:
    """The workers, and what they and the dispatcher hold of each job.

    Attributes:
        inputs: takes in what jobs read, and lays it out for them.
        traffic: what the jobs that are over moved.

    Args:
        tell: takes events, on the event loop.
        clock: the time of events.
    """

    def __init__(self, settings: PoolSettings, tell: Tell, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._tell = tell
        self._clock = clock
        self._workers: dict[WorkerId, PoolWorker] = {}
        self._jobs: dict[JobId, PoolJob] = {}
        self._sender = Sender(self._workers, self._jobs, RayError, self._unsent)
        self._calls: WeakKeyDictionary[Dependencies, dict[WantedCall, Call]] = WeakKeyDictionary()
        self.traffic = Traffic()
        self.inputs = InputStore(
            Store(ray_cluster.put, ray_cluster.get_input), bool(settings.ray_address)
        )
        self._flushing = False
        self._socket = ""
        self._measured: set[tuple[Placement, str]] = set()
        self._do: dict[type[Command], Callable[[Any], None]] = {
            StartWorker: self._start,
            KillWorker: self._kill,
            StopWorker: self._stop,
            AskWorker: self._ask,
            Run: self._sender.add,
            CancelRun: self._cancel,
            Free: self._free,
        }

    # --- Ray itself -------------------------------------------------------------------------------

    def connect(self) -> None:
        """Join the cluster, or start one. Takes seconds; call it on the main thread."""
        self.inputs.machine, self._socket = ray_cluster.join(self.settings)

    @property
    def address(self) -> str:
        """The address of the cluster."""
        return ray_cluster.address()

    def is_connected(self) -> bool:
        """Whether Ray's process on this machine is there, as far as can be seen from here."""
        return not self._socket or ray_cluster.listens(self._socket)

    async def check(self, timeout_s: float) -> bool:
        """Whether Ray's head answers in time."""
        return await ray_cluster.answers(timeout_s)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        for worker in self._workers.values():
            for listener in worker.listeners:
                listener.cancel()
        ray.shutdown()

    # --- jobs -------------------------------------------------------------------------------------

    def open(
        self,
        job: JobId,
        plan: Dependencies,
        inputs: Sequence[HeldInput],
        carriers: Mapping[InputOperand, Carried],
    ) -> None:
        """Hold a job's inputs until it is freed."""
        calls = self._calls.setdefault(plan, {})
        if len(calls) > MOST_CALLS_KNOWN:
            calls.clear()
        self._jobs[job] = PoolJob(job, plan, inputs, carriers, calls=calls)

    def job(self, job: JobId) -> PoolJob:
        """What is held of a job."""
        return self._jobs[job]

    def apply(self, command: Command) -> None:
        """Carry out a command; what it brings about is told later.

        Batches wait for others of their call: up to a command of another kind, or `depart`.
        """
        if type(command) is not Run:
            self._sender.depart()
        self._do[type(command)](command)

    def depart(self) -> None:
        """Send the batches that wait for others of their call."""
        self._sender.depart()

    # --- commands ---------------------------------------------------------------------------------

    def _start(self, command: StartWorker) -> None:
        actor = ray_cluster.new_worker(self.settings, command.placement)
        worker = PoolWorker(command.worker, command.placement, actor)
        self._workers[worker.id] = worker
        self._attend(worker, self._greet)
        self._attend(worker, self._listen, worker.flights)
        self._attend(worker, self._listen, worker.express)

    def _kill(self, command: KillWorker) -> None:
        worker = self._workers.get(command.worker)
        if worker is not None:
            LOG.warning("worker %d is killed: %s", worker.id, command.cause)
            ray_cluster.kill_here(worker.process)
            self._lose(worker, command.cause)

    def _stop(self, command: StopWorker) -> None:
        worker = self._workers.get(command.worker)
        if worker is not None:
            self._lose(worker, STOPPED)

    def _ask(self, command: AskWorker) -> None:
        worker = self._workers.get(command.worker)
        if worker is not None:
            self._attend(worker, self._answer_of)

    async def _answer_of(self, worker: PoolWorker) -> None:
        """Wait for a worker to say that it lives, and what it runs; its end is seen elsewhere."""
        with contextlib.suppress(RayError):
            batch, running_s = await worker.actor.turn.remote()
            self._tell(
                WorkerAnswered(
                    now_s=self._clock(),
                    cause="asked",
                    worker=worker.id,
                    batch=batch,
                    running_s=running_s,
                )
            )

    def _unsent(self, flights: Sequence[Flight], worker: PoolWorker, error: RayError) -> None:
        """Batches could not be sent: they are too large for a message, and the store is full."""
        self._flush_soon()
        now_s = self._clock()
        events = [e for own in flights for e in _not_run(own.run, error, now_s)]
        asyncio.get_running_loop().call_soon(self._tell, *events)

    def _cancel(self, command: CancelRun) -> None:
        worker = self._workers.get(command.worker)
        if worker is not None:
            worker.actor.cancel.remote(command.batch, command.express)

    def _free(self, command: Free) -> None:
        job = self._jobs.get(command.job)
        if job is not None:
            job.drop(command.holder, command.values or ())
        if command.holder == HERE:
            if command.values is None and job is not None:
                self.traffic.add(self._jobs.pop(command.job).traffic)
            return
        worker = self._workers.get(command.holder)
        if worker is None:
            return
        if command.values is None:
            worker.given.pop(command.job, None)
        keys = None if command.values is None else tuple(ValueKey(*v) for v in command.values)
        worker.freed.append(Freed(command.job, keys))
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        """Tell workers what to drop, where no batch did on the way."""
        self._flushing = False
        for worker in self._workers.values():
            worker.flush()

    # --- what workers answer ----------------------------------------------------------------------

    def _attend(
        self, worker: PoolWorker, wait: Wait, *flights: asyncio.Queue[Sequence[Flight]]
    ) -> None:
        """Have something wait for a worker's answers; one that can't be taken in ends the worker.

        Else what it was given would be waited for for ever: it lives, and says so.
        """

        async def waiting() -> None:
            try:
                await wait(worker, *flights)
            except Exception:
                LOG.exception("worker %d: what it answered could not be taken in", worker.id)
                self._lose(worker, "what it answered could not be taken in")

        worker.attend(waiting())

    async def _greet(self, worker: PoolWorker) -> None:
        """Wait until a worker is up, then for its end."""
        try:
            identity = await first_answer(worker, self._placed)
            worker.machine = identity.node
            worker.process = self._here(identity.pid, identity.node)
            self.inputs.look_around(w.machine for w in self._workers.values())
            LOG.info("worker %d is up: process %d on %s", worker.id, identity.pid, identity.host)
            self._tell(
                WorkerReady(
                    now_s=self._clock(),
                    cause=f"process {identity.pid} on {identity.host}",
                    worker=worker.id,
                    placement=worker.placement,
                    memory_bytes=identity.memory_bytes,
                )
            )
            if (worker.placement, worker.machine) not in self._measured:
                self._measured.add((worker.placement, worker.machine))
                self._attend(worker, self._measure)
            await worker.actor.watch.remote()
        except RayError as error:
            self._lose(worker, ray_cluster.cause(error), ray_cluster.by_memory(error))

    def _placed(self, worker: PoolWorker, process: Process) -> None:
        """A worker that starts has a process."""
        worker.process = self._here(process.number, process.machine)
        cause = f"process {process.number}"
        self._tell(WorkerPlaced(now_s=self._clock(), cause=cause, worker=worker.id))

    def _here(self, process: int, machine: MachineId) -> int:
        """A process, where it is one of this machine; 0 where not."""
        return process if machine == self.inputs.machine else 0

    async def _measure(self, worker: PoolWorker) -> None:
        """Ask the first worker of its kind on a machine what work takes it there."""
        try:
            unit_s = await worker.actor.measured.remote()
        except RayTaskError:
            LOG.exception("worker %d could not measure itself", worker.id)
        except (RayError, asyncio.CancelledError) as error:  # it is gone: another is to measure
            self._measured.discard((worker.placement, worker.machine))
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            now_s = self._clock()
            self._tell(WorkerMeasured(now_s=now_s, cause="up", worker=worker.id, unit_s=unit_s))

    async def _listen(self, worker: PoolWorker, queue: asyncio.Queue[Sequence[Flight]]) -> None:
        """Take a worker's reports, oldest first, and tell at once what those of a call say."""
        while True:
            flights = await queue.get()
            try:
                reports = _reports(await flights[0].report)
            except RayTaskError as error:
                LOG.exception("worker %d could not take a batch", worker.id)
                if ray_cluster.is_lost(error) and worker.counts_on(flights):
                    self._lose(worker, "what it was sent was lost, and it has more that reads it")
                    return
                self._not_taken(flights, worker, error)
                continue
            except RayError as error:
                self._lose(worker, ray_cluster.cause(error), ray_cluster.by_memory(error))
                return
            finally:
                worker.flying.difference_update(flights)
            if any([report.cut_off for report in reports]):
                self._lose(worker, "a job's inputs did not reach it; is its machine cut off?")
                return
            events, company_s = [], sum([report.busy_s for report in reports])
            for flight, report in zip(flights, reports, strict=True):
                company_s -= report.busy_s
                events += await self._taken(flight, report, worker, company_s)
            if events:
                self._tell(*events)

    def _not_taken(
        self, flights: Sequence[Flight], worker: PoolWorker, error: RayTaskError
    ) -> None:
        """A call did not run, and brought its worker nothing."""
        worker.missed(flights)
        self._flush_soon()
        now_s = self._clock()
        self._tell(*[e for own in flights for e in _not_run(own.run, error, now_s)])

    async def _taken(
        self, flight: Flight, report: Report, worker: PoolWorker, company_s: float
    ) -> list[Event]:
        """What a report tells the scheduler; what it handed back is kept, results within reach.

        Args:
            company_s: how long the worker was busy with those behind it of its call.
        """
        job = self._jobs.get(flight.run.job)
        if job is None:
            return events_of(report, flight, frozenset(), self._clock(), company_s)
        if report.unknown_graphs:
            worker.known.clear()
            self._sender.send([flight], worker)
            return []
        computed = {task.task for task in report.done}
        apart = {value: r for value, r in flight.apart.items() if value.task in computed}
        job.sent.update(apart)
        along = {TaskOutput(*key): array for key, array in report.sent.items()}
        job.sent.update(along)
        job.made((*apart, *along), worker)
        unread = []
        for value in (*apart, *along):
            if value in along or value in job.plan.wanted:
                job.bring(value, HERE, self.inputs.machine)
            if value in job.plan.wanted:
                try:
                    job.results[value] = await self._read(job.sent[value])
                except RayError as error:
                    LOG.warning("a result was lost on its way: %s", ray_cluster.cause(error))
                    unread.append(value)
                    if ray_cluster.is_full(error):  # nor would there be room for it the next time
                        report.failed = report.failed or (value.task, no_room("a result"))
        job.lost(flight.run, [TaskOutput(*key) for key in report.lost])
        return events_of(report, flight, frozenset(unread), self._clock(), company_s)

    async def _read(self, carried: Carried) -> NDArray:
        """The array, read off the event loop where it is an object of its own."""
        if isinstance(carried, ray.ObjectRef | Packed):
            return await asyncio.to_thread(ray_cluster.get, carried)
        array: NDArray = carried
        return array

    def _lose(self, worker: PoolWorker, cause: str, out_of_memory: bool = False) -> None:
        """A worker is no more: see that it is so, and say it once."""
        if self._workers.pop(worker.id, None) is None:
            return
        level = logging.INFO if cause == STOPPED else logging.WARNING
        LOG.log(level, "worker %d is no more: %s", worker.id, cause)
        current = asyncio.current_task()
        for listener in worker.listeners:
            if listener is not current:
                listener.cancel()
        self.inputs.look_around(w.machine for w in self._workers.values())
        for reader in self._workers.values():
            reader.leave(worker.id)
        event = WorkerLost(
            now_s=self._clock(), cause=cause, worker=worker.id, out_of_memory=out_of_memory
        )
        loop = asyncio.get_running_loop()
        loop.call_soon(self._tell, event)
        loop.run_in_executor(None, ray_cluster.end, worker.actor)


def _not_run(run: Run, error: RayError, now_s: float) -> list[Event]:
    """What is told of a batch that did not run, by what Ray says of its call."""
    task = run.calls[0].task
    if ray_cluster.is_full(error):
        return refused(run, no_room(f"what task {task} reads or gives"), now_s)
    if ray_cluster.is_lost(error):
        return [ended(run.worker, run.batch, now_s)]
    return refused(run, not_taken(task, error), now_s)


def _reports(answer: Report | Answered) -> Sequence[Report]:
    """The reports in what a worker answered."""
    return [answer] if isinstance(answer, Report) else reports_in(answer)
