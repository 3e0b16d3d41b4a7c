"""What a stream may have under way and read ahead: chunks of jobs, counted by jobs and bytes.

Belongs to one event loop; one task puts, one takes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from pullback_server.front_end.arrivals import Arrival, bytes_of

AHEAD_JOBS = 1024
"""Jobs read and not started: beyond them lies what cancels them, on the same stream."""
AHEAD_BYTES = 16 << 20


class ReadAhead:
    """Chunks that were read and wait to be started; one is always taken in."""

    def __init__(self) -> None:
        self._chunks: deque[Sequence[Arrival]] = deque()
        self._jobs = self._bytes = 0
        self._changed = asyncio.Event()
        self._is_ended = False

    async def put(self, chunk: Sequence[Arrival]) -> None:
        """Line a chunk up; waits while too much is."""
        size_bytes = bytes_of(chunk)
        while self._chunks and (
            self._jobs + len(chunk) > AHEAD_JOBS or self._bytes + size_bytes > AHEAD_BYTES
        ):
            await self._change()
        self._chunks.append(chunk)
        self._count(len(chunk), size_bytes)

    async def get(self) -> Sequence[Arrival] | None:
        """The next chunk; None where there will be none."""
        while not self._chunks:
            if self._is_ended:
                return None
            await self._change()
        chunk = self._chunks.popleft()
        self._count(-len(chunk), -bytes_of(chunk))
        return chunk

    def end(self) -> None:
        """There will be no more."""
        self._is_ended = True
        self._changed.set()

    def _count(self, jobs: int, size_bytes: int) -> None:
        self._jobs += jobs
        self._bytes += size_bytes
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Room:
    """Room for so many, of which several may be taken at once."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._freed = asyncio.Event()

    async def take(self, count: int) -> None:
        """Wait until there is room for so many; at most all there is."""
        while self._free < count:
            self._freed.clear()
            await self._freed.wait()
        self._free -= count

    def give_back(self, count: int) -> None:
        """They are done."""
        self._free += count
        self._freed.set()
