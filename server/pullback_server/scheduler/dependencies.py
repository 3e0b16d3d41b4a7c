"""A plan with its edges looked up from both ends: who needs what, and what a task costs.

Made once per plan, and shared by all jobs that run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from operator import add
from typing import NamedTuple

from pullback_graph.op import Cost
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import (
    JobInput,
    Phase,
    Placement,
    Plan,
    Source,
    Task,
    TaskOutput,
)
from pullback_server.planner.rates import Price, priced
from pullback_worker.numpy_work import Work, work_of

MOST_FINISH_BYTES = 64 << 20
"""Memory traffic of the tasks that the dispatcher runs itself at the end of a job: some 10 ms."""
MOST_DEEP_BYTES = 4 << 20
MOST_DEEP_VALUE_BYTES = 1 << 16
"""The same where these are more than one level of joins, and of each value: every level brings
it twice the values, which are to be small beside the calls of workers that they spare."""
MOST_LEVELS = 8
"""Of joins that it runs: what takes about as long as three calls of workers."""
MOST_FINISH_FLOPS = 1e5
"""Of each of those tasks, where it does more than join values."""


class Layout(NamedTuple):
    """Where the shards of a plan belong.

    Attributes:
        found_for: the generation of workers, and whether the plan's first program was measured.
        homes: a worker per task; None where spreading it never pays.
        brief: whether one batch holds all of it: it is not spread where others want workers too.
    """

    found_for: tuple[int, bool]
    homes: Sequence[int] | None = None
    brief: bool = False


class Dependencies:
    """The edges of a plan.

    Attributes:
        tasks: those of the plan, in topological order.
        outputs: per task, its values.
        operands: per task, the values of other tasks it reads, each once; the very objects of
            `outputs`, which makes them quick to look up.
        consumers: per task, the tasks that read any of its values, ascending.
        roots: the tasks that read none, ascending.
        reading: per value that is read, the tasks that read it, ascending.
        readers: how many those are.
        size_bytes: of a value.
        results: values that are results of the job.
        fingerprints: per task, that of its graph.
        estimates_s: per task, run time by the cost table.
        works: per task, what it asks of a machine.
        layout: where its shards belong, if that was found.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tasks = plan.tasks
        self.outputs = [
            tuple([TaskOutput(task, k) for k in range(len(own.graph.outputs))])
            for task, own in enumerate(plan.tasks)
        ]
        self.operands = [self._values(task) for task in plan.tasks]
        self.roots = [task for task, values in enumerate(self.operands) if not values]
        self.results = frozenset(r for r in plan.results if isinstance(r, TaskOutput))
        self.consumers: list[list[int]] = [[] for _ in plan.tasks]
        self.reading: dict[TaskOutput, list[int]] = {}
        self.layout: Layout | None = None
        self.size_bytes: Callable[[TaskOutput], int] = _SizesBytes(plan).__getitem__
        self._prices: tuple[int, Sequence[Price]] | None = None
        self._stems: dict[int, Dependencies] = {}
        for position, values in enumerate(self.operands):
            for value in values:
                self.reading.setdefault(value, []).append(position)
            for producer in sorted({value.task for value in values}):
                self.consumers[producer].append(position)
        self.readers = {value: len(tasks) for value, tasks in self.reading.items()}

    def _values(self, task: Task) -> tuple[TaskOutput, ...]:
        sources = [source for source in task.operands if isinstance(source, TaskOutput)]
        return tuple([self.outputs[task][output] for task, output in dict.fromkeys(sources)])

    @cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """Per task, the fingerprint of its graph."""
        return tuple(task.graph.fingerprint for task in self.plan.tasks)

    @cached_property
    def estimates_s(self) -> tuple[float, ...]:
        """Per task, the run time the cost table predicts."""
        return tuple(_estimate_s(task) for task in self.plan.tasks)

    @cached_property
    def works(self) -> tuple[Work, ...]:
        """Per task, its work; equal graphs are looked at once."""
        graphs = {id(task.graph): task.graph for task in self.plan.tasks}
        found = {key: work_of(graph) for key, graph in graphs.items()}
        return tuple(found[id(task.graph)] for task in self.plan.tasks)

    def prices(self, version: int, unit_s: Mapping[str, float]) -> Sequence[Price]:
        """Per task, the price of its work by some version of measured units."""
        if self._prices is None or self._prices[0] != version:
            by_work = {id(work): priced(work, unit_s) for work in self.works}
            self._prices = version, [by_work[id(work)] for work in self.works]
        return self._prices[1]

    @cached_property
    def made_bytes(self) -> tuple[int, ...]:
        """Per task, the size of its values."""
        return tuple([sum(map(self.size_bytes, values)) for values in self.outputs])

    @cached_property
    def moved_bytes(self) -> tuple[int, ...]:
        """Per task, the size of all that it reads of others and of its values."""
        read = [sum(map(self.size_bytes, values)) for values in self.operands]
        return tuple(map(add, read, self.made_bytes))

    @cached_property
    def peak_bytes(self) -> int:
        """The most memory that one of its tasks takes."""
        return max([task.peak_bytes for task in self.plan.tasks], default=0)

    @cached_property
    def continuations(self) -> tuple[tuple[int, ...], ...]:
        """Per task, those of its consumers that do more than join values."""
        joins = [task.phase is Phase.REDUCE for task in self.tasks]
        return tuple(tuple([c for c in own if not joins[c]]) for own in self.consumers)

    @cached_property
    def total_s(self) -> float:
        """Predicted time of all tasks."""
        return sum(self.estimates_s)

    @cached_property
    def sharded(self) -> bool:
        """Whether any task belongs to a shard."""
        return any(task.shard >= 0 for task in self.plan.tasks)

    @cached_property
    def rounds(self) -> int:
        """How often shards wait for one another, and whoever asked for all of them."""
        before = [0] * len(self.tasks)
        for reader, task in enumerate(self.tasks):
            for value in self.operands[reader]:
                own = self.tasks[value.task]
                joined = own.phase is Phase.REDUCE or own.shard != task.shard
                waits = joined and task.phase is not Phase.REDUCE
                before[reader] = max(before[reader], before[value.task] + waits)
        return max(before, default=0) + 1

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The first task of the plan's end: with one level of joins, with two, and so on.

        The end is the last sums of shards, and the little that follows on them. Empty for a plan
        without such an end, or that is nothing else.
        """
        return tuple(filter(None, _ends(self))) if self.sharded else ()

    def stem(self, levels: int = 1) -> Dependencies | None:
        """The plan without its end; None where it has none.

        Where several workers give what those sums are of, the dispatcher adds it up, as it comes by
        there anyway; on a worker a sum would take two ways more.

        Args:
            levels: of joins in the end, at most.
        """
        ends = self.ends[:levels]
        if not ends:
            return None
        found = self._stems.get(len(ends))
        if found is None:
            whole, first = self.plan, ends[-1]
            results = tuple(dict.fromkeys(self._read_behind(first)))
            found = Dependencies(replace(whole, tasks=whole.tasks[:first], results=results))
            self._stems[len(ends)] = found
        return found

    def _read_behind(self, first: int) -> Iterator[Source]:
        """The values before a task that it and those behind it read, or that are results."""
        read = [value for task in range(first, len(self.tasks)) for value in self.operands[task]]
        return (value for value in (*read, *self.plan.results) if not _is_of(value, first))

    @cached_property
    def wanted(self) -> frozenset[TaskOutput]:
        """The values that the dispatcher itself may be handed: results, and what ends are of."""
        read = [value for first in self.ends for value in self._read_behind(first)]
        return self.results.union([value for value in read if isinstance(value, TaskOutput)])

    @cached_property
    def placements(self) -> frozenset[Placement]:
        """The kinds of worker the plan needs."""
        return frozenset(task.placement for task in self.plan.tasks)

    @cached_property
    def result_tasks(self) -> frozenset[int]:
        """The tasks that give results."""
        return frozenset(value.task for value in self.results)

    def input_bytes(self, tasks: Iterable[int]) -> int:
        """Size of the inputs, and of the blocks of inputs, that tasks read, each once."""
        operands = [source for task in tasks for source in self.plan.tasks[task].operands]
        inputs = {source for source in operands if isinstance(source, JobInput)}
        return sum([_input_bytes(self.plan, source) for source in inputs])


def _ends(plan: Dependencies) -> list[int]:
    """The first of the tasks that end a plan, by levels of joins: of one, of two, and so on."""
    joins, levels, size_bytes = [0] * len(plan.tasks), 0, 0.0
    found: dict[int, int] = {}
    for number, task in reversed([*enumerate(plan.tasks)]):
        behind = max([joins[k] for k in plan.consumers[number]], default=0)
        joins[number] = behind + (task.phase is Phase.REDUCE)
        levels = max(levels, joins[number])
        own_bytes = [plan.size_bytes(value) for value in plan.operands[number]]
        size_bytes += task.size_bytes + sum(own_bytes)
        if levels > MOST_LEVELS or not _may_end(task):
            break
        most_bytes = max(own_bytes, default=0)
        if levels > 1 and (size_bytes > MOST_DEEP_BYTES or most_bytes > MOST_DEEP_VALUE_BYTES):
            found.pop(levels, None)  # not all of that level
            break
        if size_bytes > MOST_FINISH_BYTES:
            break
        found[levels] = number
    return [first for level, first in found.items() if level]


def _may_end(task: Task) -> bool:
    """Whether the dispatcher may run a task: a sum, or little, of nothing but others' values."""
    return (
        (task.phase is Phase.REDUCE or task.flops <= MOST_FINISH_FLOPS)
        and task.placement is Placement.CPU
        and task.executor in ("auto", "numpy")
        and all([isinstance(source, TaskOutput) for source in task.operands])
    )


def _is_of(source: Source, first: int) -> bool:
    """Whether a value is of a task from so many on."""
    return isinstance(source, TaskOutput) and source.task >= first


class _SizesBytes(dict[TaskOutput, int]):
    """Sizes of values, each found when it is first asked for."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def __missing__(self, value: TaskOutput) -> int:
        graph = self._plan.tasks[value.task].graph
        size_bytes = self[value] = graph.output_type(value.output).size_bytes
        return size_bytes


def _estimate_s(task: Task) -> float:
    return COST_TABLE.seconds(Cost(task.flops, task.size_bytes, 1 + task.graph.cost.calls))


def _input_bytes(plan: Plan, source: JobInput) -> int:
    type, block = plan.inputs[source.index].type, source.block
    if block is None:
        return type.size_bytes
    return type.size_bytes * (block.stop - block.start) // max(type.shape[block.axis], 1)
