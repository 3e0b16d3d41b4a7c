"""Messages with large arrays, written by hand: protobuf would copy the bytes of each five times.

The pieces of a message are bytes and views of arrays, to be joined once.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from google.protobuf.message import Message

from pullback_graph.fingerprint import NUMBERS, little_endian, raw_bytes
from pullback_proto.v1 import tensor_pb2

LEAST_BYTES = 1 << 20
"""Smaller arrays are as fast through protobuf."""

Piece: TypeAlias = "bytes | memoryview"

_HAS_LENGTH = 2


def pieces(field: int, item: Message, tensor_field: int, array: Any) -> list[Piece]:
    """Field number `field`: the item, with the array as a Tensor in its own field `tensor_field`.

    Fields of a message may come in any order, so the tensor is put behind the others.

    Raises:
        DTypeError: the array's dtype is not one of the language.
    """
    array = little_endian(array)
    size_bytes: int = array.nbytes
    number: Any = NUMBERS[array.dtype]
    head = tensor_pb2.Tensor(dtype=number, shape=array.shape).SerializeToString()
    head += length_key(tensor_pb2.Tensor.DATA_FIELD_NUMBER) + varint(size_bytes)
    head = length_key(tensor_field) + varint(len(head) + size_bytes) + head
    head = item.SerializeToString() + head
    return [length_key(field) + varint(len(head) + size_bytes) + head, raw_bytes(array)]


def length_key(field: int) -> bytes:
    """The field's number with the wire type of what has a length."""
    return varint(field << 3 | _HAS_LENGTH)


def varint(number: int) -> bytes:
    """A length as protobuf writes it: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
