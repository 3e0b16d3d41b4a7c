"""Who holds each value of a job, and how many bytes each holder has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import TypeAlias

from pullback_server.planner.plan import TaskOutput
from pullback_server.scheduler.events import WorkerId

Holders: TypeAlias = tuple[WorkerId, ...] | dict[WorkerId, None]
"""Whoever had a value first ahead. Most are held by one or two: a tuple takes a quarter of the
memory of a dictionary, and is looked through as quickly."""
MOST_IN_TUPLE = 8

HeldBytes: TypeAlias = defaultdict[WorkerId, int]
"""Bytes of values that each holder has, over all jobs."""


class Holdings:
    """The values of one job that are held.

    Args:
        size_bytes: of a value.
        held_bytes: the account of all jobs.

    Attributes:
        holders: who holds each value that is held, whoever had it first ahead: those behind may
            still be waiting for a batch that brings it. To be read, and changed by the methods
            alone.
    """

    def __init__(self, size_bytes: Callable[[TaskOutput], int], held_bytes: HeldBytes) -> None:
        self._size_bytes = size_bytes
        self._held_bytes = held_bytes
        self.holders: dict[TaskOutput, Holders] = {}

    def __contains__(self, value: TaskOutput) -> bool:
        return value in self.holders

    def __len__(self) -> int:
        return len(self.holders)

    def has(self, holder: WorkerId, value: TaskOutput) -> bool:
        """Whether a holder has a value."""
        return holder in self.holders.get(value, ())

    def of(self, holder: WorkerId) -> list[TaskOutput]:
        """All that a holder has: for when one is lost, so all values are gone through."""
        return [value for value, holders in self.holders.items() if holder in holders]

    def add(self, value: TaskOutput, holder: WorkerId) -> None:
        """A holder has a value, perhaps since before."""
        holders = self.holders.get(value)
        if holders is None:
            self.holders[value] = (holder,)
        elif holder in holders:
            return
        elif isinstance(holders, dict):
            holders[holder] = None
        elif len(holders) < MOST_IN_TUPLE:
            self.holders[value] = (*holders, holder)
        else:
            self.holders[value] = dict.fromkeys((*holders, holder))
        self._held_bytes[holder] += self._size_bytes(value)

    def discard(self, value: TaskOutput, holder: WorkerId) -> bool:
        """A holder has a value no more, if it had; whether nobody has it now, and somebody did."""
        holders = self.holders.get(value)
        if holders is None or holder not in holders:
            return False
        self._held_bytes[holder] -= self._size_bytes(value)
        if isinstance(holders, dict):
            del holders[holder]
        else:
            holders = self.holders[value] = tuple([own for own in holders if own != holder])
        if holders:
            return False
        del self.holders[value]
        return True

    def drop(self, value: TaskOutput) -> Collection[WorkerId]:
        """Nobody is to hold a value; who did."""
        holders = self.holders.pop(value, ())
        size_bytes, held_bytes = self._size_bytes(value), self._held_bytes
        for holder in holders:
            held_bytes[holder] -= size_bytes
        return holders

    def clear(self) -> None:
        """Nobody is to hold anything."""
        for value in tuple(self.holders):
            self.drop(value)
