"""Fair shares under random events: flows that both have work get the same time, by weight.

For one worker the bound is that of start-time fair queueing, the largest batch of each of the two
(Goyal, Vin & Cheng 1996, theorem 1). Several workers add a batch each: what belongs to a worker is
given to it before what does not, out of turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from random import Random

import pytest

from pullback_server.planner.plan import Plan
from pullback_server.scheduler import (
    Dependencies,
    Event,
    KillWorker,
    Run,
    Scheduler,
    Settings,
    Submitted,
    Tick,
    WorkerLost,
)
from pullback_server.scheduler.shares import LEVEL_WEIGHT
from tests.server.plans import reduce_plan
from tests.server.scheduler_ordeal import TIMES, Case, Ordeal
from tests.server.simulated_pool import CPU, SimulatedPool

CLIENTS = "abc"
OPEN = {"a": 40, "b": 8, "c": 8}
"""Jobs that each client has under way at once."""
EVEN: Mapping[str, int] = dict.fromkeys(CLIENTS, 0)
LEVELS: Mapping[str, int] = {"a": 0, "b": 1, "c": 1}


class Fairness(Ordeal):
    """An ordeal in which every client always has work, and what each was given is counted.

    Attributes:
        given_s: by client, predicted time of its batches but second tries, since all had work.
        largest_s: by client, of one of its batches.
    """

    def __init__(self, workers: int, priorities: Mapping[str, int], random: Random) -> None:
        super().__init__()
        settings = Settings(workers={CPU: workers}, **TIMES)
        self.case = Case(settings, memory_bytes=0)
        self.scheduler = Scheduler(settings)
        self.pool = SimulatedPool(is_lazy=True)
        self.priorities = priorities
        self.random = random
        self.plans = [some_plan(random) for _ in range(12)]
        self.clients: dict[int, str] = {}
        self.given_s = dict.fromkeys(CLIENTS, 0.0)
        self.largest_s = dict.fromkeys(CLIENTS, 0.0)
        self.apart_s: dict[tuple[object, object], float] = {}
        self.tell(Tick(now_s=0.0))
        while self.pool.starting:
            self.start_worker(0)

    def tell(self, *events: Event) -> None:
        """Give the scheduler events, carry out what it wants, and count what it gave."""
        commands = self.scheduler.handle(*events)
        for run in [command for command in commands if isinstance(command, Run)]:
            own = self.scheduler._fleet[run.worker].in_flight
            batch = next(batch for batch in own if batch.id == run.batch)
            if batch.twin is None or batch.twin[1] > batch.id:
                client = self.clients[run.job]
                self.given_s[client] += batch.estimate_s
                self.largest_s[client] = max(self.largest_s[client], batch.estimate_s)
        self.losses += any([isinstance(command, KillWorker) for command in commands])
        self.pool.apply(commands)
        self.pool.untold -= {event.worker for event in events if isinstance(event, WorkerLost)}

    def bring_work(self) -> None:
        """Every client has something waiting, and so many jobs."""
        for client, most in OPEN.items():
            while not self.waits(client) or self.under_way(client) < most:
                job, plan = len(self.pool.plans), self.random.choice(self.plans)
                self.pool.plans[job], self.clients[job] = plan, client
                self.tell(
                    Submitted(
                        now_s=self.pool.now_s,
                        job=job,
                        plan=Dependencies(plan),
                        client=client,
                        priority=self.priorities[client],
                    )
                )

    def waits(self, client: str) -> bool:
        """Whether a client has tasks ready that no worker was given."""
        waiting = self.scheduler._matching._shares[CPU].waiting
        return any(self.clients[job] == client for job in waiting)

    def under_way(self, client: str) -> int:
        """How many jobs a client has."""
        return sum(self.clients[job] == client for job in self.open_jobs())

    def happen(self) -> None:
        """Something happens: most often a batch is done."""
        random, chance = self.random, self.random.random()
        pick = random.randrange(10**6)
        if self.pool.starting:
            self.start_worker(pick)
        elif chance < 0.04 and self.pool.killed:
            self.see_the_end()
        elif chance < 0.85 and self.busy():
            slowness = random.choice([1.0, 1.0, 0.5, 2.0])
            self.finish_batch(pick, True, random.random() < 0.7, random.random() < 0.5, slowness)
        elif chance < 0.86 and self.pool.workers:
            self.lose_worker(pick)
        elif chance < 0.88 and self.open_jobs():
            self.cancel(pick)
        elif self.pool.asked:
            self.answer(pick)
        else:
            self.tick(random.choice([0.01, 0.1, 1.0, 3.0]))

    def measure_apart(self) -> None:
        """How far what siblings were given is apart; from anew where one had nothing waiting."""
        if not all(map(self.waits, CLIENTS)):
            self.given_s = dict.fromkeys(CLIENTS, 0.0)
        for siblings in self.siblings(self.given_s, sum):
            for one, other in permutations(siblings, 2):
                apart_s = siblings[one] - siblings[other]
                self.apart_s[one, other] = max(apart_s, self.apart_s.get((one, other), 0.0))

    def siblings(
        self, by_client: Mapping[str, float], joined: Callable[[Iterable[float]], float]
    ) -> list[dict[object, float]]:
        """The clients of each priority, and the priorities, by weight."""
        levels: dict[int, dict[object, float]] = {}
        for client, seconds in by_client.items():
            levels.setdefault(self.priorities[client], {})[client] = seconds
        between: dict[object, float] = {
            p: joined(own.values()) / LEVEL_WEIGHT**p for p, own in levels.items()
        }
        return [*levels.values(), between]


def some_plan(random: Random) -> Plan:
    """One task, or shards and their sum."""
    if random.random() < 0.4:
        return reduce_plan(1, seconds=random.choice([1e-3, 1e-2, 0.1, 1.0]))
    return reduce_plan(random.randint(2, 12), seconds=random.choice([1e-4, 1e-3, 0.02, 0.3]))


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("priorities", [EVEN, LEVELS], ids=["even", "levels"])
@pytest.mark.parametrize("workers", [1, 3, 8])
def test_flows_that_wait_get_the_same_time(workers: int, priorities: Mapping[str, int], seed: int):
    """However many jobs each has, and whatever is lost, cancelled, late or tried twice."""
    fairness = Fairness(workers, priorities, Random(seed))
    fairness.bring_work()
    fairness.given_s = dict.fromkeys(CLIENTS, 0.0)  # who came first had the workers alone
    for _ in range(350):
        fairness.happen()
        fairness.measure_apart()
        fairness.bring_work()
    largest_s = {k: v for own in fairness.siblings(fairness.largest_s, max) for k, v in own.items()}
    assert fairness.apart_s
    for (one, other), apart_s in fairness.apart_s.items():
        own_s = largest_s[one], largest_s[other]
        assert apart_s <= sum(own_s) + (workers - 1) * max(own_s) + 1e-9
