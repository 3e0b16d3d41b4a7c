"""The Ray actor around a TaskRunner: resolves references, hands values back, decides nothing.

Calls of `run` queue up and run one at a time, and those of `run_express` do beside them; every
other method has a thread of its own, so that it is answered while a batch runs.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

import ray
from ray.exceptions import GetTimeoutError, ObjectStoreFullError, OutOfDiskError, RayError

from pullback_graph.errors import PullbackError, ServiceError
from pullback_worker import one_thread
from pullback_worker.batch import Batch, Freed, Report, ValueKey, no_room, not_taken
from pullback_worker.choice import Choice
from pullback_worker.chooser import ChoiceMaker, Chooser, choice_bytes
from pullback_worker.executors import NAMES, Executors, XlaSettings
from pullback_worker.fetcher import Fetched, Fetcher, Found
from pullback_worker.memory_watch import MemoryWatch, machine_bytes
from pullback_worker.numpy_probe import measured
from pullback_worker.parcel import Answered, answered, unpacked
from pullback_worker.program_cache import ProgramCache
from pullback_worker.promoter import Promoter
from pullback_worker.task_runner import Compile, TaskRunner

LOG = logging.getLogger(__name__)

FETCH_TIMEOUT_S = 60.0
"""A value that does not arrive within this time counts as lost."""
PROGRAM_BYTES = 1 << 30
"""What compiled programs may take, estimated; the least recently used give way."""
CONCURRENCY_GROUPS = {"express": 1, "control": 1, "export": 1, "watch": 1, "probe": 1}
"""Threads besides the one that runs batches in turn."""
STORE_IS_FULL = (ObjectStoreFullError, OutOfDiskError)
"""What Ray raises where its object store has no room, on disk neither."""
NOTHING = (-1, 0.0)
"""The turn of a worker that runs nothing."""
ENVIRONMENT = {
    **one_thread.ENVIRONMENT,
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
}
"""Of a worker's process: a task is one thread, whichever BLAS there is, and the memory of arrays is
used again rather than given back and faulted in anew, which takes a tenth of a task's time."""


class WorkerSettings(NamedTuple):
    """What a worker is started with.

    Attributes:
        memory_share: of its machine's memory, the part it may have to itself; 0 for no cap.
        memory_bytes: what its arrays may take instead, where that is not 0.
        programs: how many compiled programs it keeps.
        promotion: whether hot graphs move to XLA, where that is faster.
        xla_device: what XLA runs on; empty for JAX's first.
    """

    memory_share: float = 0.0
    memory_bytes: int = 0
    programs: int = 4096
    promotion: bool = True
    xla_device: str = ""


class WorkerIdentity(NamedTuple):
    """Who answers: the process, its machine, what it computes with, and the memory it may have."""

    pid: int
    host: str
    node: str
    executor: str
    executor_version: str
    memory_bytes: int


