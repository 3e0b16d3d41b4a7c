"""A Plan: a DAG of tasks in topological order. A function of the job, never of the workers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple, TypeAlias

from pullback_graph.graph import Graph, Input
from pullback_graph.job import Split


class Phase(Enum):
    """What part of the work a task does; FUSED is forward and backward in one program."""

    FORWARD = "forward"
    BACKWARD = "backward"
    FUSED = "fused"
    REDUCE = "reduce"

    __hash__ = object.__hash__  # members are unique, and each task's time is counted by them


class Placement(Enum):
    """The kind of worker a task runs on."""

    CPU = "cpu"
    GPU = "gpu"

    __hash__ = object.__hash__  # members are unique, and the scheduler looks much up by them


class Block(NamedTuple):
    """Elements start:stop along one axis of an input."""

    axis: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class JobInput:
    """An operand that is (a block of) the plan's input number `index`."""

    index: int
    block: Block | None = None


class TaskOutput(NamedTuple):
    """An operand that is output number `output` of task number `task`."""

    task: int
    output: int


Source: TypeAlias = "JobInput | TaskOutput"


@dataclass(frozen=True, slots=True)
class Task:
    """One graph to run: an operand per graph input, in order. Equal shards share one Graph object.

    Attributes:
        shard: position of the shard the task belongs to (neighbours share a worker), or -1.
        peak_bytes: estimated memory while it runs, operands and results included.
        executor: the one that must run it, or `auto`.
    """

    graph: Graph
    operands: tuple[Source, ...]
    phase: Phase
    flops: float
    size_bytes: float
    peak_bytes: int
    placement: Placement = Placement.CPU
    shard: int = -1
    executor: str = "auto"


@dataclass(frozen=True)
class Plan:
    """Tasks in topological order, and where each result comes from.

    Attributes:
        inputs: names and types of what the job must bring.
        results: a source per result, in the lowered graph's output order.
        split: what was done; `reason` says why in words.
        estimated_s: predicted run time on one worker.
    """

    inputs: tuple[Input, ...]
    tasks: tuple[Task, ...]
    results: tuple[Source, ...]
    split: Split
    reason: str
    estimated_s: float
    largest_call_s: float = 0.0

    @cached_property
    def digest(self) -> str:
        """Hash of everything that decides the bits of the results, 16 hexadecimal digits."""
        state = hashlib.sha256()
        for task in self.tasks:
            state.update(f"{task.graph.fingerprint}{task.operands}{task.phase.value}".encode())
        state.update(f"{self.results}".encode())
        return state.hexdigest()[:16]
