"""What a service is believed to hold already: graphs and tensors sent over this connection.

A belief, since the service forgets what it has no room for; the reply then says NOT_FOUND, and what
was believed is dropped and sent again. Bounded, the least recently used out first; thread-safe.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from threading import Lock
from typing import NamedTuple


class Entry(NamedTuple):
    """One thing sent.

    Attributes:
        key: how this client names it: a graph's fingerprint or a tensor's hash.
        name: how the service names it (a server of another version may fingerprint otherwise).
        turn: distinguishes this sending from an earlier or a later one.
    """

    key: str
    name: str
    turn: int


class Sent:
    """The entries of one connection."""

    def __init__(self, capacity: int = 65536) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = Lock()
        self._turns = count()

    def get(self, key: str) -> Entry | None:
        """The entry of `key`, or None where it must be sent."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def add(self, key: str, name: str) -> Entry:
        """Note that `key` has been sent, and is called `name` there."""
        entry = Entry(key, name, next(self._turns))
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        return entry

    def note(self, key: str, name: str) -> None:
        """Note that the service turned out to hold `key`; what was believed of it before stands."""
        if self.get(key) is None:
            self.add(key, name)

    def forget(self, entry: Entry) -> None:
        """Drop an entry, unless it has been sent anew since."""
        with self._lock:
            if self._entries.get(entry.key) == entry:
                del self._entries[entry.key]

    def __len__(self) -> int:
        return len(self._entries)
