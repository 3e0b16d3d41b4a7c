"""What comes in: jobs of mixed sizes from several clients, at random times, for a load."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from benchmarks.simulator.plans import sharded, single
from benchmarks.simulator.simulation import Arrival
from pullback_server.scheduler import Dependencies

CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Size:
    """Jobs of one size: their plans, of which one is drawn, and their part of all jobs."""

    name: str
    plans: Sequence[Dependencies]
    part: float

    @property
    def mean_tasks(self) -> float:
        """Tasks of a job."""
        return fmean(len(plan.tasks) for plan in self.plans)


def mixed() -> list[Size]:
    """Single tasks of 20 to 100 ms, 8 shards of 100 to 300 ms, 64 shards of half a second."""
    return [
        Size("small", [single(0.02 * (1 + k % 5)) for k in range(10)], 0.5),
        Size("medium", [sharded(8, 0.1 * (1 + k % 3)) for k in range(6)], 0.4),
        Size("large", [sharded(64, 0.5) for _ in range(3)], 0.1),
    ]


def poisson(
    sizes: Sequence[Size], load: float, workers: int, tasks: int, seed: int
) -> list[Arrival]:
    """Jobs of about so many tasks together, arriving so that they are that load for the workers.

    The times are stretched to that load for the jobs that were drawn: in a short run, a few large
    ones more or fewer would make it another.
    """
    draw = random.Random(seed)
    mean_tasks = sum(size.part * size.mean_tasks for size in sizes)
    parts = [size.part for size in sizes]
    times = _times(draw, 1.0, max(1, round(tasks / mean_tasks)))
    jobs = [_arrival(draw, at, draw.choices(sizes, parts)[0]) for at in times]
    stretch = sum(job.plan.total_s for job in jobs) / (load * workers * jobs[-1].at_s)
    return [replace(job, at_s=job.at_s * stretch) for job in jobs]


def _times(draw: random.Random, rate: float, count: int) -> Iterator[float]:
    now_s = 0.0
    for _ in range(count):
        now_s += draw.expovariate(rate)
        yield now_s


def _arrival(draw: random.Random, at_s: float, size: Size) -> Arrival:
    client = f"client {draw.randrange(CLIENTS)}"
    return Arrival(at_s, draw.choice(size.plans), client, size.name)


def waiting(clients: int, seconds: float, share_s: float) -> list[Arrival]:
    """Clients that each bring work for so long, in jobs of sizes of their own, all at once."""
    found: list[Arrival] = []
    for client in range(clients):
        own_s = seconds * 2.0 ** (client % 4)
        plan = sharded(8, own_s / 8) if client % 2 else single(own_s)
        count = max(1, round(share_s / plan.total_s))
        found += [Arrival(0.0, plan, f"client {client}", "waiting")] * count
    return found
