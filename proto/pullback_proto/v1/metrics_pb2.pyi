from pullback_proto.v1 import plan_pb2 as _plan_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobMetrics(_message.Message):
    __slots__ = ("queued_s", "planning_s", "compiling_s", "forward_s", "backward_s", "fused_s", "reducing_s", "transferring_s", "total_s", "nodes", "adjoint_evaluations", "flops", "peak_bytes", "tasks", "workers", "retries", "executor", "split", "split_reason", "program_cache_hit", "graph_cache_hit", "tensor_cache_hits", "digest", "independent_inputs", "non_finite", "executor_reason", "mode", "mode_reason", "bad_node", "certificate_error", "recompute_factor", "timeline", "timeline_omitted", "moved_bytes", "network_bytes")
    QUEUED_S_FIELD_NUMBER: _ClassVar[int]
    PLANNING_S_FIELD_NUMBER: _ClassVar[int]
    COMPILING_S_FIELD_NUMBER: _ClassVar[int]
    FORWARD_S_FIELD_NUMBER: _ClassVar[int]
    BACKWARD_S_FIELD_NUMBER: _ClassVar[int]
    FUSED_S_FIELD_NUMBER: _ClassVar[int]
    REDUCING_S_FIELD_NUMBER: _ClassVar[int]
    TRANSFERRING_S_FIELD_NUMBER: _ClassVar[int]
    TOTAL_S_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    ADJOINT_EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    SPLIT_REASON_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    GRAPH_CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    TENSOR_CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    INDEPENDENT_INPUTS_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_REASON_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MODE_REASON_FIELD_NUMBER: _ClassVar[int]
    BAD_NODE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_ERROR_FIELD_NUMBER: _ClassVar[int]
    RECOMPUTE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_OMITTED_FIELD_NUMBER: _ClassVar[int]
    MOVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    NETWORK_BYTES_FIELD_NUMBER: _ClassVar[int]
    queued_s: float
    planning_s: float
    compiling_s: float
    forward_s: float
    backward_s: float
    fused_s: float
    reducing_s: float
    transferring_s: float
    total_s: float
    nodes: int
    adjoint_evaluations: int
    flops: float
    peak_bytes: int
    tasks: int
    workers: int
    retries: int
    executor: str
    split: str
    split_reason: str
    program_cache_hit: bool
    graph_cache_hit: bool
    tensor_cache_hits: int
    digest: str
    independent_inputs: _containers.RepeatedScalarFieldContainer[str]
    non_finite: _containers.RepeatedCompositeFieldContainer[NonFinite]
    executor_reason: str
    mode: str
    mode_reason: str
    bad_node: BadNode
    certificate_error: float
    recompute_factor: float
    timeline: _containers.RepeatedCompositeFieldContainer[TaskSpan]
    timeline_omitted: int
    moved_bytes: int
    network_bytes: int
    def __init__(self, queued_s: _Optional[float] = ..., planning_s: _Optional[float] = ..., compiling_s: _Optional[float] = ..., forward_s: _Optional[float] = ..., backward_s: _Optional[float] = ..., fused_s: _Optional[float] = ..., reducing_s: _Optional[float] = ..., transferring_s: _Optional[float] = ..., total_s: _Optional[float] = ..., nodes: _Optional[int] = ..., adjoint_evaluations: _Optional[int] = ..., flops: _Optional[float] = ..., peak_bytes: _Optional[int] = ..., tasks: _Optional[int] = ..., workers: _Optional[int] = ..., retries: _Optional[int] = ..., executor: _Optional[str] = ..., split: _Optional[str] = ..., split_reason: _Optional[str] = ..., program_cache_hit: bool = ..., graph_cache_hit: bool = ..., tensor_cache_hits: _Optional[int] = ..., digest: _Optional[str] = ..., independent_inputs: _Optional[_Iterable[str]] = ..., non_finite: _Optional[_Iterable[_Union[NonFinite, _Mapping]]] = ..., executor_reason: _Optional[str] = ..., mode: _Optional[str] = ..., mode_reason: _Optional[str] = ..., bad_node: _Optional[_Union[BadNode, _Mapping]] = ..., certificate_error: _Optional[float] = ..., recompute_factor: _Optional[float] = ..., timeline: _Optional[_Iterable[_Union[TaskSpan, _Mapping]]] = ..., timeline_omitted: _Optional[int] = ..., moved_bytes: _Optional[int] = ..., network_bytes: _Optional[int] = ...) -> None: ...

class TaskSpan(_message.Message):
    __slots__ = ("task", "phase", "worker", "start_s", "end_s", "attempts", "executor", "compiling_s", "transferring_s")
    TASK_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    COMPILING_S_FIELD_NUMBER: _ClassVar[int]
    TRANSFERRING_S_FIELD_NUMBER: _ClassVar[int]
    task: int
    phase: _plan_pb2.Phase
    worker: str
    start_s: float
    end_s: float
    attempts: int
    executor: str
    compiling_s: float
    transferring_s: float
    def __init__(self, task: _Optional[int] = ..., phase: _Optional[_Union[_plan_pb2.Phase, str]] = ..., worker: _Optional[str] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., attempts: _Optional[int] = ..., executor: _Optional[str] = ..., compiling_s: _Optional[float] = ..., transferring_s: _Optional[float] = ...) -> None: ...

class BadNode(_message.Message):
    __slots__ = ("phase", "node", "op", "ran", "operands", "inside")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    RAN_FIELD_NUMBER: _ClassVar[int]
    OPERANDS_FIELD_NUMBER: _ClassVar[int]
    INSIDE_FIELD_NUMBER: _ClassVar[int]
    phase: str
    node: int
    op: str
    ran: str
    operands: _containers.RepeatedCompositeFieldContainer[ValueRange]
    inside: str
    def __init__(self, phase: _Optional[str] = ..., node: _Optional[int] = ..., op: _Optional[str] = ..., ran: _Optional[str] = ..., operands: _Optional[_Iterable[_Union[ValueRange, _Mapping]]] = ..., inside: _Optional[str] = ...) -> None: ...

class ValueRange(_message.Message):
    __slots__ = ("type", "low", "high")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    type: str
    low: float
    high: float
    def __init__(self, type: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class NonFinite(_message.Message):
    __slots__ = ("name", "count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...
