"""What the pool knows of a worker: who waits for its answers, and what it is to drop."""

from __future__ import annotations

import asyncio
from typing import Any

from pullback_server.planner.plan import Placement
from pullback_server.pool_worker import PoolWorker
from pullback_worker.batch import Freed


class FakeActor:
    """Takes `free.remote(...)` and remembers it."""

    def __init__(self) -> None:
        self.freed: list[Any] = []
        self.free = self

    def remote(self, freed: Any) -> None:
        """A call of the actor."""
        self.freed.append(freed)


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
