"""The tasks of a job that could run now on workers of one kind, by the worker they belong to.

In plan order; taking from either end of a home takes constant time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Container, Hashable
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from pullback_server.scheduler.events import HERE, JobId, WorkerId

ANYWHERE: WorkerId = HERE
"""The home of a task that is as well off on one worker as on another."""
SUSPECT: WorkerId = -1
"""The home of a task that took a worker down: it runs alone, on any idle worker."""

MOST_IN_LIST = 32
"""Most homes have a task or two, for which a list takes a sixth of the memory of a deque."""


MOST_LINES = 32
"""Of those of a home that are looked at."""


@dataclass(slots=True)
class Backlog:
    """What is ready and waits, over all jobs: number of tasks and their predicted time."""

    tasks: int = 0
    seconds: float = 0.0

    def add(self, estimate_s: float) -> None:
        """A task is ready."""
        self.tasks += 1
        self.seconds += estimate_s

    def remove(self, estimate_s: float) -> None:
        """It is no longer."""
        self.tasks -= 1
        self.seconds = self.seconds - estimate_s if self.tasks else 0.0


class Turn(NamedTuple):
    """Where a job stands: in a line of jobs that take turns with other lines, by its number there.

    Those of one line come in order: what began first ends first, and few are half done.
    """

    line: Hashable
    sequence: int


@dataclass(slots=True)
class HomeIndex:
    """Which jobs have tasks ready that belong to a worker.

    Attributes:
        jobs: by worker; and for tasks of how many placements.
        lines: the same in order, by worker and line.
        called: workers to look at, that got a job or room for one.
    """

    jobs: dict[WorkerId, dict[JobId, int]] = field(default_factory=dict)
    lines: dict[WorkerId, dict[Hashable, list[tuple[int, JobId]]]] = field(default_factory=dict)
    called: dict[WorkerId, None] = field(default_factory=dict)

    def add(self, home: WorkerId, job: JobId, turn: Turn) -> None:
        """A job got its first task of a placement with that home."""
        if home > HERE:
            own = self.jobs.setdefault(home, {})
            known = own.get(job, 0)
            own[job] = known + 1
            if not known:
                lines = self.lines.setdefault(home, {})
                insort(lines.setdefault(turn.line, []), (turn.sequence, job))
            self.called[home] = None

    def remove(self, home: WorkerId, job: JobId, turn: Turn) -> None:
        """Its last is gone."""
        if home > HERE:
            own = self.jobs[home]
            own[job] -= 1
            if own[job]:
                return
            del own[job]
            lines = self.lines[home]
            line = lines[turn.line]
            del line[bisect_left(line, (turn.sequence, job))]
            if not line:
                del lines[turn.line]
            if not own:
                del self.jobs[home], self.lines[home]
                self.called.pop(home, None)

    def call(self, home: WorkerId) -> None:
        """A worker has room for more: it is to be looked at, if any job waits for it."""
        if home in self.jobs:
            self.called[home] = None

    def take_called(self) -> Collection[WorkerId]:
        """The workers to look at, since this was last asked."""
        if not self.called:
            return ()
        called, self.called = self.called, {}
        return called

    def first(self, home: WorkerId, most: int) -> list[JobId]:
        """The first jobs of each line that wait for a worker: so many, and one of each line.

        Of more than `MOST_LINES` lines, so many, and others the next time.
        """
        lines = self.lines.get(home)
        if lines is None:
            return []
        if len(lines) > MOST_LINES:
            line = next(iter(lines))
            lines[line] = lines.pop(line)
        each = most // len(lines) or 1
        return [job for own in islice(lines.values(), MOST_LINES) for _, job in own[:each]]

    def of(self, home: WorkerId) -> tuple[JobId, ...]:
        """The jobs that wait for a worker."""
        return tuple(self.jobs.get(home, ()))


class ReadyTasks:
    """Task numbers by home.

    Args:
        job: whose tasks they are, for the index.
        index: told of homes that get tasks or have none any more.
        turn: where the job stands.

    Attributes:
        counts: how many tasks each home has, of those that have any; to be read alone.
    """

    def __init__(self, job: JobId, index: HomeIndex, turn: Turn | None = None) -> None:
        self._job = job
        self._index = index
        self._turn = turn or Turn(None, job)
        self._home_of: dict[int, WorkerId] = {}
        self._tasks: dict[WorkerId, list[int] | deque[int]] = {}
        self.counts: dict[WorkerId, int] = {}

    def __len__(self) -> int:
        return len(self._home_of)

    def __contains__(self, task: int) -> bool:
        return task in self._home_of

    @property
    def first(self) -> int:
        """The task that has been there longest."""
        return next(iter(self._home_of))

    def home(self, task: int) -> WorkerId:
        """Where a task belongs."""
        return self._home_of[task]

    def add(self, task: int, home: WorkerId) -> None:
        """Add a task that is not there."""
        self._home_of[task] = home
        if home in self.counts:
            self.counts[home] += 1
            tasks = self._tasks[home]
            if len(tasks) == MOST_IN_LIST and isinstance(tasks, list):
                tasks = self._tasks[home] = deque(tasks)
            _insert(tasks, task)
        else:
            self.counts[home] = 1
            self._tasks[home] = [task]
            self._index.add(home, self._job, self._turn)

    def remove(self, task: int) -> WorkerId:
        """Take a task out; its place in the order is cleared when somebody comes by.

        Returns: where it belonged.
        """
        home = self._home_of.pop(task)
        left = self.counts[home] - 1
        if left:
            self.counts[home] = left
        else:
            del self.counts[home]
            del self._tasks[home]
            self._index.remove(home, self._job, self._turn)
        return home

    def move(self, task: int, home: WorkerId) -> None:
        """Give a task another home."""
        self.remove(task)
        self.add(task, home)

    def take_first(self, home: WorkerId) -> int | None:
        """The lowest task of a home, out of the order; to be removed, or put back."""
        tasks = self._tasks.get(home)
        while tasks:
            task = tasks[0]
            del tasks[0]
            if self._home_of.get(task) == home:
                return task
        return None

    def take_last(self, home: WorkerId) -> int | None:
        """As take_first, the highest."""
        tasks = self._tasks.get(home)
        while tasks:
            task = tasks.pop()
            if self._home_of.get(task) == home:
                return task
        return None

    def put_back(self, task: int) -> None:
        """Return a task that was taken and is not to run now."""
        _insert(self._tasks[self._home_of[task]], task)

    def homes(self, most: int) -> list[WorkerId]:
        """The first so many workers that tasks belong to."""
        no_workers = 2  # that are keys too: ANYWHERE and SUSPECT
        return [home for home in islice(self.counts, most + no_workers) if home > HERE][:most]

    def first_home_in(self, workers: Container[WorkerId]) -> WorkerId | None:
        """The first of some workers that tasks belong to."""
        for home in self.counts:
            if home in workers:
                return home
        return None

    def at(self, home: WorkerId) -> tuple[int, ...]:
        """The tasks of one home."""
        return tuple(task for task, own in self._home_of.items() if own == home)


def _insert(tasks: list[int] | deque[int], task: int) -> None:
    if not tasks or task > tasks[-1]:
        tasks.append(task)
    elif task < tasks[0]:
        tasks.insert(0, task)
    else:
        tasks.insert(bisect_left(tasks, task), task)
