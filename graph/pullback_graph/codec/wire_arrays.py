"""Arrays in messages, written by hand: protobuf would copy the bytes of each, several times.

What stands before an array's elements is made once for arrays of one name, dtype and shape; the
pieces of a message are joined once.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, TypeAlias

from google.protobuf.message import Message

from pullback_graph.codec.messages import length_tag
from pullback_graph.fingerprint import NUMBERS, little_endian, raw_bytes
from pullback_graph.types import DType, Shape
from pullback_proto.v1 import tensor_pb2

Piece: TypeAlias = "bytes | memoryview"

KEPT = 4096


def named_pieces(field: int, name: str, array: Any) -> tuple[Piece, Piece]:
    """The bytes of field number `field`, a NamedTensor, in two pieces: the second is the elements.

    Raises:
        DTypeError: the array's dtype is not one of the language.
        ValueError: protobuf does not take the name.
    """
    array = little_endian(array)
    return _named_head(field, name, array.dtype, array.shape), raw_bytes(array)


@lru_cache(KEPT)
def _named_head(field: int, name: str, dtype: DType, shape: Shape) -> bytes:
    item = tensor_pb2.NamedTensor(name=name)
    return head(field, item, tensor_pb2.NamedTensor.TENSOR_FIELD_NUMBER, dtype, shape)


def head(field: int, item: Message, tensor_field: int, dtype: DType, shape: Shape) -> bytes:
    """What stands before an array's elements: the item, as `field`, and its Tensor up to its data.

    Fields of a message may come in any order, so the tensor, in the item's field `tensor_field`, is
    put behind the others, and its data at its end.
    """
    size_bytes = prod(shape) * dtype.itemsize
    number: Any = NUMBERS[dtype]
    tensor = tensor_pb2.Tensor(dtype=number, shape=shape).SerializeToString()
    tensor += length_key(tensor_pb2.Tensor.DATA_FIELD_NUMBER) + varint(size_bytes)
    behind = length_key(tensor_field) + varint(len(tensor) + size_bytes) + tensor
    whole = item.SerializeToString() + behind
    return length_key(field) + varint(len(whole) + size_bytes) + whole


def length_key(field: int) -> bytes:
    """The field's number with the wire type of what has a length."""
    return varint(length_tag(field))


def varint(number: int) -> bytes:
    """A length as protobuf writes it: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
