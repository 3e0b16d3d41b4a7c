"""A tensor the service holds, and how it gets there: a header, then chunks of its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback_graph.codec.elements import CHUNK_DATA, MESSAGE_BYTES, element_messages
from pullback_graph.fingerprint import DTYPE_NUMBERS, little_endian
from pullback_graph.job import NDArray, TensorHash
from pullback_graph.types import DType, Shape
from pullback_proto.v1 import service_pb2


class RemoteTensor:
    """An array sent before, usable as an input or a seed in its place; only its name travels then.

    It keeps the array (which must not be changed), to send it again should the service have dropped
    it, and to stand for it wherever NumPy asks for an array.
    """

    __slots__ = ("array", "hash")

    def __init__(self, array: NDArray, hash: TensorHash) -> None:
        self.array = array
        self.hash = hash

    @property
    def shape(self) -> Shape:
        """Size of each axis."""
        shape: Shape = self.array.shape
        return shape

    @property
    def dtype(self) -> DType:
        """NumPy dtype of the elements."""
        dtype: DType = self.array.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.array.ndim

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.array(self.array, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        listed = ",".join(map(str, self.shape))
        return f"RemoteTensor({self.dtype.name}[{listed}], {self.hash.sha256[:12]})"


class Upload:
    """The serialised TensorChunks of an array; may be walked again, for another try."""

    def __init__(self, array: NDArray, hash: TensorHash, chunk_bytes: int = MESSAGE_BYTES) -> None:
        self._array = little_endian(array)
        self._hash = hash
        self._chunk_bytes = chunk_bytes

    @property
    def header(self) -> bytes:
        """The first chunk, which is all that a service needs that has the array."""
        array = self._array
        header = service_pb2.TensorHeader(
            dtype=DTYPE_NUMBERS[array.dtype.name],  # type: ignore[arg-type]  # the wire's numbers
            shape=array.shape,
            size_bytes=array.nbytes,
            sha256=bytes.fromhex(self._hash.sha256),
        )
        data: bytes = service_pb2.TensorChunk(header=header).SerializeToString()
        return data

    def __iter__(self) -> Iterator[bytes]:
        yield self.header
        yield from element_messages(CHUNK_DATA, self._array, self._chunk_bytes)
