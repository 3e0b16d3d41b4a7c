"""Messages that wait to be sent on a stream, joined to one: it costs more than what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Item = TypeVar("Item")

MOST_TOGETHER = 64
"""Messages that are sent as one: most small ones that are there at once, and not too much work for
whoever reads them at a time."""


async def together(
    waiting: asyncio.Queue[Item | None],
    size_of: Callable[[Item], int] = lambda item: 1,
    most: int = MOST_TOGETHER,
) -> list[Item]:
    """The items of a queue that are there at once, one at least; none where None comes first.

    Args:
        waiting: nothing comes behind its None, which stays in it for the next call.
        size_of: what an item counts; those behind `most` together wait for the next call.
    """
    items, size = list[Item](), 0
    while not items or (size < most and not waiting.empty()):
        item = await waiting.get()
        if item is None:
            waiting.put_nowait(None)
            break
        items.append(item)
        size += size_of(item)
    return items
