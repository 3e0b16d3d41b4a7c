"""Runs a scheduler against virtual workers and arrivals, and counts what came of it."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import thread_time

from benchmarks.simulator.occupancy import Occupancy
from benchmarks.simulator.virtual_pool import Costs, VirtualPool
from pullback_server.planner.plan import Placement
from pullback_server.scheduler import (
    Dependencies,
    Event,
    JobId,
    Reply,
    Scheduler,
    Settings,
    Submitted,
    Tick,
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that comes in at a virtual time; `kind` says which figures it counts in."""

    at_s: float
    plan: Dependencies
    client: str = ""
    kind: str = ""
    priority: int = 0


@dataclass(slots=True)
class Outcome:
    """What came of a simulation.

    Attributes:
        placed: tasks placed on a worker.
        left: tasks left to the dispatcher: last sums, small, of what several workers gave.
        scheduler_s: processor time inside the scheduler, which has one thread.
        virtual_s: from the first arrival to the last answer.
        utilisation: part of the workers' time spent in tasks, in the window.
        idle_beside_work: part of their time that they had nothing to do although tasks waited.
        queued_s, latency_s: per kind of job, to its first batch and to its answer.
        served_s: time spent in tasks, by client.
        failed: jobs answered with an error.
    """

    placed: int = 0
    left: int = 0
    events: int = 0
    scheduler_s: float = 0.0
    virtual_s: float = 0.0
    utilisation: float = 0.0
    idle_beside_work: float = 0.0
    queued_s: dict[str, list[float]] = field(default_factory=dict)
    latency_s: dict[str, list[float]] = field(default_factory=dict)
    served_s: dict[str, float] = field(default_factory=dict)
    failed: int = 0
    copies: int = 0

    @property
    def decisions(self) -> int:
        """Tasks of which it was decided where they run."""
        return self.placed + self.left

    @property
    def decisions_per_s(self) -> float:
        """Decisions on one core."""
        return self.decisions / self.scheduler_s


class Simulation:
    """One run.

    Args:
        window_s: when utilisation is measured; the whole run if not given.
        until_s: when the run ends, whether or not all jobs were answered.
    """

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        workers: int,
        *,
        costs: Costs | None = None,
        settings: Settings | None = None,
        window_s: tuple[float, float] | None = None,
        until_s: float = float("inf"),
        seed: int = 1,
    ) -> None:
        self._arrivals = arrivals
        self._plans: dict[JobId, Dependencies] = {}
        self._came: dict[JobId, tuple[Arrival, float]] = {}
        self._clients: dict[JobId, str] = {}
        self.outcome = Outcome()
        self.pool = VirtualPool(self._plans, self._clients, costs or Costs(), seed, self._replied)
        self.scheduler = Scheduler(settings or Settings(workers={Placement.CPU: workers}))
        self._workers = workers
        self._window_s = window_s
        self._until_s = until_s

    def run(self) -> Outcome:
        """Start the workers, let the jobs come, and see them answered."""
        self._tell([Tick(now_s=0.0)])
        while self.scheduler.snapshot().workers[Placement.CPU].ready < self._least():
            self._tell(self.pool.step())
        start_s = self.pool.now_s
        self.outcome.scheduler_s, self.outcome.events = 0.0, 0
        for number, arrival in enumerate(self._arrivals):
            self.pool.at(start_s + arrival.at_s, self._submitted, (number, arrival))
        gc.collect()
        gc.freeze()  # as the dispatcher does: what stands need not be walked again
        self._loop(start_s)
        gc.unfreeze()
        self.outcome.placed = self.pool.placed
        self.outcome.served_s = self.pool.served_s
        self.outcome.virtual_s = self.pool.now_s - start_s
        self.outcome.copies = self.scheduler.snapshot().copies
        return self.outcome

    def _least(self) -> int:
        return self.scheduler.settings.least(Placement.CPU)

    def _loop(self, start_s: float) -> None:
        left = len(self._arrivals)
        window_s = self._window_s or (0.0, float("inf"))
        occupancy = Occupancy(window_s, self.pool.work_s, self.scheduler.snapshot)
        while (self._came or left) and self.pool.now_s - start_s < self._until_s:
            due_s = self.scheduler.next_s
            if due_s < self.pool.next_s:
                self.pool.now_s = max(self.pool.now_s, due_s)
                self._tell([Tick(now_s=self.pool.now_s)])
            else:
                events = self.pool.step()
                left -= sum(isinstance(event, Submitted) for event in events)
                self._tell(events)
            occupancy.at(self.pool.now_s - start_s)
        occupancy.close(self.pool.now_s - start_s)
        self.outcome.utilisation = occupancy.utilisation(self._workers)
        self.outcome.idle_beside_work = occupancy.idle_beside_work(self._workers)

    def _tell(self, events: Iterable[Event]) -> None:
        own = tuple(events)
        if not own:
            return
        began_s = thread_time()
        commands = self.scheduler.handle(*own)
        self.outcome.scheduler_s += thread_time() - began_s
        self.outcome.events += len(own)
        self.pool.apply(commands)

    def _submitted(self, what: tuple[JobId, Arrival]) -> Iterable[Event]:
        job, arrival = what
        self._plans[job], self._came[job] = arrival.plan, (arrival, self.pool.now_s)
        self._clients[job] = arrival.client
        return [
            Submitted(
                now_s=self.pool.now_s,
                job=job,
                plan=arrival.plan,
                client=arrival.client,
                priority=arrival.priority,
            )
        ]

    def _replied(self, reply: Reply) -> None:
        arrival, came_s = self._came.pop(reply.job)
        outcome = self.outcome
        if reply.error is not None:
            outcome.failed += 1
            return
        outcome.left += len(arrival.plan.tasks) - len(reply.statistics.timings)
        outcome.queued_s.setdefault(arrival.kind, []).append(reply.statistics.queued_s)
        outcome.latency_s.setdefault(arrival.kind, []).append(self.pool.now_s - came_s)
