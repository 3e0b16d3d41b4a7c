"""Errors as google.rpc.Status and back: the client raises the class that the server raised.

The code is the class's; ErrorInfo names the class; BadRequest names the field or node at fault.
Whatever is not of the tree leaves as ExecutionError, without a word of what is inside the server.
"""

from __future__ import annotations

from math import isfinite

from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from pullback_graph.codec.messages import shortened
from pullback_graph.errors import (
    ERRORS,
    Cancelled,
    DeadlineExceeded,
    ExecutionError,
    LimitExceeded,
    NotFoundError,
    OutOfMemory,
    PullbackError,
    RequestError,
    ServiceError,
    Stop,
    UnsupportedError,
)

LONGEST_RETRY_S = 3600.0
"""A hint to try again later than this is no hint."""
DOMAIN = "pullback"
_DESCRIPTION_BYTES = 300
_FIELD_BYTES = 200

_BY_CODE: dict[int, type[PullbackError]] = {
    code_pb2.CANCELLED: Cancelled,
    code_pb2.INVALID_ARGUMENT: RequestError,
    code_pb2.DEADLINE_EXCEEDED: DeadlineExceeded,
    code_pb2.NOT_FOUND: NotFoundError,
    code_pb2.RESOURCE_EXHAUSTED: LimitExceeded,
    code_pb2.FAILED_PRECONDITION: RequestError,
    code_pb2.OUT_OF_RANGE: RequestError,
    code_pb2.UNIMPLEMENTED: UnsupportedError,
    code_pb2.INTERNAL: ExecutionError,
    code_pb2.DATA_LOSS: ExecutionError,
    code_pb2.ABORTED: ServiceError,
    code_pb2.UNAVAILABLE: ServiceError,
}
"""The class for a code where no class is named, or none that is known here."""


def status_code_number(name: str) -> int:
    """The number of the gRPC code of that name; 2, UNKNOWN, for a name that gRPC has not."""
    number: int = code_pb2.Code.DESCRIPTOR.values_by_name["UNKNOWN"].number
    found = code_pb2.Code.DESCRIPTOR.values_by_name.get(name)
    return number if found is None else int(found.number)


def error_to_status(error: BaseException) -> status_pb2.Status:
    """The status of any exception."""
    known = _of_the_tree(error)
    kind = _named_class(known)
    message = shortened(known.message)
    status = status_pb2.Status(code=status_code_number(kind.status), message=message)
    field = shortened(known.field, _FIELD_BYTES)
    info = error_details_pb2.ErrorInfo(reason=kind.__name__, domain=DOMAIN)
    info.metadata["field"] = field
    info.metadata["retryable"] = "true" if kind.retryable else "false"
    if known.stop is not None:
        info.metadata.update({name: repr(value) for name, value in known.stop._asdict().items()})
    status.details.add().Pack(info)
    if known.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(min(known.retry_after_s, LONGEST_RETRY_S) * 1e9))
        status.details.add().Pack(retry)
    if field and isinstance(known, RequestError):
        description = shortened(known.message, _DESCRIPTION_BYTES)
        request = error_details_pb2.BadRequest()
        request.field_violations.add(field=field, description=description)
        status.details.add().Pack(request)
    return status


def status_to_error(status: status_pb2.Status | bytes) -> PullbackError:
    """The error of a status, of the class it names, else of the class that its code stands for."""
    if isinstance(status, bytes):
        try:
            status = status_pb2.Status.FromString(status)
        except DecodeError:
            return ServiceError("the server's error could not be read; try again")
    name, field = _named(status)
    kind = ERRORS.get(name) or _BY_CODE.get(status.code, PullbackError)
    message = status.message or f"the server gave no reason (code {status.code})"
    error = kind(message, field=field, retry_after_s=_retry_after_s(status))
    error.stop = _stop(status)
    return error


def _stop(status: status_pb2.Status) -> Stop | None:
    """How the job ended on its workers, if the sender says so and makes sense."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        try:
            if detail.Unpack(info) and info.domain == DOMAIN and "stopped_s" in info.metadata:
                stopped_s, wasted_s = (float(info.metadata[n]) for n in ("stopped_s", "wasted_s"))
                killed = int(info.metadata["workers_killed"])
                told = all([isfinite(v) and v >= 0 for v in (stopped_s, wasted_s, killed)])
                return Stop(stopped_s, wasted_s, killed) if told else None
        except (DecodeError, ValueError):
            continue
    return None


def _retry_after_s(status: status_pb2.Status) -> float | None:
    """When the sender thinks that trying again can help, if it says so and makes sense."""
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        try:
            if detail.Unpack(retry):
                seconds: float = retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9
                return seconds if 0.0 <= seconds <= LONGEST_RETRY_S else None
        except DecodeError:
            continue
    return None


def _named(status: status_pb2.Status) -> tuple[str, str]:
    """Class name and field from the details, each empty where they say nothing of it."""
    name = field = ""
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        try:
            if detail.Unpack(info) and info.domain == DOMAIN:
                name, field = info.reason, info.metadata.get("field", "") or field
            elif detail.Unpack(request) and request.field_violations:
                field = field or request.field_violations[0].field
        except DecodeError:
            continue
    return name, field


def _of_the_tree(error: BaseException) -> PullbackError:
    if isinstance(error, PullbackError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory("the server ran out of memory; send less at once")
    return ExecutionError("internal error; the server's log says more")


def _named_class(error: PullbackError) -> type[PullbackError]:
    """The error's class, or the nearest above it that the tree names."""
    for kind in type(error).__mro__:
        if ERRORS.get(kind.__name__) is kind:
            return ERRORS[kind.__name__]
    return PullbackError
