"""All workers, with what a decision needs looked up rather than searched for.

By kind: those that are ready, idle, or soon will be; by program: those that were given it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count, islice

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.events import BatchId, WorkerId
from pullback_server.scheduler.holdings import HeldBytes
from pullback_server.scheduler.statistics import KindCount
from pullback_server.scheduler.worker import Batch, Worker

MOST_PROGRAMS = 4096
"""Programs remembered of one worker; of more, all are forgotten, which costs a hint."""
MOST_LOOKED_AT = 32
MOST_STALE = 64
"""Batches that were over sooner than predicted, beyond two a worker, before they are cleared."""
LONG_S = 0.02
"""Batches predicted to take less are waited for: nothing runs beside them."""
_GENERATIONS = count()


@dataclass(slots=True)
class Kind:
    """The workers of one kind.

    Attributes:
        ready: those that live, ascending.
        idle: those of them that have nothing to do; `idle_heap` has them lowest first, with some
            that are busy again, and `in_heap` says which.
        soon: those that have one batch and will be done with it shortly.
        ending: when which are to be in `soon`, for which batch, soonest first.
        beside: those that have or had a long batch, and no express one beside.
        starting: how many are to start.
        largest_bytes: the most memory that one of them has, or one had that may come back.
    """

    ready: list[WorkerId] = field(default_factory=list)
    idle: set[WorkerId] = field(default_factory=set)
    idle_heap: list[WorkerId] = field(default_factory=list)
    in_heap: set[WorkerId] = field(default_factory=set)
    soon: dict[WorkerId, None] = field(default_factory=dict)
    ending: list[tuple[float, WorkerId, BatchId]] = field(default_factory=list)
    beside: dict[WorkerId, None] = field(default_factory=dict)
    starting: int = 0
    busy_s: float = 0.0
    largest_bytes: int = 0

    @property
    def count(self) -> int:
        """Those that live and those that start."""
        return len(self.ready) + self.starting


class Fleet:
    """The workers.

    Attributes:
        held_bytes: what each holds of values, over all jobs.
        batches: how many are in flight.
        generation: a number that is another whenever workers came or went.
        get: a worker, if there is such a one.
        kinds: the workers by kind.
        workers: all of them, those that start too; to be read alone.
    """

    def __init__(self) -> None:
        self.held_bytes: HeldBytes = defaultdict(int)
        self.batches = 0
        self.generation = next(_GENERATIONS)
        self.workers: dict[WorkerId, Worker] = {}
        self.get: Callable[[WorkerId], Worker | None] = self.workers.get
        self.kinds: Mapping[Placement, Kind] = {kind: Kind() for kind in Placement}
        self._programs: dict[str, set[WorkerId]] = {}

    def __contains__(self, worker: WorkerId) -> bool:
        return worker in self.workers

    def __getitem__(self, worker: WorkerId) -> Worker:
        return self.workers[worker]

    @property
    def is_alive(self) -> bool:
        """Whether any worker takes work."""
        return any(kind.ready for kind in self.kinds.values())

    def count(self, placement: Placement, wanted: int) -> KindCount:
        """How those of a kind stand."""
        kind = self.kinds[placement]
        return KindCount(
            starting=kind.starting,
            ready=len(kind.ready),
            busy=len(kind.ready) - len(kind.idle),
            busy_s=kind.busy_s,
            wanted=wanted,
        )

    # --- workers come and go ----------------------------------------------------------------------

    def add(self, worker: Worker) -> None:
        """A worker is to start."""
        self.workers[worker.id] = worker
        self.kinds[worker.placement].starting += 1

    def started(self, worker: Worker, memory_bytes: int, most: int, now_s: float) -> None:
        """A worker takes work, one of `most` of its kind."""
        kind = self.kinds[worker.placement]
        worker.ready, worker.memory_bytes = True, memory_bytes
        kind.starting -= 1
        kind.largest_bytes = max(kind.largest_bytes, memory_bytes)
        insort(kind.ready, worker.id)
        if len(kind.ready) >= most:  # larger ones that were lost do not come back
            kind.largest_bytes = max([self.workers[own].memory_bytes for own in kind.ready])
        self.generation = next(_GENERATIONS)
        self._set_idle(worker, now_s)

    def remove(self, worker: Worker) -> None:
        """A worker is no more."""
        del self.workers[worker.id]
        kind = self.kinds[worker.placement]
        kind.idle.discard(worker.id)
        kind.soon.pop(worker.id, None)
        kind.beside.pop(worker.id, None)
        if worker.ready:
            del kind.ready[bisect_left(kind.ready, worker.id)]
            self.generation = next(_GENERATIONS)
        else:
            kind.starting -= 1
        self.batches -= len(worker.in_flight)
        self.forget_programs(worker)

    def retire(self, worker: Worker) -> None:
        """A worker gets no more work."""
        kind = self.kinds[worker.placement]
        worker.doomed = True
        kind.idle.discard(worker.id)
        kind.soon.pop(worker.id, None)
        kind.beside.pop(worker.id, None)

    # --- batches come and go ----------------------------------------------------------------------

    def give(self, worker: Worker, batch: Batch, programs: Iterable[str]) -> None:
        """A worker has one more batch."""
        kind = self.kinds[worker.placement]
        if batch.express:
            worker.express = batch
            kind.beside.pop(worker.id, None)
        else:
            kind.idle.discard(worker.id)
            kind.soon.pop(worker.id, None)
            worker.batches[batch.id] = batch
            worker.oldest = worker.oldest or batch
            if batch.estimate_s >= LONG_S and worker.express is None:
                kind.beside[worker.id] = None
        worker.made_bytes += batch.made_bytes
        self.batches += 1
        if len(worker.programs) > MOST_PROGRAMS:
            self.forget_programs(worker)
        for program in programs:
            if program not in worker.programs:
                worker.programs.add(program)
                self._programs.setdefault(program, set()).add(worker.id)

    def take(self, worker: Worker, batch: Batch, now_s: float) -> None:
        """A worker is done with a batch."""
        worker.made_bytes -= batch.made_bytes
        worker.called_off.pop(batch.id, None)
        self.batches -= 1
        kind = self.kinds[worker.placement]
        if batch.express:
            worker.express = None
            if worker.batches and not worker.doomed:
                kind.beside[worker.id] = None
        else:
            del worker.batches[batch.id]
            worker.oldest = oldest = next(iter(worker.batches.values()), None)
            if oldest is not None:
                oldest.oldest_since_s = now_s
        if worker.oldest is None:
            kind.soon.pop(worker.id, None)
            kind.beside.pop(worker.id, None)
            if worker.express is None and not worker.doomed:
                self._set_idle(worker, now_s)

    def expect(self, worker: Worker, batch: Batch, soon_s: float) -> None:
        """A worker will be nearly done with its one batch at a time."""
        kind = self.kinds[worker.placement]
        heappush(kind.ending, (soon_s, worker.id, batch.id))
        if len(kind.ending) > 2 * len(kind.ready) + MOST_STALE:
            kind.ending = [entry for entry in kind.ending if self._has(*entry[1:])]
            heapify(kind.ending)

    def _has(self, number: WorkerId, batch: BatchId) -> bool:
        """Whether a worker has a batch that is not over."""
        worker = self.workers.get(number)
        return worker is not None and batch in worker.batches

    def nearly_done(self, placement: Placement, now_s: float) -> list[WorkerId]:
        """The workers that came to be nearly done with all they have, since this was last asked."""
        kind, found = self.kinds[placement], []
        ending, soon = kind.ending, kind.soon
        while ending and ending[0][0] <= now_s:
            _, number, batch = heappop(ending)
            worker = self.workers.get(number)
            if worker is None or worker.doomed or batch not in worker.batches:
                continue
            if worker.has_one_call:
                soon[number] = None
                found.append(number)
        return found

    # --- who is free ------------------------------------------------------------------------------

    def first_idle(self, placement: Placement) -> Worker:
        """The idle worker of the lowest number, so that high ones are idle long and can go."""
        kind = self.kinds[placement]
        while kind.idle_heap[0] not in kind.idle:
            kind.in_heap.discard(heappop(kind.idle_heap))
        return self.workers[kind.idle_heap[0]]

    def idle_with(self, placement: Placement, program: str) -> Worker | None:
        """An idle worker that was given a program; only so many are looked at."""
        idle, owners = self.kinds[placement].idle, self._programs.get(program, ())
        first = self.first_idle(placement)
        if first.id in owners:
            return first
        few, many = (idle, owners) if len(idle) < len(owners) else (owners, idle)
        found = min((w for w in islice(few, MOST_LOOKED_AT) if w in many), default=None)
        return None if found is None else self.workers[found]

    def idle(self, placement: Placement) -> Iterator[Worker]:
        """The idle workers of a kind."""
        return (self.workers[worker] for worker in sorted(self.kinds[placement].idle))

    def forget_programs(self, worker: Worker) -> None:
        """Drop what is known of a worker's programs."""
        for program in worker.programs:
            owners = self._programs[program]
            owners.discard(worker.id)
            if not owners:
                del self._programs[program]
        worker.programs.clear()

    def _set_idle(self, worker: Worker, now_s: float) -> None:
        kind = self.kinds[worker.placement]
        worker.idle_since_s = now_s
        kind.idle.add(worker.id)
        if worker.id not in kind.in_heap:
            kind.in_heap.add(worker.id)
            heappush(kind.idle_heap, worker.id)
