"""What a service says of itself and of a plan, as plain data. Field names are the wire's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from pullback.remote.failure import garbled
from pullback_proto.v1 import plan_pb2, server_info_pb2, tensor_pb2


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a plan.

    Attributes:
        phase: `forward`, `backward`, `fused` or `reduce`.
        placement: `cpu` or `gpu`.
        depends_on: positions of earlier tasks.
    """

    phase: str
    placement: str
    nodes: int
    flops: float
    size_bytes: float
    peak_bytes: int
    depends_on: tuple[int, ...]
    executor: str = ""
    """What it starts on; empty where the service does not say."""
    home: int = -1
    """Tasks of equal or neighbouring homes share a worker; -1 for any."""
    estimated_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """How long a plan takes on some workers, what they hand each other, and the most one holds."""

    workers: int
    estimated_s: float
    moved_bytes: float
    worker_bytes: int


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a service would do with a job; estimates, since nothing has run.

    Attributes:
        front_end: whether it would run in the front end itself, without a worker.
        text: the plan for people, a line a fact.
    """

    nodes: int
    adjoint_evaluations: int
    flops: float
    size_bytes: float
    peak_bytes: int
    split: str
    split_reason: str
    estimated_s: float
    executor: str
    digest: str
    front_end: bool
    text: str
    tasks: tuple[Task, ...]
    executor_reason: str = ""
    predictions: tuple[Prediction, ...] = ()
    """By rising number of workers; the plan itself is the same for all."""
    input_bytes: float = 0.0
    """Of the job's inputs, which go to each machine once."""
    rates: str = ""
    """What the predicted times go by; empty where the service does not say."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service refuses with LimitExceeded; 0 means no limit."""

    message_bytes: int
    nodes: int
    elements: int
    memory_bytes: int
    tensor_bytes: int
    chunk_bytes: int
    batch_jobs: int
    queued_jobs: int


@dataclass(frozen=True, slots=True)
class ExecutorInfo:
    """An executor and its version."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A kind of device in the service's reach."""

    placement: str
    model: str
    count: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """Workers of one kind, now."""

    placement: str
    ready: int
    busy: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a service is and what it takes."""

    version: str
    op_table_version: int
    cost_table_version: int
    ops: tuple[str, ...]
    dtypes: tuple[str, ...]
    wants: tuple[str, ...]
    features: tuple[str, ...]
    limits: Limits
    executors: tuple[ExecutorInfo, ...]
    devices: tuple[DeviceInfo, ...]
    workers: tuple[WorkerKind, ...]


def parse_plan(data: bytes, address: str) -> PlanReport:
    """The report in a PlanReply.

    Raises:
        ServiceError: it does not parse.
    """
    try:
        message = plan_pb2.PlanReply.FromString(data)
    except DecodeError as error:
        raise garbled("plan", address, error) from None
    return _read(
        PlanReport,
        message,
        tasks=tuple([_task(task) for task in message.tasks]),
        predictions=tuple([_read(Prediction, item) for item in message.predictions]),
    )


def parse_server_info(data: bytes, address: str) -> ServerInfo:
    """The description in a ServerInfo.

    Raises:
        ServiceError: it does not parse.
    """
    try:
        message = server_info_pb2.ServerInfo.FromString(data)
    except DecodeError as error:
        raise garbled("server description", address, error) from None
    return _read(
        ServerInfo,
        message,
        ops=tuple(message.ops),
        dtypes=tuple([_named(tensor_pb2.DType, "DTYPE_", number) for number in message.dtypes]),
        wants=tuple(message.wants),
        features=tuple(message.features),
        limits=_read(Limits, message.limits),
        executors=tuple([_read(ExecutorInfo, item) for item in message.executors]),
        devices=tuple([_placed(DeviceInfo, item) for item in message.devices]),
        workers=tuple([_placed(WorkerKind, item) for item in message.workers]),
    )


# --- messages to dataclasses ----------------------------------------------------------------------

T = TypeVar("T")


def _read(kind: type[T], message: Any, **given: Any) -> T:
    """A dataclass with the message's values, but for those given."""
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]  # T is a dataclass
    return kind(**{n: given[n] if n in given else getattr(message, n) for n in names})


def _placed(kind: type[T], message: Any) -> T:
    placement = _named(plan_pb2.Placement, "PLACEMENT_", message.placement)
    return _read(kind, message, placement=placement)


def _task(message: plan_pb2.TaskSummary) -> Task:
    return _read(
        Task,
        message,
        phase=_named(plan_pb2.Phase, "PHASE_", message.phase),
        placement=_named(plan_pb2.Placement, "PLACEMENT_", message.placement),
        depends_on=tuple(message.depends_on),
    )


def _named(enum: Any, prefix: str, number: int) -> str:
    """The name of an enum's number, or the number itself: it is a newer server's."""
    if number not in enum.values():
        return str(number)
    name: str = enum.Name(number)
    return name.removeprefix(prefix).lower()
