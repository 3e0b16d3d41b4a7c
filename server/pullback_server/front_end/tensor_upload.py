"""One PutTensor call: a header, then data, checked against limits before any of it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

from google.protobuf.message import DecodeError

from pullback_graph.codec import tensor_hash
from pullback_graph.codec.elements import CHUNK_DATA, ElementsReader, array_type, elements_in
from pullback_graph.errors import ServiceError, WireError
from pullback_graph.job import NDArray
from pullback_graph.limits import Limits
from pullback_graph.types import ArrayType
from pullback_proto.v1 import service_pb2
from pullback_server.front_end.passed_arrays import PassedArrays
from pullback_server.front_end.stores import ContentStore


class Uploads:
    """Where uploads end, and what those under way may take together: as much as the store."""

    def __init__(
        self, tensors: ContentStore[NDArray], passed: PassedArrays, limits: Limits
    ) -> None:
        self.tensors = tensors
        self.passed = passed
        self.limits = limits
        self.size_bytes = 0

    @contextmanager
    def room(self, size_bytes: int) -> Iterator[None]:
        """Room for an upload while the block lasts; on the event loop.

        Raises:
            ServiceError: others take it.
        """
        if self.size_bytes and self.size_bytes + size_bytes > self.tensors.capacity_bytes:
            raise ServiceError(
                f"uploads of {self.size_bytes} bytes are under way, which with {size_bytes} more "
                f"are over the store's {self.tensors.capacity_bytes}; try again when they are done",
                retry_after_s=1.0,
            )
        self.size_bytes += size_bytes
        try:
            yield
        finally:
            self.size_bytes -= size_bytes


class TensorUpload:
    """Collects a tensor's chunks, in the array they are for, and keeps it if its hash is right."""

    def __init__(self, uploads: Uploads, header: service_pb2.TensorHeader) -> None:
        self._uploads = uploads
        self._header = header
        self._digits = header.sha256.hex()
        self._type = array_type(header, "chunk.header")
        self._elements: ElementsReader | None = None

    @classmethod
    def begun(cls, uploads: Uploads, data: bytes | None) -> TensorUpload:
        """The upload that a first chunk announces; nothing is kept for it yet.

        Raises:
            WireError: the chunk does not parse or is no header, or the header's sizes disagree.
            LimitExceeded: the tensor is larger than the limits or the store allow.
            DTypeError: its dtype is not one of the language.
        """
        if data is None:
            raise WireError("no chunk came; send a header first", field="chunk.header")
        chunk = _parsed(data)
        if chunk.WhichOneof("part") != "header":
            raise WireError("the first chunk must be a header", field="chunk.header")
        header = chunk.header
        uploads.limits.check_tensor(header.shape)
        uploads.tensors.check_size(header.size_bytes)
        upload = cls(uploads, header)
        dtype, shape = upload._type
        if prod(shape) * dtype.itemsize != header.size_bytes:
            raise WireError(
                f"{ArrayType(dtype, shape)} takes {prod(shape) * dtype.itemsize} bytes, not "
                f"{header.size_bytes}",
                field="chunk.header.size_bytes",
            )
        return upload

    @property
    def size_bytes(self) -> int:
        """What its data take."""
        return int(self._header.size_bytes)

    @property
    def is_stored(self) -> bool:
        """Whether the tensor is in the store."""
        return self._digits in self._uploads.tensors

    def look_among_passed(self) -> None:
        """Store the tensor if it came with a job; on a thread, since hashes say whether it did."""
        array = self._uploads.passed.find(self._digits, *self._type)
        if array is not None:
            self._uploads.tensors.put(self._digits, array)

    def take(self, data: bytes) -> None:
        """Take the next chunk of data.

        Raises:
            WireError: it does not parse, comes in the wrong place, or is too much.
        """
        elements = elements_in(CHUNK_DATA, data)
        if elements is None:
            chunk = _parsed(data)
            if chunk.WhichOneof("part") != "data":
                raise WireError("every chunk after the header must be data", field="chunk.data")
            elements = memoryview(chunk.data)
        self._reader().take(elements)

    def finish(self) -> None:
        """Check what came and keep it; on a thread.

        Raises:
            WireError: data is missing, or hashes to something else.
        """
        (array,) = self._reader().finish()
        found = tensor_hash(array)
        if found != self._digits:
            raise WireError(
                f"the data hashes to {found}, the header says {self._digits}",
                field="chunk.header.sha256",
            )
        array.flags.writeable = False
        self._uploads.tensors.put(found, array)

    def handle(self, *, was_stored: bool) -> service_pb2.TensorHandle:
        """What the client is told."""
        header = self._header
        return service_pb2.TensorHandle(
            sha256=header.sha256, size_bytes=header.size_bytes, already_stored=was_stored
        )

    def _reader(self) -> ElementsReader:
        """Where the data go; made when the first of them come."""
        if self._elements is None:
            self._elements = ElementsReader([self._type], "chunk.data")
        return self._elements


def _parsed(data: bytes) -> service_pb2.TensorChunk:
    try:
        return service_pb2.TensorChunk.FromString(data)
    except DecodeError as error:
        raise WireError(f"the TensorChunk does not parse: {error}", field="chunk") from None
