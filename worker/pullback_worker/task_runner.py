"""Runs batches of tasks in one process: holds their values, compiles graphs, can be stopped.

No Ray here: the actor hands it arrays and hands its report on. `run` is called from one thread at a
time, and for express batches from a second, with other jobs; `cancel`, `free` and `export` may come
from others meanwhile.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeAlias

import numpy as np

from pullback_graph.errors import Cancelled, ExecutionError, OutOfMemory, PullbackError
from pullback_graph.graph import Graph
from pullback_worker.batch import (
    Batch,
    Call,
    Freed,
    InputOperand,
    Operand,
    Report,
    TaskReport,
    ValueKey,
)
from pullback_worker.choice import Choice, Ran, run
from pullback_worker.executor import CancelFlag, NDArray
from pullback_worker.lane_clock import Activity, LaneClock
from pullback_worker.memory_watch import MemoryWatch
from pullback_worker.program_cache import Lookup

MOST_GRAPHS = 4096
SPARE_BYTES = 1 << 20
"""Arrays of at least this size are written over, where nobody wants them any more."""


Compile: TypeAlias = Callable[[Graph, str], Lookup[Choice]]
"""What runs a graph, for what is asked for: an executor's name, or `auto`."""


class _Missing(Exception):
    """Operands that are not here."""

    def __init__(self, keys: list[ValueKey]) -> None:
        super().__init__(keys)
        self.keys = keys


