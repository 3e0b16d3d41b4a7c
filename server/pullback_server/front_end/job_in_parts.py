"""A job that comes in parts: the message first, then the elements of its large arrays."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pullback_graph.codec import PartsReader
from pullback_server.front_end.arrivals import Arrival
from pullback_server.front_end.run_job import JobRunner


class JobInParts:
    """One call's parts, read in two steps, so that a full server refuses a job before its arrays.

    Args:
        parts: serialised Parts.
        runner: says what limits hold; arrays may take as much as the store of tensors.
    """

    def __init__(self, parts: AsyncIterator[bytes], runner: JobRunner) -> None:
        self._parts = parts
        self._reader = PartsReader(runner.limits, runner.tensors.capacity_bytes)

    async def opened(self, deadline_s: float | None, client: str) -> Arrival:
        """The job as its first part says it is, its arrays still empty.

        Raises:
            PullbackError: as PartsReader says of a first part.
        """
        async for part in self._parts:
            self._reader.take(part)
            break
        reader = self._reader
        return Arrival(
            reader.message, deadline_s, client=client, apart=reader.arrays, in_parts=True
        )

    async def rest(self) -> None:
        """Fill the arrays; nobody changes them afterwards.

        Raises:
            PullbackError: as PartsReader says.
        """
        async for part in self._parts:
            self._reader.take(part)
        self._reader.finish()
        for array in self._reader.arrays:
            array.flags.writeable = False
