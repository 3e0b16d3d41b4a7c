"""Plans within a plan: a task exchanged for the tasks of a plan of its graph.

A lane of a branch split may have a batch axis of its own, and is then sharded along that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pullback_graph.builder import Builder
from pullback_graph.ref import do
from pullback_graph.types import ArrayType
from pullback_server.planner.plan import Block, JobInput, Phase, Plan, Source, Task, TaskOutput
from pullback_server.planner.task_list import TaskList


def nested(outer: Plan, inner: Mapping[int, Plan]) -> tuple[TaskList, tuple[Source, ...]]:
    """The tasks of a plan of whole inputs, some exchanged for a plan each; a source per result.

    Args:
        inner: plans by number of the task they stand for. Homes of one task stay together.
    """
    made = TaskList()
    sources: dict[TaskOutput, Source] = {}
    stride = 1 + max((task.shard for plan in inner.values() for task in plan.tasks), default=0)
    for number, task in enumerate(outer.tasks):
        operands = [sources[s] if isinstance(s, TaskOutput) else s for s in task.operands]
        home = max(task.shard, 0) * stride
        if number in inner:
            results = _spliced(made, inner[number], operands, task.phase, home)
        else:
            own = made.add(task.graph, operands, task.phase, home)
            results = [TaskOutput(own, k) for k in range(len(task.graph.outputs))]
        sources.update({TaskOutput(number, k): source for k, source in enumerate(results)})
    return made, tuple([sources[s] if isinstance(s, TaskOutput) else s for s in outer.results])


def _spliced(
    made: TaskList, plan: Plan, operands: Sequence[Source], phase: Phase, home: int
) -> list[Source]:
    """Add a plan's tasks, its inputs being the operands of the task it stands for."""
    blocks = _blocks(made, plan, operands, phase, home)
    first = len(made.tasks)

    def source(own: Source) -> Source:
        if isinstance(own, TaskOutput):
            return TaskOutput(first + own.task, own.output)
        outer = operands[own.index]
        if own.block is None:
            return outer
        if isinstance(outer, JobInput):
            assert outer.block is None, "outer plans take whole inputs"
            return JobInput(outer.index, own.block)
        return blocks[outer, own.block]

    for task in plan.tasks:
        own_phase = Phase.REDUCE if task.phase is Phase.REDUCE else phase
        made.add(task.graph, [source(s) for s in task.operands], own_phase, home + _home(task))
    return [source(s) for s in plan.results]


def _home(task: Task) -> int:
    return max(task.shard, 0)


def _blocks(
    made: TaskList, plan: Plan, operands: Sequence[Source], phase: Phase, home: int
) -> dict[tuple[Source, Block], Source]:
    """The blocks of other tasks' results that a plan reads: a task a result cuts them all."""
    wanted: dict[tuple[TaskOutput, ArrayType], dict[Block, None]] = {}
    for task in plan.tasks:
        for own in task.operands:
            if isinstance(own, JobInput) and own.block is not None:
                outer = operands[own.index]
                if isinstance(outer, TaskOutput):
                    type = plan.inputs[own.index].type
                    wanted.setdefault((outer, type), {})[own.block] = None
    found: dict[tuple[Source, Block], Source] = {}
    for (outer, type), blocks in wanted.items():
        builder = Builder()
        whole = builder.input("whole", type)
        cuts = [
            do.slice(
                whole,
                starts=_at(block.axis, block.start, (0,) * type.rank),
                stops=_at(block.axis, block.stop, type.shape),
                steps=(1,) * type.rank,
            )
            for block in blocks
        ]
        graph = builder.build([(f"y{k}", ref) for k, ref in enumerate(cuts)])
        cutting = made.add(graph, [outer], phase, home)
        found.update({(outer, block): TaskOutput(cutting, k) for k, block in enumerate(blocks)})
    return found


def _at(axis: int, size: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])
