from pullback_proto.v1 import graph_pb2 as _graph_pb2
from pullback_proto.v1 import job_pb2 as _job_pb2
from pullback_proto.v1 import plan_pb2 as _plan_pb2
from pullback_proto.v1 import server_info_pb2 as _server_info_pb2
from pullback_proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GraphHandle(_message.Message):
    __slots__ = ("fingerprint", "already_stored")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ALREADY_STORED_FIELD_NUMBER: _ClassVar[int]
    fingerprint: bytes
    already_stored: bool
    def __init__(self, fingerprint: _Optional[bytes] = ..., already_stored: bool = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("message", "arrays", "data")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ARRAYS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    message: bytes
    arrays: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorType]
    data: bytes
    def __init__(self, message: _Optional[bytes] = ..., arrays: _Optional[_Iterable[_Union[_tensor_pb2.TensorType, _Mapping]]] = ..., data: _Optional[bytes] = ...) -> None: ...

class TensorChunk(_message.Message):
    __slots__ = ("header", "data")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    header: TensorHeader
    data: bytes
    def __init__(self, header: _Optional[_Union[TensorHeader, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class TensorHeader(_message.Message):
    __slots__ = ("dtype", "shape", "size_bytes", "sha256")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    dtype: _tensor_pb2.DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    size_bytes: int
    sha256: bytes
    def __init__(self, dtype: _Optional[_Union[_tensor_pb2.DType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class TensorHandle(_message.Message):
    __slots__ = ("sha256", "size_bytes", "already_stored")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALREADY_STORED_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    size_bytes: int
    already_stored: bool
    def __init__(self, sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., already_stored: bool = ...) -> None: ...
