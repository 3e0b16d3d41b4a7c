"""Messages in parts: first the message, then the elements of its large arrays.

In the message such an array is a Tensor with a shape and without data. gRPC hands over a message
only when all of it is there, and joins it out of small pieces; parts are on their way while others
are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod

from google.protobuf.message import DecodeError

from pullback_graph.codec.elements import (
    PART_DATA,
    ElementsReader,
    array_type,
    element_messages,
    elements_in,
)
from pullback_graph.errors import LimitExceeded, WireError
from pullback_graph.fingerprint import NUMBERS, little_endian
from pullback_graph.job import NDArray
from pullback_graph.limits import Limits
from pullback_proto.v1 import service_pb2, tensor_pb2


def parts(message: bytes, arrays: Iterable[NDArray]) -> Iterator[bytes]:
    """The serialised Parts of a message and of the arrays it has without their data.

    Raises:
        DTypeError: an array's dtype is not one of the language.
    """
    arrays = [little_endian(array) for array in arrays]
    types = [_type(array) for array in arrays]
    yield service_pb2.Part(message=message, arrays=types).SerializeToString()
    for array in arrays:
        yield from element_messages(PART_DATA, array)


class PartsReader:
    """Puts parts together again as they come.

    Args:
        most_bytes: what the arrays may take together.

    Attributes:
        message: the serialised message; empty before the first part.
    """

    def __init__(self, limits: Limits, most_bytes: int) -> None:
        self._limits = limits
        self._most_bytes = most_bytes
        self._elements: ElementsReader | None = None
        self.message = b""

    @property
    def arrays(self) -> list[NDArray]:
        """In the order of the message; filled as parts come."""
        return [] if self._elements is None else self._elements.arrays

    def take(self, data: bytes) -> None:
        """Take the next part.

        Raises:
            WireError: it does not parse, comes in the wrong place, or is too much.
            LimitExceeded: its arrays are more than the limits allow; nothing was made of them.
            DTypeError: one has a dtype that the language has not.
        """
        if self._elements is None:
            self._elements = self._opened(_parsed(data))
            return
        elements = elements_in(PART_DATA, data)
        if elements is None:
            part = _parsed(data)
            if part.message or part.arrays:
                raise WireError("every part after the first must be data", field="part.data")
            elements = memoryview(part.data)
        self._elements.take(elements)

    def finish(self) -> None:
        """Check that all came, and what only all of an array shows.

        Raises:
            WireError: something is missing, or a bool is neither 0 nor 1.
        """
        if self._elements is None:
            raise WireError("no part came; send the message first", field="part.message")
        self._elements.finish()

    def _opened(self, part: service_pb2.Part) -> ElementsReader:
        """Take the first part, and make room for its arrays."""
        if part.data:
            raise WireError("the first part must be the message", field="part.message")
        self._limits.check("max_inputs", len(part.arrays), "arrays", "part.arrays")
        for item in part.arrays:
            self._limits.check_tensor(item.shape, "part.arrays")
        types = [array_type(item, "part.arrays") for item in part.arrays]
        total_bytes = sum([prod(shape) * dtype.itemsize for dtype, shape in types])
        if total_bytes > self._most_bytes:
            raise LimitExceeded(
                f"arrays of {total_bytes} bytes come with one message, where at most "
                f"{self._most_bytes} are allowed; send less at once",
                field="part.arrays",
            )
        self.message = part.message
        return ElementsReader(types, "part")


def _type(array: NDArray) -> tensor_pb2.TensorType:
    number: tensor_pb2.DType = NUMBERS[array.dtype]  # type: ignore[assignment]  # its number
    return tensor_pb2.TensorType(dtype=number, shape=array.shape)


def _parsed(data: bytes) -> service_pb2.Part:
    try:
        return service_pb2.Part.FromString(data)
    except DecodeError as error:
        raise WireError(f"the Part does not parse: {error}", field="part") from None
