"""The states of a task, and the one table of their transitions; the diagram is made from it.

A transition that the table has not cannot happen: `after` fails on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class TaskState(Enum):
    """Where a task stands."""

    WAITING = "waiting"
    """An operand is still to be computed."""
    READY = "ready"
    """Every operand is held somewhere; it waits for a worker."""
    RUNNING = "running"
    """It is part of a batch that a worker has."""
    DONE = "done"
    """Its values are held, and something still needs one of them."""
    RELEASED = "released"
    """Nothing needs its values any more; they are freed."""
    FAILED = "failed"
    """It made its job fail."""
    CANCELLED = "cancelled"
    """Its job ended without it."""

    __hash__ = object.__hash__  # as quick as a member is unique: it keys the table


@dataclass(slots=True)
class Loss:
    """Of a worker: how many tasks may have brought it about that have not run through since."""

    tasks: int = 0


class Trigger(Enum):
    """What moves a task from one state to another."""

    OPERANDS_HELD = "operands held"
    OPERANDS_LOST = "operands lost"
    BATCHED = "batched"
    COMPLETED = "completed"
    COPIED = "copied"
    COPY_ENDED = "copy ended"
    RETURNED = "returned unrun"
    WORKER_LOST = "worker lost"
    VALUES_LOST = "values lost"
    LAST_USED = "last used"
    NEEDED_AGAIN = "needed again"
    RAISED = "raised"
    JOB_ENDED = "job ended"

    __hash__ = object.__hash__


_S, _T = TaskState, Trigger

TRANSITIONS: dict[tuple[TaskState, Trigger], TaskState] = {
    (_S.WAITING, _T.OPERANDS_HELD): _S.READY,
    (_S.WAITING, _T.BATCHED): _S.RUNNING,  # behind its operands, on the same worker
    (_S.READY, _T.BATCHED): _S.RUNNING,
    (_S.READY, _T.OPERANDS_LOST): _S.WAITING,
    (_S.RUNNING, _T.COMPLETED): _S.DONE,
    (_S.RUNNING, _T.COPIED): _S.RUNNING,  # a second worker tries it too
    (_S.RUNNING, _T.COPY_ENDED): _S.RUNNING,  # one of two attempts is over, the other goes on
    (_S.RUNNING, _T.RETURNED): _S.WAITING,
    (_S.RUNNING, _T.WORKER_LOST): _S.WAITING,
    (_S.RUNNING, _T.RAISED): _S.FAILED,
    (_S.DONE, _T.LAST_USED): _S.RELEASED,
    (_S.DONE, _T.VALUES_LOST): _S.WAITING,
    (_S.RELEASED, _T.NEEDED_AGAIN): _S.WAITING,
    (_S.WAITING, _T.JOB_ENDED): _S.CANCELLED,
    (_S.READY, _T.JOB_ENDED): _S.CANCELLED,
    (_S.RUNNING, _T.JOB_ENDED): _S.CANCELLED,
    (_S.DONE, _T.JOB_ENDED): _S.RELEASED,
    (_S.RELEASED, _T.JOB_ENDED): _S.RELEASED,
    (_S.FAILED, _T.JOB_ENDED): _S.FAILED,
}
"""(state, trigger) -> state."""

AFTER: dict[Trigger, dict[TaskState, TaskState]] = {
    trigger: {state: after for (state, own), after in TRANSITIONS.items() if own is trigger}
    for trigger in Trigger
}
"""The same by trigger, which a look-up needs no pair for."""

FINISHED = frozenset({TaskState.DONE, TaskState.RELEASED})
"""States in which a task has run and need not run."""


def after(state: TaskState, trigger: Trigger) -> TaskState:
    """The state that follows.

    Raises:
        KeyError: the table has no such transition: a fault of the scheduler.
    """
    return AFTER[trigger][state]


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    edges: dict[tuple[TaskState, TaskState], list[str]] = {}
    for (state, trigger), following in TRANSITIONS.items():
        if state is not following:
            edges.setdefault((state, following), []).append(trigger.value)
    lines = [f"    {a.value} --> {b.value}: {', '.join(names)}" for (a, b), names in edges.items()]
    left = {state for state, _ in edges}
    ends = [f"    {state.value} --> [*]" for state in TaskState if state not in left]
    first = f"    [*] --> {TaskState.WAITING.value}"
    return "\n".join(["stateDiagram-v2", first, *lines, *ends, ""])
