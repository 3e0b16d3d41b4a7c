"""What a conversation asks of its shell: effects. Decisions are made once, for both clients.

A conversation is a generator of effects; the shell, plain or asyncio, performs each and sends the
outcome back in, or throws the error in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pullback.remote.in_parts import ReplyParts


class Call(NamedTuple):
    """Call a method of the service; the outcome is the reply, or a PullbackError raised.

    Attributes:
        request: one message, or a stream of them.
        timeout_s: seconds until the call is given up; None waits for ever.
        reply: takes the reply's messages where it is a stream, and is the outcome then.
    """

    method: str
    request: bytes | Iterable[bytes]
    timeout_s: float | None
    reply: ReplyParts | None = None


class Pause(NamedTuple):
    """Let time pass."""

    seconds: float


class Compute(NamedTuple):
    """Run something that takes a while (hashing), off the event loop; the outcome is its result."""

    function: Callable[[], Any]


Effect: TypeAlias = "Call | Pause | Compute"
Outcome = TypeVar("Outcome")
Steps: TypeAlias = "Generator[Effect, Any, Outcome]"
