"""Sends a worker its batches: those of a call that are small together, the others each by itself.

No Ray here: a reference is whatever stands for an array that is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from pullback_server.held_input import Carried
from pullback_server.planner.plan import TaskOutput
from pullback_server.pool_job import PoolJob, carriers_of
from pullback_server.pool_worker import Flight, PoolWorker
from pullback_server.scheduler import JobId, Run, WorkerId
from pullback_worker.batch import Batch, ValueKey
from pullback_worker.parcel import Sent, is_small, packed

MOST_GRAPHS_KNOWN = 4096

Unsent: TypeAlias = Callable[[Sequence[Flight], PoolWorker, Any], None]


class Sender:
    """Batches on their way to workers.

    Args:
        workers, jobs: those of the pool, to be read alone.
        fault: what is raised where something can't be sent.
        unsent: told of batches that could not, and why.
    """

    def __init__(
        self,
        workers: Mapping[WorkerId, PoolWorker],
        jobs: Mapping[JobId, PoolJob],
        fault: type[Exception],
        unsent: Unsent,
    ) -> None:
        self._workers = workers
        self._jobs = jobs
        self._fault = fault
        self._unsent = unsent
        self._leaving: list[list[Flight]] = []
        self._last: dict[WorkerId, list[Flight]] = {}

    def add(self, run: Run) -> None:
        """Have a batch wait for others of its call, which may come after those of other workers.

        Only with the last of its worker: the numbers of what that runs ascend.
        """
        own = self._last.get(run.worker)
        if own is None or own[0].run.call != run.call:
            own = self._last[run.worker] = []
            self._leaving.append(own)
        own.append(Flight(run, None, {}))

    def depart(self) -> None:
        """Send what waits for others of its call, in the order in which the calls began."""
        if not self._leaving:
            return
        leaving, self._leaving, self._last = self._leaving, [], {}
        for flights in leaving:
            worker = self._workers.get(flights[0].run.worker)
            if worker is not None:  # else its end is about to be told, and they go elsewhere
                self.send(flights, worker)

    def send(self, flights: Sequence[Flight], worker: PoolWorker) -> None:
        """Send batches on their way, in order: small ones together."""
        light: list[tuple[Flight, Sent]] = []
        for flight in flights:
            try:
                batch, carried = self._loaded(flight, worker, self._jobs[flight.run.job])
            except self._fault as error:
                self._give_up([flight], worker, error)
                continue
            is_light = not (batch.apart or batch.express) and _is_light(carried)
            if light and not (is_light and _fits(carried, [own for _, own in light])):
                self._send_together(light, worker)
                light = []
            if is_light:
                light.append((flight, (batch, carried)))
            else:
                self._send_alone(flight, batch, carried, worker)
        if light:
            self._send_together(light, worker)

    def _loaded(
        self, flight: Flight, worker: PoolWorker, job: PoolJob
    ) -> tuple[Batch, Sequence[Carried]]:
        """A batch, and what comes along; its worker is taken to have it from now."""
        run, before_bytes = flight.run, job.traffic.network_bytes
        if run.express and any([freed.job == run.job for freed in worker.freed]):
            worker.flush()  # it may bring anew what was to be dropped
        batch = job.batch(run, worker)
        flight.inputs, flight.freed = batch.inputs, ()
        if len(worker.known) > MOST_GRAPHS_KNOWN:
            worker.known.clear()
        worker.known.update(dict.fromkeys([call.fingerprint for call in batch.calls]))
        carried = [*[job.carriers[item] for item in batch.inputs], *self._fetched(run, job, worker)]
        if not run.express:  # which may be done before others that were sent sooner
            flight.freed, worker.freed = batch.freed, []
        flight.network_bytes += job.traffic.network_bytes - before_bytes
        return batch, carried

    def _send_together(self, light: Sequence[tuple[Flight, Sent]], worker: PoolWorker) -> None:
        """Send batches and all that comes along in one call."""
        flights = [flight for flight, _ in light]
        try:
            report = worker.actor.run_parcel.remote(packed([batch for _, batch in light]))
        except self._fault as error:
            self._give_up(flights, worker, error)
            return
        for flight in flights:
            flight.report = report
        worker.flying.update(flights)
        worker.flights.put_nowait(flights)

    def _send_alone(
        self, flight: Flight, batch: Batch, carried: Sequence[Carried], worker: PoolWorker
    ) -> None:
        """Send a batch in a call of its own: large arrays, and references, are left to Ray."""
        method = worker.actor.run_express if batch.express else worker.actor.run
        if batch.apart:
            method = method.options(num_returns=1 + len(batch.apart))
        try:
            answer = method.remote(batch, carried)
        except self._fault as error:
            self._give_up([flight], worker, error)
            return
        if batch.apart:
            flight.report, *apart = answer
            flight.apart = carriers_of(batch.apart, apart)
        else:
            flight.report = answer
        worker.flying.add(flight)
        (worker.express if batch.express else worker.flights).put_nowait([flight])

    def _give_up(self, flights: Sequence[Flight], worker: PoolWorker, error: Exception) -> None:
        """Batches can't be sent; their worker has nothing of them."""
        worker.missed(flights)
        self._unsent(flights, worker, error)

    def _fetched(self, run: Run, job: PoolJob, reader: PoolWorker) -> list[Carried]:
        """What a batch is to be given: values sent here, and references to those of workers."""
        by_holder: dict[WorkerId, list[TaskOutput]] = {}
        for value, holder in run.fetches:
            if value not in job.sent and value not in job.exports:
                by_holder.setdefault(holder, []).append(value)
        for holder, values in by_holder.items():
            self._export(job, holder, values)
        carried = [job.sent.get(value, job.exports.get(value)) for value, _ in run.fetches]
        for (value, _), found in zip(run.fetches, carried, strict=True):
            if found is not None:
                job.bring(value, reader.id, reader.machine)
        return carried

    def _export(self, job: PoolJob, holder: WorkerId, values: list[TaskOutput]) -> None:
        """Ask a worker for values; one that is gone gives none, which whoever reads them says."""
        worker = self._workers.get(holder)
        if worker is None:
            return
        method = worker.actor.export.options(num_returns=len(values))
        found = method.remote(job.id, [ValueKey(*value) for value in values])
        references = [found] if len(values) == 1 else found
        job.exports.update(zip(values, references, strict=True))
        job.made(values, worker)


def _is_light(carried: Sequence[Carried]) -> bool:
    """Whether what comes along with a batch is here, and small."""
    return all([isinstance(item, np.ndarray) for item in carried]) and is_small(carried)


def _fits(carried: Sequence[Carried], light: Sequence[Sent]) -> bool:
    """Whether arrays may go in one parcel with those of batches; what they share, it has once."""
    arrays = {id(array): array for _, own in light for array in own}
    return is_small({**arrays, **{id(array): array for array in carried}}.values())
