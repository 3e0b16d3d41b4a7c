"""Bytes to messages: the one place where protobuf parses what came from outside.

A part of two bytes takes some sixty when parsed, so a message that could hold too many parts is
counted first, by walking its wire form without making anything of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from pullback_graph.errors import WireError
from pullback_graph.limits import Limits

M = TypeVar("M", bound=Message)

MESSAGE_BYTES = 1200
"""A status travels in gRPC's trailing metadata, of which eight kilobytes are sure to arrive: its
message twice, once with three bytes for each that is not printable ASCII."""

_LEAST_PART_BYTES = 2
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BITS = 70
_FIXED_BYTES: dict[int, int] = {_FIXED64: 8, _FIXED32: 4}


def parsed(kind: type[M], data: bytes | M, field: str, limits: Limits) -> M:
    """The message in `data`, or `data` itself where it is one already.

    Raises:
        WireError: the bytes are no such message.
        LimitExceeded: they hold more parts than allowed.
    """
    if isinstance(data, kind):
        return data
    if not isinstance(data, bytes):
        raise WireError(f"expected bytes, got {type(data).__name__}", field=field)
    if len(data) > limits.max_parts * _LEAST_PART_BYTES:
        parts = count_parts(kind, data, limits.max_parts)
        limits.check("max_parts", parts, "parts (fields with a length) in a message", field)
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise WireError(
            f"the bytes are no {kind.DESCRIPTOR.full_name}: {error}", field=field
        ) from None


def shortened(text: str, size_bytes: int = MESSAGE_BYTES) -> str:
    """At most so many bytes of UTF-8; a character that it has not becomes a question mark."""
    data = text.encode("utf-8", "replace")
    if len(data) <= size_bytes:
        return data.decode()
    return data[: size_bytes - 3].decode("utf-8", "ignore") + "..."


def count_parts(kind: type[Message], data: bytes, enough: int) -> int:
    """How many fields with a length the bytes hold, at all depths; no further than past `enough`.

    Where the bytes are malformed the count ends: parsing them will say so.
    """
    count = 0
    try:
        for _ in _parts(data, _messages(kind.DESCRIPTOR)):
            count += 1
            if count > enough:
                break
    except LookupError:  # cut off, or of a kind that no field has
        pass
    return count


def _parts(data: bytes, inner: dict[int, Any]) -> Iterator[int]:
    """The position of each field with a length, those of messages within messages included."""
    position, end = 0, len(data)
    outer: list[tuple[int, dict[int, Any]]] = []
    while position < end or outer:
        if position >= end:
            end, inner = outer.pop()
            continue
        tag = data[position]
        position += 1
        if tag > 127:
            tag, position = read_varint(data, position - 1)
        if tag & 7 == _LENGTH:
            yield position
            length = data[position]
            position += 1
            if length > 127:
                length, position = read_varint(data, position - 1)
            if tag in inner and length:
                outer.append((end, inner))
                end, inner = min(position + length, end), _messages(inner[tag])
            else:
                position += length
        elif tag & 7 == _VARINT:
            _, position = read_varint(data, position)
        else:
            position += _FIXED_BYTES[tag & 7]


def length_tag(field: int) -> int:
    """The tag of a field that has a length: a message, a string, bytes."""
    return field << 3 | _LENGTH


def double_tag(field: int) -> int:
    """The tag of a field that is a double."""
    return field << 3 | _FIXED64


def fields_within(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of the sound message at these bytes: tag, start and end of each one's value.

    Raises:
        LookupError: one is of a kind that the language does not use.
    """
    position = start
    while position < end:
        tag, position = read_varint(data, position)
        first = position
        if tag & 7 == _LENGTH:
            length, first = read_varint(data, position)
            position = first + length
        elif tag & 7 == _VARINT:
            _, position = read_varint(data, position)
        else:
            position += _FIXED_BYTES[tag & 7]
        yield tag, first, position


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at a position, and the position after it.

    Raises:
        IndexError: it goes on behind the data, or for longer than any number.
    """
    value = shift = 0
    while data[position] > 127:
        value |= (data[position] & 127) << shift
        position, shift = position + 1, shift + 7
        if shift > _MAX_VARINT_BITS:
            raise IndexError
    return value | data[position] << shift, position + 1


@cache
def _messages(descriptor: Any) -> dict[int, Any]:
    """The fields of a message that are messages, by their tag on the wire."""
    return {
        item.number << 3 | _LENGTH: item.message_type
        for item in descriptor.fields
        if item.message_type is not None
    }
