"""What waits to be sent goes together, in order, as much as may; then the end is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pullback_server.outbox import together


async def taken(items: Sequence[str], most: int) -> list[list[str]]:
    """How these items are taken from a queue that ends behind them, by their lengths."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    for item in (*items, None):
        queue.put_nowait(item)
    found = []
    while some := await together(queue, len, most):
        found.append(some)
    assert not await together(queue, len, most)
    return found


async def test_what_is_there_at_once_goes_together():
    """Up to the size that is allowed, which one alone may exceed."""
    assert await taken(["a", "bb", "c"], 10) == [["a", "bb", "c"]]
    assert await taken(["aa", "bb", "cc"], 3) == [["aa", "bb"], ["cc"]]
    assert await taken(["a long one", "b"], 3) == [["a long one"], ["b"]]
    assert await taken([], 3) == []


async def test_nothing_waits_for_company():
    """An item goes as soon as it is there; one that comes later goes by itself."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    first = asyncio.create_task(together(queue))
    await asyncio.sleep(0)
    queue.put_nowait("a")
    assert await first == ["a"]
    queue.put_nowait("b")
    assert await together(queue) == ["b"]


async def test_a_bounded_queue_can_end():
    """Its end goes back into it, though others may wait to put more."""
    queue: asyncio.Queue[str | None] = asyncio.Queue(2)
    queue.put_nowait("a")
    queue.put_nowait(None)
    assert await together(queue) == ["a"]
    assert await together(queue) == []
