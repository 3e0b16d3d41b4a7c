"""What the pool knows of a worker: who waits for its answers, and what it is to drop."""

from __future__ import annotations

import asyncio
from typing import Any

from pullback_server.planner.plan import Placement, TaskOutput
from pullback_server.pool_worker import Flight, PoolWorker
from pullback_server.scheduler import Fetch, Run
from pullback_worker.batch import Freed, InputOperand, ValueKey

X = InputOperand(0)


class FakeActor:
    """Takes `free.remote(...)`, or another call of one method, and remembers it."""

    def __init__(self) -> None:
        self.freed: list[Any] = []
        self.free = self.leave = self

    def remote(self, *arguments: Any) -> None:
        """A call of the actor."""
        self.freed.append(arguments if len(arguments) > 1 else arguments[0])


def test_who_has_an_answer_waits_no_more():
    """A worker that is asked again and again keeps nobody who was answered."""

    async def asked() -> tuple[int, int]:
        worker = PoolWorker(1, Placement.CPU, None)
        waiting = asyncio.Event()

        async def wait() -> None:
            await waiting.wait()

        for _ in range(5):
            worker.attend(wait())
        before = len(worker.listeners)
        waiting.set()
        await asyncio.gather(*worker.listeners)
        await asyncio.sleep(0)
        return before, len(worker.listeners)

    assert asyncio.run(asked()) == (5, 0)


def test_what_is_to_be_dropped_is_said_once():
    """A worker hears of it, and then there is nothing more to say."""
    worker = PoolWorker(1, Placement.CPU, FakeActor())
    worker.flush()
    worker.freed.append(Freed(3, None))
    worker.flush()
    worker.flush()
    assert worker.actor.freed == [[Freed(3, None)]]


def test_what_came_with_batches_that_did_not_reach_a_worker_comes_again():
    """It is told again what to drop, too; of jobs that brought nothing along it has all it had."""
    worker = PoolWorker(1, Placement.CPU, FakeActor())
    worker.known["a graph"] = None
    worker.given = {8: {X}, 9: {X}}
    worker.freed = [Freed(4, None)]
    lost = Flight(Run(1, 1, 9, (), ()), None, {}, inputs=[X], freed=[Freed(3, None)])
    worker.missed([lost, Flight(Run(1, 2, 8, (), ()), None, {})])
    assert not worker.known
    assert worker.given == {8: {X}}
    assert worker.freed == [Freed(3, None), Freed(4, None)]


def test_a_worker_counts_on_what_came_with_an_earlier_batch_of_the_job():
    """Not on that of another job, nor on one that brought nothing along."""
    worker = PoolWorker(1, Placement.CPU, FakeActor())
    first = Flight(Run(1, 1, 9, (), ()), None, {}, inputs=[X])
    behind = Flight(Run(1, 2, 9, (), ()), None, {})
    worker.flying = {first, behind}
    assert worker.counts_on([first])
    assert not worker.counts_on([first, behind])
    assert not worker.counts_on([behind])
    worker.flying = {first, Flight(Run(1, 2, 8, (), ()), None, {})}
    assert not worker.counts_on([first])


def test_readers_of_what_a_lost_worker_had_are_told():
    """Each batch that is under way hears of its own values, and of no other worker's."""
    worker = PoolWorker(1, Placement.CPU, FakeActor())
    mine, other = Fetch(TaskOutput(3, 0), 2), Fetch(TaskOutput(4, 1), 5)
    for batch, fetches in ((1, (mine, other)), (2, (other,)), (3, ())):
        worker.flying.add(Flight(Run(1, batch, 9, (), fetches), None, {}))
    worker.leave(2)
    assert worker.actor.freed == [(1, False, [ValueKey(3, 0)])]
    worker.leave(7)
    assert len(worker.actor.freed) == 1
