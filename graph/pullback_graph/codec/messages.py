"""Bytes to messages: the one place where protobuf parses what came from outside."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from pullback_graph.errors import WireError

M = TypeVar("M", bound=Message)


def parsed(kind: type[M], data: bytes | M, field: str) -> M:
    """The message in `data`, or `data` itself where it is one already.

    Raises:
        WireError: the bytes are no such message.
    """
    if isinstance(data, kind):
        return data
    try:
        return kind.FromString(data)  # type: ignore[arg-type]  # bytes, by the line above
    except (DecodeError, TypeError) as error:
        raise WireError(
            f"the bytes are no {kind.DESCRIPTOR.full_name}: {error}", field=field
        ) from None
