"""A call's messages, as long as they come at a pace that whoever has something to send keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

from pullback_graph.errors import DeadlineExceeded, LimitExceeded

PATIENCE_S = 30.0
"""How long the server waits for a message, and in all for those that are slow."""
LEAST_BYTES_S = 16 << 10
"""What earns patience back, a second of it."""
LEAST_BYTES = 4 << 10
"""Smaller messages are counted."""
MOST_SMALL = 1024


async def paced(
    messages: AsyncIterator[bytes], clock: Callable[[], float] = monotonic
) -> AsyncIterator[bytes]:
    """The same messages; a place and memory are held for who sends them, for so long.

    Raises:
        DeadlineExceeded: they come too slowly, or no more.
        LimitExceeded: too many are small.
    """
    left_s, small = PATIENCE_S, 0
    while True:
        since_s = clock()
        try:
            async with asyncio.timeout(left_s):
                data = await anext(messages, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"too little came for {PATIENCE_S:g} s; send what there is at "
                f"{LEAST_BYTES_S} bytes a second or faster"
            ) from None
        if data is None:
            return
        small += len(data) < LEAST_BYTES
        if small > MOST_SMALL:
            raise LimitExceeded(
                f"more than {MOST_SMALL} messages of less than {LEAST_BYTES} bytes came; send more "
                "at once"
            )
        left_s = max(0.0, left_s - (clock() - since_s))
        left_s = min(PATIENCE_S, left_s + len(data) / LEAST_BYTES_S)
        yield data
