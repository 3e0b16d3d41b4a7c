"""Who holds each value of a job, looked up from both ends, and how many bytes each holder has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from pullback_server.planner.plan import TaskOutput
from pullback_server.scheduler.events import WorkerId

HeldBytes: TypeAlias = dict[WorkerId, int]
"""Bytes of values that each holder has, over all jobs."""


class Holdings:
    """The values of one job that are held.

    Args:
        size_bytes: of a value.
        held_bytes: the account of all jobs.
    """

    def __init__(self, size_bytes: Callable[[TaskOutput], int], held_bytes: HeldBytes) -> None:
        self._size_bytes = size_bytes
        self._held_bytes = held_bytes
        self._holders: dict[TaskOutput, set[WorkerId]] = {}
        self._values: dict[WorkerId, set[TaskOutput]] = {}

    def __contains__(self, value: TaskOutput) -> bool:
        return value in self._holders

    def __len__(self) -> int:
        return len(self._holders)

    def holders(self, value: TaskOutput) -> Iterable[WorkerId]:
        """Who holds a value."""
        return self._holders.get(value, ())

    def has(self, holder: WorkerId, value: TaskOutput) -> bool:
        """Whether a holder has a value."""
        return holder in self._holders.get(value, ())

    def of(self, holder: WorkerId) -> tuple[TaskOutput, ...]:
        """All that a holder has."""
        return tuple(self._values.get(holder, ()))

    def add(self, value: TaskOutput, holder: WorkerId) -> None:
        """A holder has a value, perhaps since before."""
        holders = self._holders.setdefault(value, set())
        if holder not in holders:
            holders.add(holder)
            self._values.setdefault(holder, set()).add(value)
            self._count(holder, self._size_bytes(value))

    def discard(self, value: TaskOutput, holder: WorkerId) -> bool:
        """A holder has a value no more, if it had; whether nobody has it now, and somebody did."""
        holders = self._holders.get(value)
        if holders is None or holder not in holders:
            return False
        holders.remove(holder)
        self._values[holder].discard(value)
        self._count(holder, -self._size_bytes(value))
        if holders:
            return False
        del self._holders[value]
        return True

    def drop(self, value: TaskOutput) -> set[WorkerId]:
        """Nobody is to hold a value; who did."""
        holders = self._holders.pop(value, None)
        if holders is None:
            return set()
        for holder in holders:
            self._values[holder].discard(value)
            self._count(holder, -self._size_bytes(value))
        return holders

    def clear(self) -> None:
        """Nobody is to hold anything."""
        for value in tuple(self._holders):
            self.drop(value)

    def _count(self, holder: WorkerId, size_bytes: int) -> None:
        held = self._held_bytes
        held[holder] = held.get(holder, 0) + size_bytes
