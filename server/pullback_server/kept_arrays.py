"""Which arrays the dispatcher keeps between jobs, so that data sent again and again is sent once.

An array is known by identity: the same read-only array, seen a second time, is worth keeping, and
one that the client sent ahead is at once. Nothing is hashed or compared. The front end decides; the
dispatcher does as it is told.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from itertools import count
from typing import NamedTuple

from pullback_graph.job import NDArray
from pullback_worker.fixed_arrays import may_change

LEAST_BYTES = 1 << 16
"""Smaller arrays travel in the message anyway."""
LEAST_AHEAD_BYTES = 1 << 10
"""But for those that the client sent ahead: jobs that read one array go to a worker with one."""


class Kept(NamedTuple):
    """The number an array is kept under, 0 for none, and whether it has been sent."""

    number: int
    sent: bool


class _Entry(NamedTuple):
    number: int
    array: NDArray


class KeptArrays:
    """The arrays one dispatcher keeps, least recently used first.

    Args:
        most_bytes: what they may take together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._seen: dict[int, weakref.ref[NDArray]] = {}
        self._numbers = count(1)
        self._size_bytes = 0
        self._dropped: list[int] = []

    def look_up(self, array: NDArray, sent_ahead: bool = False) -> Kept:
        """How an array of a job is to travel.

        Args:
            sent_ahead: whether the client names it by its hash, as it will do again.
        """
        least_bytes = LEAST_AHEAD_BYTES if sent_ahead else LEAST_BYTES
        if array.nbytes <= least_bytes or array.nbytes > self._most_bytes or may_change(array):
            return Kept(0, False)
        entry = self._entries.get(id(array))
        if entry is not None:
            self._entries.move_to_end(id(array))
            return Kept(entry.number, True)
        if not sent_ahead and not self._seen_before(array):
            return Kept(0, False)
        number = next(self._numbers)
        self._entries[id(array)] = _Entry(number, array)
        self._size_bytes += array.nbytes
        while self._size_bytes > self._most_bytes:
            self._drop()
        return Kept(number, False)

    def take_dropped(self) -> list[int]:
        """Numbers that are kept no more since it was last asked: tell the dispatcher."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def clear(self) -> None:
        """Keep nothing more."""
        while self._entries:
            self._drop()

    def _drop(self) -> None:
        _, entry = self._entries.popitem(last=False)
        self._size_bytes -= entry.array.nbytes
        self._dropped.append(entry.number)

    def _seen_before(self, array: NDArray) -> bool:
        """Whether this very array came before; if not, it is remembered as long as it lives."""
        key = id(array)
        known = self._seen.get(key)
        if known is not None and known() is array:
            del self._seen[key]
            return True
        self._seen[key] = weakref.ref(array, lambda _: self._seen.pop(key, None))
        return False
