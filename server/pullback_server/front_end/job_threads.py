"""The front end's own threads for small jobs: higher priority first, then first come first served.

Belongs to one event loop; only `run` is called, and only from that loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

Result = TypeVar("Result")


class JobThreads:
    """A fixed number of threads with a priority queue before them.

    Attributes:
        running: calls on a thread now.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pullback-job")
        self._threads = threads
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self.running = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        return len(self._waiting)

    async def run(self, priority: int, call: Callable[[], Result]) -> Result:
        """Run `call` on a thread when its turn comes; a cancelled waiter never runs.

        Raises:
            RuntimeError: `call` raised StopIteration.
        """
        await self._turn(priority)
        future = asyncio.get_running_loop().run_in_executor(self._pool, _told, call)
        future.add_done_callback(self._ended)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Let the threads end when their calls have."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, priority: int) -> None:
        """Take a thread, waiting for one if need be."""
        if self.running < self._threads:
            self.running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (-priority, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    def _ended(self, future: asyncio.Future[Any]) -> None:
        """Free the thread; an error that no caller waits for any more is seen here."""
        self._leave()
        if not future.cancelled():
            future.exception()

    def _leave(self) -> None:
        """Hand the thread to the next waiter, or put it back."""
        while self._waiting:
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


def _told(call: Callable[[], Result]) -> Result:
    """The call, its StopIteration told apart: no future takes that, so its waiter would hang."""
    try:
        return call()
    except StopIteration as error:
        raise RuntimeError("a call raised StopIteration") from error
