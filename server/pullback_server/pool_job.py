"""What the pool holds of one job, and the batches it makes of the scheduler's Run commands.

No Ray here: a reference is whatever stands for an array that is elsewhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pullback_graph.errors import PullbackError
from pullback_graph.job import NDArray
from pullback_server.held_input import SMALL_BYTES, Carried, HeldInput
from pullback_server.planner.plan import Block, JobInput, Source, TaskOutput
from pullback_server.pool_worker import Flight, PoolWorker
from pullback_server.scheduler import (
    HERE,
    BatchEnded,
    BatchId,
    Dependencies,
    Event,
    JobId,
    Run,
    TaskDone,
    TaskFailed,
    ValuesLost,
    WorkerId,
)
from pullback_server.scheduler import Call as WantedCall
from pullback_server.traffic import MachineId, Traffic, Whereabouts
from pullback_worker.batch import Batch, Call, InputOperand, Operand, Packed, Report, ValueKey

MOST_GROUP_BYTES = 16 << 20
"""Of values in one object; larger ones are copied no faster together."""


@dataclass(slots=True)
class PoolJob:
    """The dispatcher's side of a job's data.

    Attributes:
        inputs: the job's inputs.
        carriers: what carries an input to workers, or a block of it.
        sent: what tasks handed to the dispatcher, by value.
        exports: values asked of a worker for another, so that they are asked for once.
        results: the results that are there.
        calls: those that were made for jobs of this plan.
    """

    id: JobId
    plan: Dependencies
    inputs: Sequence[HeldInput]
    carriers: Mapping[InputOperand, Carried]
    sent: dict[TaskOutput, Carried] = field(default_factory=dict)
    exports: dict[TaskOutput, Carried] = field(default_factory=dict)
    results: dict[TaskOutput, NDArray] = field(default_factory=dict)
    calls: dict[WantedCall, Call] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    reached: dict[TaskOutput, Whereabouts] = field(default_factory=dict)

    def batch(self, run: Run, worker: PoolWorker) -> Batch:
        """The batch of a command, for its worker; it will have what comes along."""
        calls = tuple([self._call(own) for own in run.calls])
        known = worker.known
        wanted = {call.fingerprint: call.task for call in calls if call.fingerprint not in known}
        tasks = self.plan.tasks
        return Batch(
            number=run.batch,
            job=run.job,
            calls=calls,
            graphs=tuple(tasks[task].graph for task in wanted.values()),
            inputs=self._given(calls, worker),
            fetched=tuple(ValueKey(*fetch.value) for fetch in run.fetches),
            apart=self._groups(run),
            freed=() if run.express else tuple(worker.freed),
            express=run.express,
        )

    def _groups(self, run: Run) -> tuple[tuple[ValueKey, ...], ...]:
        """The values of a batch that are not in its report, those with the same readers together.

        An object costs about a millisecond, whatever its size.
        """
        groups: list[list[ValueKey]] = []
        open_groups: dict[Hashable, tuple[list[ValueKey], int]] = {}
        for call in run.calls:
            for output in call.send:
                value = TaskOutput(call.task, output)
                if self._apart(value):
                    readers = value in self.plan.wanted, *self.plan.reading.get(value, ())
                    group, group_bytes = open_groups.get(readers, ([], MOST_GROUP_BYTES))
                    group_bytes += self.plan.size_bytes(value)
                    if group_bytes > MOST_GROUP_BYTES:
                        group, group_bytes = [], self.plan.size_bytes(value)
                        groups.append(group)
                    group.append(ValueKey(*value))
                    open_groups[readers] = group, group_bytes
        return tuple(map(tuple, groups))

    def _given(self, calls: Iterable[Call], worker: PoolWorker) -> tuple[InputOperand, ...]:
        """The inputs and blocks that come along: what the calls read and the worker has not.

        A block of an input that the worker has all of, or is given all of, comes with that.
        """
        given, carriers = worker.given.setdefault(self.id, set()), self.carriers
        read = {o for call in calls for o in call.operands if isinstance(o, InputOperand)}
        coming = []
        for operand in sorted(read - given):  # the whole of an input before its blocks
            whole = operand if operand.axis < 0 else InputOperand(operand.position)
            carrier = whole if whole in given or operand not in carriers else operand
            self._count(operand, worker, comes=carrier not in given)
            if carrier not in given:
                coming.append(carrier)
                given.add(carrier)
            given.add(operand)
        return tuple(coming)

    def _count(self, operand: InputOperand, worker: PoolWorker, comes: bool) -> None:
        """A worker is given an input, or a block of it, which may come along with the batch."""
        held = self.inputs[operand.position]
        if held.nbytes > SMALL_BYTES:
            block = None if operand.axis < 0 else Block(*operand[1:])
            reached = held.reached(block)
            self.traffic.bring(held.size_bytes(block), reached, worker.id, worker.machine)
        elif comes:  # in the message, for every job anew
            self.traffic.send(held.nbytes, worker.machine != held.machine)

    def made(self, values: Iterable[TaskOutput], worker: PoolWorker) -> None:
        """A worker computed values, and has them."""
        for value in values:
            reached = self.reached.setdefault(value, Whereabouts())
            reached.processes.add(worker.id)
            reached.machines.add(worker.machine)

    def bring(self, value: TaskOutput, process: WorkerId, machine: MachineId) -> None:
        """A process is given a value that another holds."""
        reached = self.reached.setdefault(value, Whereabouts())
        self.traffic.bring(self.plan.size_bytes(value), reached, process, machine)

    def _apart(self, value: TaskOutput) -> bool:
        """Whether a value is an object of its own: large, and other workers will read it."""
        plan = self.plan
        end = plan.ends[0] if plan.ends else len(plan.tasks)
        read = value not in plan.wanted or any([k < end for k in plan.reading.get(value, ())])
        return read and self.plan.size_bytes(value) > SMALL_BYTES

    def drop(self, holder: WorkerId, values: Iterable[TaskOutput]) -> None:
        """A holder is to have values no more; results stay.

        What is here is read by others where it is a worker that drops its copy.
        """
        for value in values:
            if holder == HERE or value not in self.sent:
                self._forget(value)

    def lost(self, run: Run, values: Iterable[TaskOutput]) -> None:
        """A batch did not find values: those it was brought are no good.

        Those it was to find on its worker say nothing of what is here.
        """
        brought = {value for value, _ in run.fetches}
        for value in brought.intersection(values):
            self._forget(value)

    def _forget(self, value: TaskOutput) -> None:
        self.sent.pop(value, None)
        self.exports.pop(value, None)
        self.reached.pop(value, None)

    def _call(self, wanted: WantedCall) -> Call:
        """One task of a batch; jobs of one plan share it, and so do those of a parcel."""
        call = self.calls.get(wanted)
        if call is None:
            task, keep, send = wanted
            own = self.plan.tasks[task]
            operands = tuple([_operand(source) for source in own.operands])
            fingerprint = self.plan.fingerprints[task]
            call = Call(task, fingerprint, operands, keep, send, own.peak_bytes, own.executor)
            self.calls[wanted] = call
        return call


def carriers_of(
    groups: Sequence[Sequence[ValueKey]], references: Iterable[Carried]
) -> dict[TaskOutput, Carried]:
    """What carries each value of groups that were handed back together."""
    found: dict[TaskOutput, Carried] = {}
    for keys, reference in zip(groups, references, strict=True):
        for position, key in enumerate(keys):
            own = reference if len(keys) == 1 else Packed(reference, position)
            found[TaskOutput(*key)] = own
    return found


def _operand(source: Source) -> Operand:
    if isinstance(source, TaskOutput):
        return ValueKey(source.task, source.output)
    assert isinstance(source, JobInput)
    if source.block is None:
        return InputOperand(source.index)
    return InputOperand(source.index, *source.block)


def events_of(
    report: Report,
    flight: Flight,
    unread: frozenset[TaskOutput],
    now_s: float,
    company_s: float = 0.0,
) -> list[Event]:
    """What a report tells the scheduler.

    Args:
        unread: values handed back that could not be read; their tasks count as not run.
        company_s: how long its worker was busy with those behind it of the same call.
    """
    run, network_bytes = flight.run, flight.network_bytes
    worker, batch = run.worker, run.batch
    hurt = {value.task for value in unread}
    events: list[Event] = []
    ended_s = now_s - company_s
    ran_s = ended_s - report.busy_s + report.transferring_s  # when it had all that it was to fetch
    transferring_s = 0.0 if report.lost else report.transferring_s  # else it waited, for nothing
    for task, running_s, compiling_s, hit, peak_bytes, executor, offset_s in report.done:
        if task not in hurt:
            events.append(
                TaskDone(
                    now_s=now_s,
                    cause="reported",
                    worker=worker,
                    batch=batch,
                    task=task,
                    running_s=running_s,
                    compiling_s=compiling_s,
                    transferring_s=transferring_s,
                    peak_bytes=peak_bytes,
                    program_cache_hit=hit,
                    executor=executor,
                    started_s=ran_s + offset_s,
                    network_bytes=network_bytes,
                )
            )
            transferring_s, network_bytes = 0.0, 0
    events += _losses(report, run, now_s)
    if report.failed is not None:
        task, error = report.failed
        events.append(
            TaskFailed(
                now_s=now_s, cause="raised", worker=worker, batch=batch, task=task, error=error
            )
        )
    events.append(ended(worker, batch, now_s, report.busy_s, company_s))
    return events


def refused(run: Run, fault: PullbackError, now_s: float) -> list[Event]:
    """A batch that a worker could not even take fails its job."""
    task = run.calls[0].task
    failed = TaskFailed(
        now_s=now_s, cause="refused", worker=run.worker, batch=run.batch, task=task, error=fault
    )
    return [failed, ended(run.worker, run.batch, now_s)]


def ended(
    worker: WorkerId, batch: BatchId, now_s: float, busy_s: float = 0.0, company_s: float = 0.0
) -> BatchEnded:
    """A batch is over."""
    return BatchEnded(
        now_s=now_s,
        cause="reported",
        worker=worker,
        batch=batch,
        busy_s=busy_s,
        company_s=company_s,
    )


def _losses(report: Report, run: Run, now_s: float) -> list[Event]:
    """An event per holder of what was not to be had."""
    holder_of = dict(run.fetches)
    lost: dict[WorkerId, list[TaskOutput]] = {}
    for key in report.lost:
        value = TaskOutput(*key)
        lost.setdefault(holder_of.get(value, run.worker), []).append(value)
    return [
        ValuesLost(
            now_s=now_s,
            cause="not found",
            worker=run.worker,
            batch=run.batch,
            values=tuple(values),
            holder=holder,
        )
        for holder, values in lost.items()
    ]
