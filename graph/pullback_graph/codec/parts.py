"""Messages in parts: first the message, then the elements of its large arrays, each copied once.

In the message such an array is a Tensor with a shape and without data. gRPC hands over a message
only when all of it is there, and joins it out of small pieces; parts are on their way while others
are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from google.protobuf.message import DecodeError

from pullback_graph.codec.messages import read_varint
from pullback_graph.codec.tensors import check_elements, decode_dtype
from pullback_graph.codec.wire_arrays import length_key, varint
from pullback_graph.errors import LimitExceeded, WireError
from pullback_graph.fingerprint import NUMBERS, little_endian, raw_bytes
from pullback_graph.job import NDArray
from pullback_graph.limits import Limits
from pullback_proto.v1 import service_pb2, tensor_pb2

PART_BYTES = 1 << 20
"""Data of one part: what every server takes."""
_DATA_KEY = length_key(service_pb2.Part.DATA_FIELD_NUMBER)


def parts(message: bytes, arrays: Iterable[NDArray]) -> Iterator[bytes]:
    """The serialised Parts of a message and of the arrays it has without their data.

    Raises:
        DTypeError: an array's dtype is not one of the language.
    """
    arrays = [little_endian(array) for array in arrays]
    types = [_type(array) for array in arrays]
    yield service_pb2.Part(message=message, arrays=types).SerializeToString()
    for array in arrays:
        data = memoryview(raw_bytes(array))
        for start in range(0, len(data), PART_BYTES):
            part = data[start : start + PART_BYTES]
            yield b"".join((_DATA_KEY, varint(len(part)), part))


class PartsReader:
    """Puts parts together again as they come.

    Args:
        most_bytes: what the arrays may take together.

    Attributes:
        message: the serialised message; empty before the first part.
        arrays: in the order of the message; filled as parts come.
    """

    def __init__(self, limits: Limits, most_bytes: int) -> None:
        self._limits = limits
        self._most_bytes = most_bytes
        self.message = b""
        self.arrays: list[NDArray] = []
        self._begun = False
        self._room: list[memoryview] = []

    def take(self, data: bytes) -> None:
        """Take the next part.

        Raises:
            WireError: it does not parse, comes in the wrong place, or is too much.
            LimitExceeded: its arrays are more than the limits allow; nothing was made of them.
            DTypeError: one has a dtype that the language has not.
        """
        elements = _data_alone(data) if self._begun else None
        if elements is None:
            part = _parsed(data)
            if not self._begun:
                self._open(part)
                return
            if part.message or part.arrays:
                raise WireError("every part after the first must be data", field="part.data")
            elements = memoryview(part.data)
        while len(elements):
            if not self._room:
                raise WireError("more data came than the arrays take", field="part.data")
            room = self._room[-1]
            size = min(len(room), len(elements))
            room[:size] = elements[:size]
            elements = elements[size:]
            if size == len(room):
                self._room.pop()
            else:
                self._room[-1] = room[size:]

    def finish(self) -> None:
        """Check that all came, and what only all of an array shows.

        Raises:
            WireError: something is missing, or a bool is neither 0 nor 1.
        """
        if not self._begun:
            raise WireError("no part came; send the message first", field="part.message")
        if self._room:
            missing = sum([len(room) for room in self._room])
            raise WireError(f"{missing} bytes of data are missing; send all", field="part.data")
        for array in self.arrays:
            check_elements(array, "part")

    def _open(self, part: service_pb2.Part) -> None:
        """Take the first part, and make room for its arrays."""
        if part.data:
            raise WireError("the first part must be the message", field="part.message")
        self._limits.check("max_inputs", len(part.arrays), "arrays", "part.arrays")
        total_bytes = 0
        for item in part.arrays:
            self._limits.check_tensor(item.shape, "part.arrays")
            size = int(np.prod(item.shape, dtype=object)) if item.shape else 1
            total_bytes += size * decode_dtype(item.dtype, "part.arrays").itemsize
        if total_bytes > self._most_bytes:
            raise LimitExceeded(
                f"arrays of {total_bytes} bytes come with one message, where at most "
                f"{self._most_bytes} are allowed; send less at once",
                field="part.arrays",
            )
        self._begun, self.message = True, part.message
        self._make_room(part.arrays)

    def _make_room(self, types: Sequence[tensor_pb2.TensorType]) -> None:
        for item in types:
            array = np.empty(tuple(item.shape), decode_dtype(item.dtype, "part.arrays"))
            self.arrays.append(array)
            if array.nbytes:
                self._room.insert(0, array.reshape(-1).view(np.uint8).data)


def _type(array: NDArray) -> tensor_pb2.TensorType:
    number: tensor_pb2.DType = NUMBERS[array.dtype]  # type: ignore[assignment]  # its number
    return tensor_pb2.TensorType(dtype=number, shape=array.shape)


def _parsed(data: bytes) -> service_pb2.Part:
    try:
        return service_pb2.Part.FromString(data)
    except DecodeError as error:
        raise WireError(f"the Part does not parse: {error}", field="part") from None


def _data_alone(data: bytes) -> memoryview | None:
    """The data of a part that holds nothing else, uncopied; None for any other."""
    if data[:1] != _DATA_KEY:
        return None
    try:
        length, position = read_varint(data, len(_DATA_KEY))
    except IndexError:
        return None
    return memoryview(data)[position:] if length == len(data) - position else None
