"""What a conversation asks of its shell: effects. Decisions are made once, for both clients.

A conversation is a generator of effects; the shell, plain or asyncio, performs each and sends the
outcome back in, or throws the error in.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pullback.remote.in_parts import ReplyParts
from pullback_graph.errors import PullbackError


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
Does = TypeVar("Does")
Steps: TypeAlias = "Generator[Effect, Any, Outcome]"


def perform_all(steps: Generator[Does, Any, Outcome], perform: Callable[[Does], Any]) -> Outcome:
    """Perform steps to their end, and give what they come to; they are told of errors."""
    try:
        effect = next(steps)
        while True:
            try:
                outcome = perform(effect)
            except PullbackError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(outcome)
    except StopIteration as stop:
        result: Outcome = stop.value
        return result
    finally:
        steps.close()


async def perform_all_async(
    steps: Generator[Does, Any, Outcome], perform: Callable[[Does], Awaitable[Any]]
) -> Outcome:
    """As `perform_all`, on an event loop."""
    try:
        effect = next(steps)
        while True:
            try:
                outcome = await perform(effect)
            except PullbackError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(outcome)
    except StopIteration as stop:
        result: Outcome = stop.value
        return result
    finally:
        steps.close()


def performing(steps: Generator[Does, Any, None], perform: Callable[[Does], Any]) -> Iterator[Does]:
    """Perform steps to their end, handing on each once it is done; they are told of errors."""
    try:
        effect = next(steps)
        while True:
            try:
                outcome = perform(effect)
            except PullbackError as error:
                effect = steps.throw(error)
                continue
            yield effect
            effect = steps.send(outcome)
    except StopIteration:
        return
    finally:
        steps.close()


async def performing_async(
    steps: Generator[Does, Any, None], perform: Callable[[Does], Awaitable[Any]]
) -> AsyncGenerator[Does, None]:
    """As `performing`, on an event loop."""
    try:
        effect = next(steps)
        while True:
            try:
                outcome = await perform(effect)
            except PullbackError as error:
                effect = steps.throw(error)
                continue
            yield effect
            effect = steps.send(outcome)
    except StopIteration:
        return
    finally:
        steps.close()
