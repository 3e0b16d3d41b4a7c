"""The elements of arrays on their way: their next bytes in each message, copied once a side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pullback_graph.codec.messages import read_varint
from pullback_graph.codec.tensors import check_elements, decode_dtype
from pullback_graph.codec.wire_arrays import length_key, varint
from pullback_graph.errors import WireError
from pullback_graph.fingerprint import little_endian, raw_bytes
from pullback_graph.job import NDArray
from pullback_graph.types import DType, Shape
from pullback_proto.v1 import service_pb2

MESSAGE_BYTES = 1 << 20
"""Data of one message: what every server takes."""
PART_DATA = length_key(service_pb2.Part.DATA_FIELD_NUMBER)
CHUNK_DATA = length_key(service_pb2.TensorChunk.DATA_FIELD_NUMBER)


def element_messages(
    key: bytes, array: NDArray, message_bytes: int = MESSAGE_BYTES
) -> Iterator[bytes]:
    """Serialised messages whose only field, of this key, is the next bytes of an array.

    Raises:
        DTypeError: the array's dtype is not one of the language.
    """
    data = memoryview(raw_bytes(little_endian(array)))
    for start in range(0, len(data), message_bytes):
        part = data[start : start + message_bytes]
        yield b"".join((key, varint(len(part)), part))


def elements_in(key: bytes, data: bytes) -> memoryview | None:
    """The bytes in a message that holds nothing else, uncopied; None for any other."""
    if data[: len(key)] != key:
        return None
    try:
        length, position = read_varint(data, len(key))
    except IndexError:
        return None
    return memoryview(data)[position:] if length == len(data) - position else None


def array_type(message: Any, field: str) -> tuple[DType, Shape]:
    """The dtype and shape that a message gives.

    Raises:
        DTypeError: the dtype is not one of the language.
    """
    return decode_dtype(message.dtype, field), tuple(message.shape)


class ElementsReader:
    """Arrays of known types, filled as their bytes come.

    Args:
        field: of the messages, for errors.
    """

    def __init__(self, types: Iterable[tuple[DType, Shape]], field: str) -> None:
        self.arrays: list[NDArray] = [np.empty(shape, dtype) for dtype, shape in types]
        views = [array.reshape(-1).view(np.uint8).data for array in self.arrays if array.nbytes]
        self._room = views[::-1]
        self._field = field

    def take(self, elements: memoryview) -> None:
        """Take the next bytes.

        Raises:
            WireError: they are too many.
        """
        while len(elements):
            if not self._room:
                raise WireError("more data came than the arrays take", field=self._field)
            room = self._room[-1]
            size = min(len(room), len(elements))
            room[:size] = elements[:size]
            elements = elements[size:]
            if size == len(room):
                self._room.pop()
            else:
                self._room[-1] = room[size:]

    def finish(self) -> list[NDArray]:
        """The arrays, when all came; checks what only all of an array shows.

        Raises:
            WireError: something is missing, or a bool is neither 0 nor 1.
        """
        if self._room:
            missing = sum([len(room) for room in self._room])
            raise WireError(f"{missing} bytes of data are missing; send all", field=self._field)
        for array in self.arrays:
            check_elements(array, self._field)
        return self.arrays
