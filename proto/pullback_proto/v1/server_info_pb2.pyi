from pullback_proto.v1 import plan_pb2 as _plan_pb2
from pullback_proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("version", "op_table_version", "ops", "cost_table_version", "dtypes", "wants", "features", "limits", "executors", "devices", "workers")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OP_TABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    COST_TABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DTYPES_FIELD_NUMBER: _ClassVar[int]
    WANTS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    version: str
    op_table_version: int
    ops: _containers.RepeatedScalarFieldContainer[str]
    cost_table_version: int
    dtypes: _containers.RepeatedScalarFieldContainer[_tensor_pb2.DType]
    wants: _containers.RepeatedScalarFieldContainer[str]
    features: _containers.RepeatedScalarFieldContainer[str]
    limits: Limits
    executors: _containers.RepeatedCompositeFieldContainer[ExecutorInfo]
    devices: _containers.RepeatedCompositeFieldContainer[DeviceInfo]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerKind]
    def __init__(self, version: _Optional[str] = ..., op_table_version: _Optional[int] = ..., ops: _Optional[_Iterable[str]] = ..., cost_table_version: _Optional[int] = ..., dtypes: _Optional[_Iterable[_Union[_tensor_pb2.DType, str]]] = ..., wants: _Optional[_Iterable[str]] = ..., features: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., executors: _Optional[_Iterable[_Union[ExecutorInfo, _Mapping]]] = ..., devices: _Optional[_Iterable[_Union[DeviceInfo, _Mapping]]] = ..., workers: _Optional[_Iterable[_Union[WorkerKind, _Mapping]]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("message_bytes", "nodes", "elements", "memory_bytes", "tensor_bytes", "chunk_bytes", "batch_jobs", "queued_jobs")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    TENSOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    BATCH_JOBS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_JOBS_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    nodes: int
    elements: int
    memory_bytes: int
    tensor_bytes: int
    chunk_bytes: int
    batch_jobs: int
    queued_jobs: int
    def __init__(self, message_bytes: _Optional[int] = ..., nodes: _Optional[int] = ..., elements: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., tensor_bytes: _Optional[int] = ..., chunk_bytes: _Optional[int] = ..., batch_jobs: _Optional[int] = ..., queued_jobs: _Optional[int] = ...) -> None: ...

class ExecutorInfo(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class DeviceInfo(_message.Message):
    __slots__ = ("placement", "model", "count", "memory_bytes")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    placement: _plan_pb2.Placement
    model: str
    count: int
    memory_bytes: int
    def __init__(self, placement: _Optional[_Union[_plan_pb2.Placement, str]] = ..., model: _Optional[str] = ..., count: _Optional[int] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class WorkerKind(_message.Message):
    __slots__ = ("placement", "ready", "busy")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    placement: _plan_pb2.Placement
    ready: int
    busy: int
    def __init__(self, placement: _Optional[_Union[_plan_pb2.Placement, str]] = ..., ready: _Optional[int] = ..., busy: _Optional[int] = ...) -> None: ...
