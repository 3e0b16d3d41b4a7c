"""Calls of one connection: when they are given up, and when they are tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import random
from time import monotonic
from typing import Any

from pullback.remote.address import Address
from pullback.remote.in_parts import ReplyParts
from pullback.remote.retry import RetryPolicy
from pullback.remote.steps import Call, Pause, Steps
from pullback_graph.errors import DeadlineExceeded, ServiceError


class Calls:
    """How calls are made; pure but for the clock and the dice it is given.

    Args:
        clock: seconds that only grow.
        draw: uniform random numbers in [0, 1).
    """

    def __init__(
        self,
        address: Address,
        retry: RetryPolicy,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random,
    ) -> None:
        self.address = str(address)
        self.retry = retry
        self.clock = clock
        self.draw = draw

    def call(
        self,
        method: str,
        request: bytes | Iterable[bytes],
        until_s: float | None,
        *,
        patient: bool = True,
        grace_s: float = 0.0,
        reply: Callable[[], ReplyParts] | None = None,
    ) -> Steps[Any]:
        """The reply's bytes; tried again as the retry policy says.

        Args:
            grace_s: time for the service to say by itself that the deadline has passed.
            reply: makes what takes a reply of several messages, and is returned then.

        Raises:
            PullbackError: the call failed, for good or for too long.
        """
        attempt = 0
        while True:
            attempt += 1
            remaining_s = self._remaining_s(until_s)
            try:
                timeout_s = None if remaining_s is None else remaining_s + grace_s
                return (yield Call(method, request, timeout_s, reply() if reply else None))
            except ServiceError as error:
                remaining_s = None if until_s is None else until_s - self.clock()
                wait_s = self.retry.wait_s(error, attempt, remaining_s, self.draw())
                if wait_s is None or not patient:
                    raise
            yield Pause(wait_s)

    def until(self, deadline_s: float | None) -> float | None:
        """The moment, by the clock, of a deadline that starts now."""
        return None if deadline_s is None else self.clock() + deadline_s

    def _remaining_s(self, until_s: float | None) -> float | None:
        if until_s is None:
            return None
        remaining_s = until_s - self.clock()
        if remaining_s <= 0:
            raise DeadlineExceeded(
                f"the deadline passed before {self.address} could be asked; allow more with "
                "deadline_s"
            )
        return remaining_s
