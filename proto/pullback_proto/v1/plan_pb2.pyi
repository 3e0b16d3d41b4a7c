from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_FORWARD: _ClassVar[Phase]
    PHASE_BACKWARD: _ClassVar[Phase]
    PHASE_FUSED: _ClassVar[Phase]
    PHASE_REDUCE: _ClassVar[Phase]

class Placement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLACEMENT_UNSPECIFIED: _ClassVar[Placement]
    PLACEMENT_CPU: _ClassVar[Placement]
    PLACEMENT_GPU: _ClassVar[Placement]
PHASE_UNSPECIFIED: Phase
PHASE_FORWARD: Phase
PHASE_BACKWARD: Phase
PHASE_FUSED: Phase
PHASE_REDUCE: Phase
PLACEMENT_UNSPECIFIED: Placement
PLACEMENT_CPU: Placement
PLACEMENT_GPU: Placement

class PlanReply(_message.Message):
    __slots__ = ("nodes", "adjoint_evaluations", "flops", "size_bytes", "peak_bytes", "split", "split_reason", "tasks", "estimated_s", "executor", "digest", "front_end", "text", "executor_reason", "predictions", "input_bytes", "rates")
    NODES_FIELD_NUMBER: _ClassVar[int]
    ADJOINT_EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    SPLIT_REASON_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_S_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FRONT_END_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_REASON_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    INPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    nodes: int
    adjoint_evaluations: int
    flops: float
    size_bytes: float
    peak_bytes: int
    split: str
    split_reason: str
    tasks: _containers.RepeatedCompositeFieldContainer[TaskSummary]
    estimated_s: float
    executor: str
    digest: str
    front_end: bool
    text: str
    executor_reason: str
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    input_bytes: float
    rates: str
    def __init__(self, nodes: _Optional[int] = ..., adjoint_evaluations: _Optional[int] = ..., flops: _Optional[float] = ..., size_bytes: _Optional[float] = ..., peak_bytes: _Optional[int] = ..., split: _Optional[str] = ..., split_reason: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[TaskSummary, _Mapping]]] = ..., estimated_s: _Optional[float] = ..., executor: _Optional[str] = ..., digest: _Optional[str] = ..., front_end: bool = ..., text: _Optional[str] = ..., executor_reason: _Optional[str] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., input_bytes: _Optional[float] = ..., rates: _Optional[str] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("workers", "estimated_s", "moved_bytes", "worker_bytes")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_S_FIELD_NUMBER: _ClassVar[int]
    MOVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKER_BYTES_FIELD_NUMBER: _ClassVar[int]
    workers: int
    estimated_s: float
    moved_bytes: float
    worker_bytes: int
    def __init__(self, workers: _Optional[int] = ..., estimated_s: _Optional[float] = ..., moved_bytes: _Optional[float] = ..., worker_bytes: _Optional[int] = ...) -> None: ...

class TaskSummary(_message.Message):
    __slots__ = ("phase", "placement", "nodes", "flops", "size_bytes", "peak_bytes", "depends_on", "executor", "home", "estimated_s")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_S_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    placement: Placement
    nodes: int
    flops: float
    size_bytes: float
    peak_bytes: int
    depends_on: _containers.RepeatedScalarFieldContainer[int]
    executor: str
    home: int
    estimated_s: float
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., placement: _Optional[_Union[Placement, str]] = ..., nodes: _Optional[int] = ..., flops: _Optional[float] = ..., size_bytes: _Optional[float] = ..., peak_bytes: _Optional[int] = ..., depends_on: _Optional[_Iterable[int]] = ..., executor: _Optional[str] = ..., home: _Optional[int] = ..., estimated_s: _Optional[float] = ...) -> None: ...
