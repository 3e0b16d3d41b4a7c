"""The tasks of a job that could run now, by the worker they should run on, in plan order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from pullback_server.scheduler.events import HERE, WorkerId

ANYWHERE: WorkerId = HERE
"""The home of a task that is as well off on one worker as on another."""


class ReadyTasks:
    """Sets of task numbers by home."""

    def __init__(self) -> None:
        self._by_home: dict[WorkerId, list[int]] = {}
        self._home_of: dict[int, WorkerId] = {}

    def __len__(self) -> int:
        return len(self._home_of)

    def __contains__(self, task: int) -> bool:
        return task in self._home_of

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._home_of))

    @property
    def first(self) -> int:
        """The task that has been there longest."""
        return next(iter(self._home_of))

    def add(self, task: int, home: WorkerId) -> None:
        """Add a task that is not there."""
        insort(self._by_home.setdefault(home, []), task)
        self._home_of[task] = home

    def remove(self, task: int) -> None:
        """Take a task out."""
        home = self._home_of.pop(task)
        tasks = self._by_home[home]
        del tasks[bisect_left(tasks, task)]
        if not tasks:
            del self._by_home[home]

    def at(self, home: WorkerId) -> tuple[int, ...]:
        """The tasks of one home, ascending."""
        return tuple(self._by_home.get(home, ()))

    def homes(self) -> tuple[WorkerId, ...]:
        """The homes that have tasks."""
        return tuple(self._by_home)