@dataclass(slots=True)
class _Lane:
    """Batches that run one after another: how those that are not over are stopped."""

    flags: dict[int, CancelFlag] = field(default_factory=dict)
    last_ended: int = -1
    activity: Activity = field(default_factory=Activity)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A batch while it runs; `passing` are outputs that later tasks of it read."""

    job: int
    express: bool
    graphs: Mapping[str, Graph]
    flag: CancelFlag
    report: Report
    last_reader: Mapping[ValueKey, int]
    passing: dict[ValueKey, NDArray] = field(default_factory=dict)
    started_s: float = field(default_factory=perf_counter)


class TaskRunner:
    """The state of one worker.

    Args:
        compile: gives what runs a graph.
        memory: watches what the process takes.
    """

    def __init__(self, compile: Compile, memory: MemoryWatch | None = None) -> None:
        self._compile = compile
        self._memory = memory or MemoryWatch()
        self._lock = threading.Lock()
        self._graphs: OrderedDict[str, Graph] = OrderedDict()
        self._inputs: dict[int, dict[InputOperand, NDArray]] = {}
        self._values: dict[int, dict[ValueKey, NDArray]] = {}
        self._lanes = {express: _Lane() for express in (False, True)}

    # --- what the actor calls ---------------------------------------------------------------------

    def run(
        self,
        batch: Batch,
        inputs: Sequence[NDArray] = (),
        fetched: Sequence[NDArray | None] = (),
    ) -> Report:
        """Run a batch.

        Args:
            inputs: an array per input, or block of one, of `batch.inputs`.
            fetched: an array per value of `batch.fetched`, or None for one that is lost.
        """
        started_s = perf_counter()
        report = Report(batch.number)
        with self._lanes[batch.express].activity:
            self.free(batch.freed)
            self._take_in(batch, inputs, fetched, report)
            graphs = self._known(batch)
            wanted = {call.fingerprint for call in batch.calls}
            report.unknown_graphs = sorted(wanted - graphs.keys())
            if not report.unknown_graphs:
                self._run_calls(batch, graphs, report)
            self._end(batch)
        report.busy_s = perf_counter() - started_s
        return report

    def cancel(self, number: int, express: bool = False) -> None:
        """Stop a batch, running or still to come."""
        with self._lock:
            lane = self._lanes[express]
            if number > lane.last_ended:
                lane.flags.setdefault(number, CancelFlag()).set()

    def is_cancelled(self, number: int, express: bool = False) -> bool:
        """Whether a batch is to be stopped."""
        flag = self._lanes[express].flags.get(number)
        return flag is not None and flag.is_set

    def free(self, freed: Iterable[Freed]) -> None:
        """Drop values."""
        with self._lock:
            for job, keys in freed:
                if keys is None:
                    self._inputs.pop(job, None)
                    self._values.pop(job, None)
                    continue
                values = self._values.get(job, {})
                for key in keys:
                    values.pop(key, None)

    def export(self, job: int, keys: Sequence[ValueKey]) -> list[NDArray | None]:
        """Values that are held, to hand to another worker; None for one that is not."""
        with self._lock:
            values = self._values.get(job, {})
            return [values.get(key) for key in keys]

    @property
    def held(self) -> int:
        """How many values and inputs are held."""
        values = sum(len(values) for values in self._values.values())
        return values + sum(len(inputs) for inputs in self._inputs.values())

    # --- a batch ----------------------------------------------------------------------------------

    def _take_in(
        self,
        batch: Batch,
        inputs: Sequence[NDArray],
        fetched: Sequence[NDArray | None],
        report: Report,
    ) -> None:
        """Store what came along."""
        with self._lock:
            for graph in batch.graphs:
                self._graphs[graph.fingerprint] = graph
            if batch.inputs:
                own = self._inputs.setdefault(batch.job, {})
                own.update(zip(batch.inputs, inputs, strict=True))
            values = self._values.setdefault(batch.job, {})
            for key, array in zip(batch.fetched, fetched, strict=True):
                if array is None:
                    report.lost.append(key)
                else:
                    values[key] = array

    def _known(self, batch: Batch) -> dict[str, Graph]:
        """The graphs of a batch that are here."""
        found = {}
        with self._lock:
            for call in batch.calls:
                if (graph := self._graphs.get(call.fingerprint)) is not None:
                    found[call.fingerprint] = graph
                    self._graphs.move_to_end(call.fingerprint)
        return found

    def _run_calls(self, batch: Batch, graphs: Mapping[str, Graph], report: Report) -> None:
        with self._lock:
            flag = self._lanes[batch.express].flags.setdefault(batch.number, CancelFlag())
        last_reader = {key: call.task for call in batch.calls for key in _keys(call.operands)}
        under_way = _UnderWay(batch.job, batch.express, graphs, flag, report, last_reader)
        for call in batch.calls:
            if flag.is_set:
                return
            try:
                self._run_call(call, under_way)
            except _Missing as missing:
                report.lost += [key for key in missing.keys if key not in report.lost]
            except Cancelled:
                return
            except PullbackError as error:
                if not (batch.express and isinstance(error, OutOfMemory)):  # else it runs in turn
                    report.failed = call.task, error
                return

    def _run_call(self, call: Call, under_way: _UnderWay) -> None:
        """Run one task; its outputs go where the call says.

        Raises:
            Cancelled: the flag was set meanwhile.
            OutOfMemory: the memory cap does not allow it.
            PullbackError: the program failed.
        """
        offset_s = perf_counter() - under_way.started_s
        operands = self._operands(call, under_way)
        choice, hit, compile_s = self._compiled(call, under_way.graphs[call.fingerprint])
        spare = self._spare(call, operands, under_way)
        ran, peak_bytes = self._execute(call, choice, operands, spare, under_way)
        self._place(call, ran.outputs, under_way)
        name = ran.running.name
        done = TaskReport(call.task, ran.seconds, compile_s, hit, peak_bytes, name, offset_s)
        under_way.report.done.append(done)

    def _place(self, call: Call, outputs: Sequence[NDArray], under_way: _UnderWay) -> None:
        """Put outputs where they are wanted, and drop operands read for the last time."""
        last_reader, passing = under_way.last_reader, under_way.passing
        for key in _keys(call.operands):
            if last_reader[key] == call.task:
                passing.pop(key, None)
        with self._lock:
            held = self._values.setdefault(under_way.job, {})
            for output, array in enumerate(outputs):
                key = ValueKey(call.task, output)
                if key in last_reader:
                    passing[key] = array
                if output in call.keep:
                    held[key] = array
                if output in call.send:
                    under_way.report.sent[key] = array

    def _operands(self, call: Call, under_way: _UnderWay) -> list[NDArray]:
        keys = _keys(call.operands)
        with self._lock:
            inputs, held = self._inputs.get(under_way.job, {}), self._values.get(under_way.job, {})
            sources = [under_way.passing if key in under_way.passing else held for key in keys]
            found = {key: source.get(key) for key, source in zip(keys, sources, strict=True)}
        missing = [key for key, array in found.items() if array is None]
        if missing:
            raise _Missing(missing)
        arrays = {key: array for key, array in found.items() if array is not None}
        return [
            _input(inputs, operand) if isinstance(operand, InputOperand) else arrays[operand]
            for operand in call.operands
        ]

    def _compiled(self, call: Call, graph: Graph) -> Lookup[Choice]:
        try:
            return self._compile(graph, call.executor)
        except PullbackError:
            raise
        except Exception as error:
            raise _broken(call, "could not be compiled", error) from error

    def _spare(
        self, call: Call, operands: Sequence[NDArray], under_way: _UnderWay
    ) -> frozenset[int]:
        """The large operands that this batch made, and that nobody reads after this task."""
        large = [k for k, array in enumerate(operands) if array.nbytes >= SPARE_BYTES]
        if not large:
            return frozenset()
        passing, last_reader = under_way.passing, under_way.last_reader
        with self._lock:
            wanted = [*self._values.get(under_way.job, {}).values()]
        wanted += under_way.report.sent.values()
        wanted += [array for key, array in passing.items() if last_reader[key] != call.task]
        seen = Counter(map(id, (*wanted, *operands)))
        made = {id(passing[key]) for key in _keys(call.operands) if key in passing}
        return frozenset([k for k in large if _is_spare(operands[k], made, seen)])

    def _execute(
        self,
        call: Call,
        choice: Choice,
        operands: list[NDArray],
        spare: frozenset[int],
        under_way: _UnderWay,
    ) -> tuple[Ran, int]:
        """The run, and the most private memory the process had meanwhile.

        How long it waits for a processor that it shares with the other lane says nothing of it.
        """
        there = {id(array): array.nbytes for array in operands}
        flag, express = under_way.flag, under_way.express
        if not self._memory.room_for(max(0, call.peak_bytes - sum(there.values())), express):
            raise self._too_large(call)
        with self._memory.over(flag, express) as watched:
            try:
                clock = LaneClock(self._lanes[not express].activity)
                ran = run(choice, operands, flag, clock, spare)
            except Cancelled:
                if watched.exceeded:
                    raise self._too_large(call) from None
                raise
            except PullbackError:
                raise
            except MemoryError as error:
                raise self._too_large(call) from error
            except Exception as error:
                raise _broken(call, "failed", error) from error
        there.update({id(array): array.nbytes for array in ran.outputs})
        own_bytes = sum(there.values())
        return ran, max(watched.peak_bytes, own_bytes)

    def _too_large(self, call: Call) -> OutOfMemory:
        cap = f" of {self._memory.cap_bytes} bytes" if self._memory.cap_bytes else ""
        return OutOfMemory(
            f"task {call.task}, estimated at {call.peak_bytes} bytes, does not fit in its worker's "
            f"memory{cap}; use smaller inputs or more shards"
        )

    def _end(self, batch: Batch) -> None:
        with self._lock:
            lane = self._lanes[batch.express]
            lane.last_ended = batch.number
            for number in [n for n in lane.flags if n <= batch.number]:
                del lane.flags[number]
            if not self._values.get(batch.job, True):
                del self._values[batch.job]
            while len(self._graphs) > MOST_GRAPHS:
                self._graphs.popitem(last=False)


def _keys(operands: Iterable[Operand]) -> list[ValueKey]:
    return [operand for operand in operands if isinstance(operand, ValueKey)]


def _is_spare(array: NDArray, made: Collection[int], seen: Mapping[int, int]) -> bool:
    """Whether an array is one of those made, seen once, and its memory is its own."""
    flags = array.flags
    return id(array) in made and seen[id(array)] == 1 and flags.owndata and flags.writeable


def _input(inputs: Mapping[InputOperand, NDArray], operand: InputOperand) -> NDArray:
    """The input or block that an operand names, cut from the whole where it did not come by itself.

    Contiguous: a view where the axis is the first. Layout decides bits, so it is the same here as
    wherever else a plan runs.
    """
    found = inputs.get(operand)
    if found is not None:
        return found
    array = inputs[InputOperand(operand.position)]
    before = (slice(None),) * operand.axis
    return np.ascontiguousarray(array[(*before, slice(operand.start, operand.stop))])


def _broken(call: Call, what: str, error: Exception) -> ExecutionError:
    return ExecutionError(
        f"the program of task {call.task} {what}: {type(error).__name__}: {error}"
    )
