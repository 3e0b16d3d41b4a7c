from google.rpc import status_pb2 as _status_pb2
from pullback_proto.v1 import graph_pb2 as _graph_pb2
from pullback_proto.v1 import job_pb2 as _job_pb2
from pullback_proto.v1 import plan_pb2 as _plan_pb2
from pullback_proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DispatchRequests(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[DispatchRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[DispatchRequest, _Mapping]]] = ...) -> None: ...

class DispatchRequest(_message.Message):
    __slots__ = ("submit", "cancel")
    SUBMIT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    submit: Submit
    cancel: Cancel
    def __init__(self, submit: _Optional[_Union[Submit, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ...) -> None: ...

class Submit(_message.Message):
    __slots__ = ("job", "plan", "inputs", "deadline_s", "priority", "executor", "reproducible", "plan_key", "dropped", "client")
    JOB_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    REPRODUCIBLE_FIELD_NUMBER: _ClassVar[int]
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    job: int
    plan: bytes
    inputs: _containers.RepeatedCompositeFieldContainer[OperandTensor]
    deadline_s: float
    priority: int
    executor: str
    reproducible: bool
    plan_key: bytes
    dropped: _containers.RepeatedScalarFieldContainer[int]
    client: str
    def __init__(self, job: _Optional[int] = ..., plan: _Optional[bytes] = ..., inputs: _Optional[_Iterable[_Union[OperandTensor, _Mapping]]] = ..., deadline_s: _Optional[float] = ..., priority: _Optional[int] = ..., executor: _Optional[str] = ..., reproducible: bool = ..., plan_key: _Optional[bytes] = ..., dropped: _Optional[_Iterable[int]] = ..., client: _Optional[str] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: int
    def __init__(self, job: _Optional[int] = ...) -> None: ...

class OperandTensor(_message.Message):
    __slots__ = ("inline", "shared", "kept")
    INLINE_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    inline: _tensor_pb2.Tensor
    shared: SharedTensor
    kept: int
    def __init__(self, inline: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., shared: _Optional[_Union[SharedTensor, _Mapping]] = ..., kept: _Optional[int] = ...) -> None: ...

class SharedTensor(_message.Message):
    __slots__ = ("path", "offset", "dtype", "shape")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    path: str
    offset: int
    dtype: _tensor_pb2.DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, path: _Optional[str] = ..., offset: _Optional[int] = ..., dtype: _Optional[_Union[_tensor_pb2.DType, str]] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("graphs", "tasks", "inputs", "results", "split", "reason", "estimated_s", "largest_call_s")
    GRAPHS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_S_FIELD_NUMBER: _ClassVar[int]
    LARGEST_CALL_S_FIELD_NUMBER: _ClassVar[int]
    graphs: _containers.RepeatedScalarFieldContainer[bytes]
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    inputs: _containers.RepeatedCompositeFieldContainer[_graph_pb2.Input]
    results: _containers.RepeatedCompositeFieldContainer[Source]
    split: _job_pb2.Split
    reason: str
    estimated_s: float
    largest_call_s: float
    def __init__(self, graphs: _Optional[_Iterable[bytes]] = ..., tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ..., inputs: _Optional[_Iterable[_Union[_graph_pb2.Input, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[Source, _Mapping]]] = ..., split: _Optional[_Union[_job_pb2.Split, _Mapping]] = ..., reason: _Optional[str] = ..., estimated_s: _Optional[float] = ..., largest_call_s: _Optional[float] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("graph", "operands", "phase", "placement", "flops", "size_bytes", "peak_bytes", "shard", "executor")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    OPERANDS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    graph: int
    operands: _containers.RepeatedCompositeFieldContainer[Source]
    phase: _plan_pb2.Phase
    placement: _plan_pb2.Placement
    flops: float
    size_bytes: float
    peak_bytes: int
    shard: int
    executor: str
    def __init__(self, graph: _Optional[int] = ..., operands: _Optional[_Iterable[_Union[Source, _Mapping]]] = ..., phase: _Optional[_Union[_plan_pb2.Phase, str]] = ..., placement: _Optional[_Union[_plan_pb2.Placement, str]] = ..., flops: _Optional[float] = ..., size_bytes: _Optional[float] = ..., peak_bytes: _Optional[int] = ..., shard: _Optional[int] = ..., executor: _Optional[str] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("job_input", "task_output")
    JOB_INPUT_FIELD_NUMBER: _ClassVar[int]
    TASK_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    job_input: JobInput
    task_output: TaskOutput
    def __init__(self, job_input: _Optional[_Union[JobInput, _Mapping]] = ..., task_output: _Optional[_Union[TaskOutput, _Mapping]] = ...) -> None: ...

class JobInput(_message.Message):
    __slots__ = ("index", "block")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    index: int
    block: Block
    def __init__(self, index: _Optional[int] = ..., block: _Optional[_Union[Block, _Mapping]] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("axis", "start", "stop")
    AXIS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    axis: int
    start: int
    stop: int
    def __init__(self, axis: _Optional[int] = ..., start: _Optional[int] = ..., stop: _Optional[int] = ...) -> None: ...

class TaskOutput(_message.Message):
    __slots__ = ("task", "output")
    TASK_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    task: int
    output: int
    def __init__(self, task: _Optional[int] = ..., output: _Optional[int] = ...) -> None: ...

class DispatchReplies(_message.Message):
    __slots__ = ("replies",)
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[DispatchReply]
    def __init__(self, replies: _Optional[_Iterable[_Union[DispatchReply, _Mapping]]] = ...) -> None: ...

class DispatchReply(_message.Message):
    __slots__ = ("done", "failed", "status", "rates")
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    done: Done
    failed: Failed
    status: PoolStatus
    rates: Rates
    def __init__(self, done: _Optional[_Union[Done, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., status: _Optional[_Union[PoolStatus, _Mapping]] = ..., rates: _Optional[_Union[Rates, _Mapping]] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("job", "results", "timings", "workers", "retries", "queued_s", "transferring_s", "peak_bytes", "moved_bytes", "network_bytes")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    QUEUED_S_FIELD_NUMBER: _ClassVar[int]
    TRANSFERRING_S_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    MOVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    NETWORK_BYTES_FIELD_NUMBER: _ClassVar[int]
    job: int
    results: _containers.RepeatedCompositeFieldContainer[OperandTensor]
    timings: _containers.RepeatedCompositeFieldContainer[TaskTiming]
    workers: int
    retries: int
    queued_s: float
    transferring_s: float
    peak_bytes: int
    moved_bytes: int
    network_bytes: int
    def __init__(self, job: _Optional[int] = ..., results: _Optional[_Iterable[_Union[OperandTensor, _Mapping]]] = ..., timings: _Optional[_Iterable[_Union[TaskTiming, _Mapping]]] = ..., workers: _Optional[int] = ..., retries: _Optional[int] = ..., queued_s: _Optional[float] = ..., transferring_s: _Optional[float] = ..., peak_bytes: _Optional[int] = ..., moved_bytes: _Optional[int] = ..., network_bytes: _Optional[int] = ...) -> None: ...

class TaskTiming(_message.Message):
    __slots__ = ("task", "placement", "compiling_s", "running_s", "transferring_s", "program_cache_hit", "attempts", "worker", "executor", "started_s")
    TASK_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    COMPILING_S_FIELD_NUMBER: _ClassVar[int]
    RUNNING_S_FIELD_NUMBER: _ClassVar[int]
    TRANSFERRING_S_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    STARTED_S_FIELD_NUMBER: _ClassVar[int]
    task: int
    placement: _plan_pb2.Placement
    compiling_s: float
    running_s: float
    transferring_s: float
    program_cache_hit: bool
    attempts: int
    worker: str
    executor: str
    started_s: float
    def __init__(self, task: _Optional[int] = ..., placement: _Optional[_Union[_plan_pb2.Placement, str]] = ..., compiling_s: _Optional[float] = ..., running_s: _Optional[float] = ..., transferring_s: _Optional[float] = ..., program_cache_hit: bool = ..., attempts: _Optional[int] = ..., worker: _Optional[str] = ..., executor: _Optional[str] = ..., started_s: _Optional[float] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("job", "error")
    JOB_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job: int
    error: _status_pb2.Status
    def __init__(self, job: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class PoolStatus(_message.Message):
    __slots__ = ("ready", "workers", "queued_jobs", "queued_tasks", "running_tasks", "tasks_done_total", "retries_total", "workers_lost_total", "program_cache_hits_total", "program_cache_misses_total", "compiling_s_total", "address", "copies_total", "moved_bytes_total", "network_bytes_total", "wasted_s_total")
    class WastedSTotalEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    READY_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_JOBS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_TASKS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TASKS_FIELD_NUMBER: _ClassVar[int]
    TASKS_DONE_TOTAL_FIELD_NUMBER: _ClassVar[int]
    RETRIES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    WORKERS_LOST_TOTAL_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_CACHE_HITS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_CACHE_MISSES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    COMPILING_S_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COPIES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    MOVED_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    NETWORK_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    WASTED_S_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ready: bool
    workers: _containers.RepeatedCompositeFieldContainer[WorkerCount]
    queued_jobs: int
    queued_tasks: int
    running_tasks: int
    tasks_done_total: int
    retries_total: int
    workers_lost_total: int
    program_cache_hits_total: int
    program_cache_misses_total: int
    compiling_s_total: float
    address: str
    copies_total: int
    moved_bytes_total: int
    network_bytes_total: int
    wasted_s_total: _containers.ScalarMap[str, float]
    def __init__(self, ready: bool = ..., workers: _Optional[_Iterable[_Union[WorkerCount, _Mapping]]] = ..., queued_jobs: _Optional[int] = ..., queued_tasks: _Optional[int] = ..., running_tasks: _Optional[int] = ..., tasks_done_total: _Optional[int] = ..., retries_total: _Optional[int] = ..., workers_lost_total: _Optional[int] = ..., program_cache_hits_total: _Optional[int] = ..., program_cache_misses_total: _Optional[int] = ..., compiling_s_total: _Optional[float] = ..., address: _Optional[str] = ..., copies_total: _Optional[int] = ..., moved_bytes_total: _Optional[int] = ..., network_bytes_total: _Optional[int] = ..., wasted_s_total: _Optional[_Mapping[str, float]] = ...) -> None: ...

class WorkerCount(_message.Message):
    __slots__ = ("placement", "starting", "ready", "busy", "busy_s_total", "wanted")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    BUSY_S_TOTAL_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    placement: _plan_pb2.Placement
    starting: int
    ready: int
    busy: int
    busy_s_total: float
    wanted: int
    def __init__(self, placement: _Optional[_Union[_plan_pb2.Placement, str]] = ..., starting: _Optional[int] = ..., ready: _Optional[int] = ..., busy: _Optional[int] = ..., busy_s_total: _Optional[float] = ..., wanted: _Optional[int] = ...) -> None: ...

class Rates(_message.Message):
    __slots__ = ("placement", "unit_s", "rows", "memory", "executors", "overhead_s", "transfer_bytes_per_s", "workers", "tasks")
    class UnitSEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ExecutorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    UNIT_S_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    OVERHEAD_S_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    placement: _plan_pb2.Placement
    unit_s: _containers.ScalarMap[str, float]
    rows: float
    memory: float
    executors: _containers.ScalarMap[str, float]
    overhead_s: float
    transfer_bytes_per_s: float
    workers: int
    tasks: int
    def __init__(self, placement: _Optional[_Union[_plan_pb2.Placement, str]] = ..., unit_s: _Optional[_Mapping[str, float]] = ..., rows: _Optional[float] = ..., memory: _Optional[float] = ..., executors: _Optional[_Mapping[str, float]] = ..., overhead_s: _Optional[float] = ..., transfer_bytes_per_s: _Optional[float] = ..., workers: _Optional[int] = ..., tasks: _Optional[int] = ...) -> None: ...
