"""One PutTensor call: a header, then data, checked against limits before any of it is kept."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from pullback_graph.codec import decode_tensor, tensor_hash
from pullback_graph.errors import WireError
from pullback_graph.job import NDArray
from pullback_graph.limits import Limits
from pullback_proto.v1 import service_pb2, tensor_pb2
from pullback_server.front_end.stores import ContentStore


class TensorUpload:
    """Collects a tensor's chunks and keeps it when its hash is what the header said."""

    def __init__(self, tensors: ContentStore[NDArray], limits: Limits) -> None:
        self._tensors = tensors
        self._limits = limits
        self._header: service_pb2.TensorHeader | None = None
        self._data = bytearray()
        self._known = False

    def take(self, data: bytes) -> bool:
        """Take the next chunk; whether no more is needed, since the tensor is here already.

        Raises:
            WireError: a chunk does not parse, comes in the wrong place, or is too much.
            LimitExceeded: the tensor is larger than the limits or the store allow.
        """
        try:
            chunk = service_pb2.TensorChunk.FromString(data)
        except DecodeError as error:
            raise WireError(f"the TensorChunk does not parse: {error}", field="chunk") from None
        part = chunk.WhichOneof("part")
        if self._header is None:
            if part != "header":
                raise WireError("the first chunk must be a header", field="chunk.header")
            return self._open(chunk.header)
        if part != "data":
            raise WireError("every chunk after the header must be data", field="chunk.data")
        self._data += chunk.data
        if len(self._data) > self._header.size_bytes:
            raise WireError(
                f"more data came than the {self._header.size_bytes} bytes of the header",
                field="chunk.data",
            )
        return False

    def finish(self) -> service_pb2.TensorHandle:
        """Check what came and keep it.

        Raises:
            WireError: data is missing, or hashes to something else.
        """
        header = self._header
        if header is None:
            raise WireError("no chunk came; send a header first", field="chunk.header")
        if not self._known:
            self._keep(header)
        return service_pb2.TensorHandle(
            sha256=header.sha256, size_bytes=header.size_bytes, already_stored=self._known
        )

    def _open(self, header: service_pb2.TensorHeader) -> bool:
        self._limits.check_tensor(list(header.shape))
        self._tensors.check_size(header.size_bytes)
        self._header = header
        self._known = header.sha256.hex() in self._tensors
        return self._known

    def _keep(self, header: service_pb2.TensorHeader) -> None:
        if len(self._data) != header.size_bytes:
            raise WireError(
                f"{len(self._data)} bytes came of {header.size_bytes}; send all of them",
                field="chunk.data",
            )
        array = decode_tensor(
            tensor_pb2.Tensor(dtype=header.dtype, shape=header.shape, data=bytes(self._data))
        )
        found = tensor_hash(array)
        if found != header.sha256.hex():
            raise WireError(
                f"the data hashes to {found}, the header says {header.sha256.hex()}",
                field="chunk.header.sha256",
            )
        self._tensors.put(found, array)