class WorkerActor:
    """One worker process."""

    def __init__(self, settings: WorkerSettings) -> None:
        one_thread.keep_to_one_thread()  # also libraries loaded before the environment
        executors = Executors(XlaSettings(settings.xla_device, threads=1, alone=True))
        self._executor = executors.numpy.name, executors.numpy.version
        device_bytes = _gpu_bytes(executors) if settings.xla_device.startswith("gpu") else 0
        memory = MemoryWatch(  # what a GPU's libraries take of the process does not count
            int(settings.memory_share * machine_bytes()), own_bytes=settings.memory_bytes
        )
        memory.start()
        room_bytes = memory.room_bytes
        self._memory_bytes = min(room_bytes or device_bytes, device_bytes or room_bytes)
        self._runner = TaskRunner(_compiler(executors, settings), memory)
        self._fetcher = Fetcher(_found, lambda item: isinstance(item, ray.ObjectRef))
        self._turn: tuple[int, float] | None = None

    @ray.method(concurrency_group="control")
    def identity(self) -> WorkerIdentity:
        """Who this is; the first answer says that the worker is up."""
        node = ray.get_runtime_context().get_node_id()
        name, version = self._executor
        return WorkerIdentity(os.getpid(), platform.node(), node, name, version, self._memory_bytes)

    @ray.method(concurrency_group="probe")
    def measured(self) -> dict[str, float]:
        """Seconds per unit of work; takes a fraction of a second, beside whatever runs."""
        return measured(room_bytes=self._memory_bytes)

    @ray.method(concurrency_group="control")
    def turn(self) -> tuple[int, float]:
        """The batch that is running, but for an express one, and for how many seconds; -1 if none.

        Those of a parcel are reported together: else nobody would know which of them it is.
        """
        turn = self._turn
        return NOTHING if turn is None else (turn[0], perf_counter() - turn[1])

    def run(self, batch: Batch, carried: Sequence[Any]) -> Any:
        """Run a batch; `carried` are the inputs that come along, then fetched values.

        Each is an array, or a reference to one or to several. The report comes first, then a value
        or a list of them for each group of `batch.apart`, None for one that was not computed.
        """
        self._turn = batch.number, perf_counter()
        try:
            return self._run(batch, carried)
        finally:
            self._turn = None

    def _run(self, batch: Batch, carried: Sequence[Any]) -> Any:
        started_s = perf_counter()
        number, express = batch.number, batch.express
        self._runner.free(batch.freed)  # of other jobs: whatever becomes of the batch
        try:
            found = self._fetcher.fetch(
                batch, carried, lambda: self._runner.is_cancelled(number, express)
            )
        except ServiceError as error:
            report = Report(number, failed=(batch.calls[0].task, error))
            transferring_s = perf_counter() - started_s
        else:
            transferring_s = perf_counter() - started_s
            report = self._report(batch, found)
        report.transferring_s = transferring_s
        report.busy_s += transferring_s
        apart = [_group([report.sent.pop(key, None) for key in keys]) for keys in batch.apart]
        return (report, *apart) if apart else report

    def run_parcel(self, parcel: bytes) -> Answered:
        """Run the batches of a parcel in turn; a report for each.

        One that can't be taken fails its own job, and none of those beside it.
        """
        return answered([self._taken(batch, carried) for batch, carried in unpacked(parcel)])

    def _taken(self, batch: Batch, carried: Sequence[Any]) -> Report:
        try:
            report: Report = self.run(batch, carried)
        except Exception as error:
            LOG.exception("batch %d could not be taken", batch.number)
            task = batch.calls[0].task
            return Report(batch.number, failed=(task, not_taken(task, error)))
        return report

    @ray.method(concurrency_group="express")
    def run_express(self, batch: Batch, carried: Sequence[Any]) -> Any:
        """Run a batch as `run` does, beside another of another job."""
        return self._run(batch, carried)

    def _report(self, batch: Batch, found: Fetched | None) -> Report:
        """Run a batch on what was found, or nothing of it where that was called off."""
        if found is None:
            return self._runner.run(replace(batch, inputs=(), fetched=()))
        operands, arrays = found
        inputs = [array for array in arrays[: len(operands)] if array is not None]
        if len(inputs) < len(operands):
            return Report(batch.number, cut_off=True)
        if operands != batch.inputs:
            batch = replace(batch, inputs=operands)
        return self._runner.run(batch, inputs, arrays[len(operands) :])

    @ray.method(concurrency_group="control")
    def cancel(self, number: int, express: bool) -> None:
        """Stop a batch, running or still to come."""
        self._runner.cancel(number, express)

    @ray.method(concurrency_group="control")
    def leave(self, number: int, express: bool, values: Sequence[ValueKey]) -> None:
        """Wait no longer for what a batch is to fetch: the worker that had it is gone."""
        self._fetcher.leave(number, express, values)

    @ray.method(concurrency_group="control")
    def free(self, freed: Sequence[Freed]) -> None:
        """Drop values."""
        self._fetcher.free(freed)
        self._runner.free(freed)

    @ray.method(concurrency_group="export")
    def export(self, job: int, keys: Sequence[ValueKey]) -> Any:
        """Values by themselves, to hand to another worker; None for one that is not here."""
        arrays = self._runner.export(job, keys)
        return arrays[0] if len(keys) == 1 else tuple(arrays)

    @ray.method(concurrency_group="watch")
    def watch(self) -> None:
        """Never answer: the failure of this call tells at once that the worker is gone."""
        threading.Event().wait()


def _group(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _gpu_bytes(executors: Executors) -> int:
    """What XLA may take of the worker's GPU, which is started now; 0 where that is unknown.

    Where there is none after all, jobs that need it are told so; others go on.
    """
    try:
        executor: Any = executors.get("xla")
    except PullbackError as error:
        LOG.warning("this worker runs nothing on a GPU: %s", error.message)
        return 0
    return int(executor.memory_bytes)


def _compiler(executors: Executors, settings: WorkerSettings) -> Compile:
    """What runs a graph, kept for the next time."""
    chooser = Chooser(executors, Promoter(executors) if settings.promotion else None)
    kept: ProgramCache[Choice] = ProgramCache(settings.programs, PROGRAM_BYTES, choice_bytes)
    makers = {name: ChoiceMaker(chooser, name) for name in NAMES}
    return lambda graph, executor: kept.get(graph, makers[executor])


def _found(references: Sequence[Any]) -> Found:
    """The arrays that references name, None for those that are lost.

    Raises:
        ServiceError: whoever made one found no room for it: nor would whoever made it again.
    """
    try:
        return list(ray.get(references, timeout=FETCH_TIMEOUT_S))
    except (RayError, GetTimeoutError):
        return [_or_none(reference) for reference in references]


def _or_none(reference: Any) -> Any:
    try:
        return ray.get(reference, timeout=FETCH_TIMEOUT_S)
    except STORE_IS_FULL:
        raise no_room("a value that other tasks read") from None
    except (RayError, GetTimeoutError):
        return None
