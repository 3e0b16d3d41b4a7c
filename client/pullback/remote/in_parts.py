"""A job and its result as they travel in parts: the messages, then their large arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from pullback.remote.failure import garbled
from pullback.remote.reply import parse_result
from pullback_graph.codec import PartsReader, parts
from pullback_graph.errors import PullbackError
from pullback_graph.job import NDArray, Result
from pullback_graph.limits import DEFAULT_LIMITS


class JobParts:
    """The serialised Parts of a job; may be walked again, for another try."""

    def __init__(self, job: bytes, apart: Sequence[NDArray]) -> None:
        self._job = job
        self._apart = apart

    def __iter__(self) -> Iterator[bytes]:
        return parts(self._job, self._apart)


class ReplyParts:
    """A result that comes in parts."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._reader = PartsReader(DEFAULT_LIMITS, sys.maxsize)

    def take(self, data: bytes) -> None:
        """Take the next part.

        Raises:
            ServiceError: it does not parse, or does not belong there.
        """
        try:
            self._reader.take(data)
        except PullbackError as error:
            raise garbled("result", self._address, error) from None

    def result(self, id: str) -> Result:
        """The result, when all parts have come.

        Raises:
            ServiceError: something is missing, or does not parse.
        """
        try:
            self._reader.finish()
        except PullbackError as error:
            raise garbled("result", self._address, error) from None
        return parse_result(self._reader.message, id, self._address, self._reader.arrays)
