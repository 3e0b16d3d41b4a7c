"""What the pool knows of a worker: its actor, what it was given, and what waits for its answers.

No Ray here: an actor is whatever stands for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from pullback_server.planner.plan import Placement, TaskOutput
from pullback_server.scheduler import JobId, Run, WorkerId
from pullback_server.traffic import MachineId
from pullback_worker.batch import Freed, InputOperand, ValueKey


@dataclass(slots=True, eq=False)
class Flight:
    """A batch a worker has: the command, and references to the report and to what comes apart.

    Attributes:
        network_bytes: what it brings to the worker's machine from others.
        inputs, freed: what comes along with it, and what it tells the worker to drop.
    """

    run: Run
    report: Any
    apart: dict[TaskOutput, Any]
    network_bytes: int = 0
    inputs: Sequence[InputOperand] = ()
    freed: Sequence[Freed] = ()


@dataclass(slots=True)
class PoolWorker:
    """An actor.

    Attributes:
        flights, express: those it was sent, oldest first, those of one call together, and express
            ones by themselves.
        flying: those of both that are not answered.
        known: fingerprints of the graphs it was given.
        machine: where it runs, once it is up.
        process: its number, where it is up on this machine; 0 elsewhere.
        given: per job, the inputs and blocks of inputs that it has.
        freed: what it is to drop at the next occasion.
        listeners: what waits for its answers, until it has them.
    """

    id: WorkerId
    placement: Placement
    actor: Any
    flights: asyncio.Queue[Sequence[Flight]] = field(default_factory=asyncio.Queue)
    express: asyncio.Queue[Sequence[Flight]] = field(default_factory=asyncio.Queue)
    flying: set[Flight] = field(default_factory=set)
    known: dict[str, None] = field(default_factory=dict)
    machine: MachineId = ""
    process: int = 0
    given: dict[JobId, set[InputOperand]] = field(default_factory=dict)
    freed: list[Freed] = field(default_factory=list)
    listeners: set[asyncio.Task[None]] = field(default_factory=set)

    def attend(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Have something wait for an answer."""
        listener = asyncio.create_task(coroutine)
        self.listeners.add(listener)
        listener.add_done_callback(self.listeners.discard)

    def flush(self) -> None:
        """Tell it what to drop, if there is anything."""
        if self.freed:
            self.actor.free.remote(self.freed)
            self.freed = []

    def missed(self, flights: Sequence[Flight]) -> None:
        """Batches did not reach it: what came along is to come again, what was to go is there."""
        self.known.clear()
        for job in {flight.run.job for flight in flights if flight.inputs}:
            self.given.pop(job, None)
        self.freed[:0] = [freed for flight in flights for freed in flight.freed]

    def counts_on(self, flights: Sequence[Flight]) -> bool:
        """Whether it has batches of jobs that it was to have inputs of by these."""
        jobs = {flight.run.job for flight in flights if flight.inputs}
        return any([own.run.job in jobs for own in self.flying.difference(flights)])

    def leave(self, holder: WorkerId) -> None:
        """Tell the worker what it need not wait for, since a lost one had it.

        Ray may take long to say so, where a machine was lost.
        """
        for run in [flight.run for flight in self.flying]:
            gone = [ValueKey(*value) for value, own in run.fetches if own == holder]
            if gone:
                self.actor.leave.remote(run.batch, run.express, gone)
