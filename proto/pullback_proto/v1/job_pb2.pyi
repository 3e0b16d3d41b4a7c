from google.rpc import status_pb2 as _status_pb2
from pullback_proto.v1 import graph_pb2 as _graph_pb2
from pullback_proto.v1 import metrics_pb2 as _metrics_pb2
from pullback_proto.v1 import tape_pb2 as _tape_pb2
from pullback_proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SplitKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPLIT_KIND_AUTO: _ClassVar[SplitKind]
    SPLIT_KIND_NONE: _ClassVar[SplitKind]
    SPLIT_KIND_SHARD: _ClassVar[SplitKind]
    SPLIT_KIND_BRANCH: _ClassVar[SplitKind]
    SPLIT_KIND_STAGE: _ClassVar[SplitKind]

class Check(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECK_NONE: _ClassVar[Check]
    CHECK_FINITE: _ClassVar[Check]
    CHECK_REPORT: _ClassVar[Check]
SPLIT_KIND_AUTO: SplitKind
SPLIT_KIND_NONE: SplitKind
SPLIT_KIND_SHARD: SplitKind
SPLIT_KIND_BRANCH: SplitKind
SPLIT_KIND_STAGE: SplitKind
CHECK_NONE: Check
CHECK_FINITE: Check
CHECK_REPORT: Check

class Job(_message.Message):
    __slots__ = ("id", "graph", "tape", "fingerprint", "inputs", "options", "required_features", "value", "gradient", "vjp", "jvp", "hvp", "jacobian", "hessian")
    ID_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    TAPE_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    VJP_FIELD_NUMBER: _ClassVar[int]
    JVP_FIELD_NUMBER: _ClassVar[int]
    HVP_FIELD_NUMBER: _ClassVar[int]
    JACOBIAN_FIELD_NUMBER: _ClassVar[int]
    HESSIAN_FIELD_NUMBER: _ClassVar[int]
    id: str
    graph: _graph_pb2.Graph
    tape: _tape_pb2.Tape
    fingerprint: bytes
    inputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    options: Options
    required_features: _containers.RepeatedScalarFieldContainer[str]
    value: Value
    gradient: Gradient
    vjp: Vjp
    jvp: Jvp
    hvp: Hvp
    jacobian: Jacobian
    hessian: Hessian
    def __init__(self, id: _Optional[str] = ..., graph: _Optional[_Union[_graph_pb2.Graph, _Mapping]] = ..., tape: _Optional[_Union[_tape_pb2.Tape, _Mapping]] = ..., fingerprint: _Optional[bytes] = ..., inputs: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., required_features: _Optional[_Iterable[str]] = ..., value: _Optional[_Union[Value, _Mapping]] = ..., gradient: _Optional[_Union[Gradient, _Mapping]] = ..., vjp: _Optional[_Union[Vjp, _Mapping]] = ..., jvp: _Optional[_Union[Jvp, _Mapping]] = ..., hvp: _Optional[_Union[Hvp, _Mapping]] = ..., jacobian: _Optional[_Union[Jacobian, _Mapping]] = ..., hessian: _Optional[_Union[Hessian, _Mapping]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("outputs",)
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, outputs: _Optional[_Iterable[str]] = ...) -> None: ...

class Gradient(_message.Message):
    __slots__ = ("wrt", "output")
    WRT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    wrt: _containers.RepeatedScalarFieldContainer[str]
    output: str
    def __init__(self, wrt: _Optional[_Iterable[str]] = ..., output: _Optional[str] = ...) -> None: ...

class Vjp(_message.Message):
    __slots__ = ("wrt", "seeds")
    WRT_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    wrt: _containers.RepeatedScalarFieldContainer[str]
    seeds: _containers.RepeatedCompositeFieldContainer[Seed]
    def __init__(self, wrt: _Optional[_Iterable[str]] = ..., seeds: _Optional[_Iterable[_Union[Seed, _Mapping]]] = ...) -> None: ...

class Jvp(_message.Message):
    __slots__ = ("seeds",)
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    seeds: _containers.RepeatedCompositeFieldContainer[Seed]
    def __init__(self, seeds: _Optional[_Iterable[_Union[Seed, _Mapping]]] = ...) -> None: ...

class Hvp(_message.Message):
    __slots__ = ("wrt", "output", "seeds")
    WRT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    wrt: _containers.RepeatedScalarFieldContainer[str]
    output: str
    seeds: _containers.RepeatedCompositeFieldContainer[Seed]
    def __init__(self, wrt: _Optional[_Iterable[str]] = ..., output: _Optional[str] = ..., seeds: _Optional[_Iterable[_Union[Seed, _Mapping]]] = ...) -> None: ...

class Jacobian(_message.Message):
    __slots__ = ("wrt", "outputs", "sparse")
    WRT_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SPARSE_FIELD_NUMBER: _ClassVar[int]
    wrt: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    sparse: bool
    def __init__(self, wrt: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., sparse: bool = ...) -> None: ...

class Hessian(_message.Message):
    __slots__ = ("wrt", "output", "sparse")
    WRT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SPARSE_FIELD_NUMBER: _ClassVar[int]
    wrt: _containers.RepeatedScalarFieldContainer[str]
    output: str
    sparse: bool
    def __init__(self, wrt: _Optional[_Iterable[str]] = ..., output: _Optional[str] = ..., sparse: bool = ...) -> None: ...

class Seed(_message.Message):
    __slots__ = ("tensors",)
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    tensors: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    def __init__(self, tensors: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("deadline_s", "priority", "executor", "split", "reproducible", "memory_cap_bytes", "check", "certificate", "device", "timeline")
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    REPRODUCIBLE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_CAP_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    deadline_s: float
    priority: int
    executor: str
    split: Split
    reproducible: bool
    memory_cap_bytes: int
    check: Check
    certificate: bool
    device: str
    timeline: bool
    def __init__(self, deadline_s: _Optional[float] = ..., priority: _Optional[int] = ..., executor: _Optional[str] = ..., split: _Optional[_Union[Split, _Mapping]] = ..., reproducible: bool = ..., memory_cap_bytes: _Optional[int] = ..., check: _Optional[_Union[Check, str]] = ..., certificate: bool = ..., device: _Optional[str] = ..., timeline: bool = ...) -> None: ...

class Split(_message.Message):
    __slots__ = ("kind", "count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: SplitKind
    count: int
    def __init__(self, kind: _Optional[_Union[SplitKind, str]] = ..., count: _Optional[int] = ...) -> None: ...

class JobResult(_message.Message):
    __slots__ = ("outputs", "derivatives", "metrics")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DERIVATIVES_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    derivatives: _containers.RepeatedCompositeFieldContainer[Derivative]
    metrics: _metrics_pb2.JobMetrics
    def __init__(self, outputs: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., derivatives: _Optional[_Iterable[_Union[Derivative, _Mapping]]] = ..., metrics: _Optional[_Union[_metrics_pb2.JobMetrics, _Mapping]] = ...) -> None: ...

class Derivative(_message.Message):
    __slots__ = ("output", "input", "second_input", "seed", "value", "pattern")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    SECOND_INPUT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    output: str
    input: str
    second_input: str
    seed: int
    value: _tensor_pb2.Tensor
    pattern: Pattern
    def __init__(self, output: _Optional[str] = ..., input: _Optional[str] = ..., second_input: _Optional[str] = ..., seed: _Optional[int] = ..., value: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., pattern: _Optional[_Union[Pattern, _Mapping]] = ...) -> None: ...

class Pattern(_message.Message):
    __slots__ = ("rows", "columns", "row_starts", "column_indices")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROW_STARTS_FIELD_NUMBER: _ClassVar[int]
    COLUMN_INDICES_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    row_starts: _tensor_pb2.Tensor
    column_indices: _tensor_pb2.Tensor
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ..., row_starts: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., column_indices: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class JobReply(_message.Message):
    __slots__ = ("id", "result", "error", "position")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    id: str
    result: JobResult
    error: _status_pb2.Status
    position: int
    def __init__(self, id: _Optional[str] = ..., result: _Optional[_Union[JobResult, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., position: _Optional[int] = ...) -> None: ...

class JobBatch(_message.Message):
    __slots__ = ("jobs", "cancel")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedScalarFieldContainer[bytes]
    cancel: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, jobs: _Optional[_Iterable[bytes]] = ..., cancel: _Optional[_Iterable[int]] = ...) -> None: ...

class ReplyBatch(_message.Message):
    __slots__ = ("replies",)
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, replies: _Optional[_Iterable[bytes]] = ...) -> None: ...
