"""A scheduler over a simulated pool whose workers have started, for tests of its decisions."""

from __future__ import annotations

from typing import Any

from pullback_server.planner.plan import Plan
from pullback_server.scheduler import (
    Command,
    Dependencies,
    Event,
    Run,
    Scheduler,
    Settings,
    Submitted,
    Tick,
)
from tests.server.simulated_pool import CPU, GPU, SimulatedPool


class Cluster:
    """A scheduler over a simulated pool whose workers have started."""

    def __init__(
        self, workers: int = 2, memory_bytes: int = 0, gpu_workers: int = 0, **settings: Any
    ) -> None:
        kinds = {kind: n for kind, n in ((CPU, workers), (GPU, gpu_workers)) if n}
        self.scheduler = Scheduler(Settings(workers=kinds, **settings))
        self.pool = SimulatedPool(memory_bytes=memory_bytes)
        self.tell(Tick(now_s=0.0))
        self.start()

    def start(self) -> None:
        """Start every worker asked for."""
        while self.pool.starting:
            self.tell(self.pool.start())

    def tell(self, *events: Event) -> list[Command]:
        """Handle events, carry the commands out, and return them."""
        commands = self.scheduler.handle(*events)
        self.pool.apply(commands)
        self.pool.untold.clear()
        return commands

    def submit(
        self,
        plan: Plan,
        job: int = 1,
        priority: int = 0,
        deadline_s: float | None = None,
        client: str = "",
    ) -> list[Command]:
        """Submit a plan."""
        self.pool.plans[job] = plan
        return self.tell(
            Submitted(
                now_s=self.pool.now_s,
                job=job,
                plan=Dependencies(plan),
                client=client,
                priority=priority,
                deadline_s=deadline_s,
            )
        )

    def finish(self, worker: int, *, express: bool = False) -> list[Command]:
        """The worker's oldest batch runs, or that beside it."""
        return self.tell(*self.pool.finish(worker, express=express))

    def tick(self, seconds: float) -> list[Command]:
        """Time passes."""
        self.pool.now_s += seconds
        return self.tell(Tick(now_s=self.pool.now_s))

    def drain(self) -> None:
        """Everything in flight runs."""
        while busy := [w for w, own in self.pool.workers.items() if own.in_flight]:
            self.finish(busy[0])

    def error(self, job: int = 1) -> object:
        """What a job was answered."""
        ((error, _),) = self.pool.replies[job]
        return error


def runs(commands: list[Command]) -> dict[int, list[int]]:
    """The tasks of each worker's batches."""
    found: dict[int, list[int]] = {}
    for command in commands:
        if isinstance(command, Run):
            found.setdefault(command.worker, []).extend(call.task for call in command.calls)
    return found
