"""A failed call as an error of the tree: the class the server raised, else what its code means.

Pure: takes the parts of a gRPC error, knows no gRPC.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from pullback_graph.codec import status_to_error
from pullback_graph.errors import (
    Cancelled,
    DeadlineExceeded,
    ExecutionError,
    LimitExceeded,
    NotFoundError,
    PullbackError,
    RequestError,
    ServiceError,
    UnsupportedError,
)

RICH_STATUS = "grpc-status-details-bin"


class _Meaning(NamedTuple):
    """What a bare code says: a class of the tree, and a message of `address` and `details`."""

    error: type[PullbackError]
    message: str


_MEANINGS: dict[str, _Meaning] = {
    "UNAVAILABLE": _Meaning(
        ServiceError,
        "cannot reach a service at {address} ({details}); start one with `pullback serve`, or "
        "check the address",
    ),
    "DEADLINE_EXCEEDED": _Meaning(
        DeadlineExceeded, "no reply from {address} before the deadline; allow more with deadline_s"
    ),
    "CANCELLED": _Meaning(Cancelled, "the call to {address} was cancelled ({details})"),
    "RESOURCE_EXHAUSTED": _Meaning(
        LimitExceeded,
        "{address} refused the message ({details}); send large arrays with service.put(array), or "
        "raise the server's --message-bytes",
    ),
    "UNIMPLEMENTED": _Meaning(
        UnsupportedError,
        "{address} does not offer this call ({details}); is it a Pullback server of this version?",
    ),
    "UNAUTHENTICATED": _Meaning(
        RequestError, "{address} wants to know who calls ({details}); connect with token=..."
    ),
    "PERMISSION_DENIED": _Meaning(
        RequestError, "{address} does not allow this call ({details}); connect with another token"
    ),
    "INVALID_ARGUMENT": _Meaning(RequestError, "{address} refused the request: {details}"),
    "NOT_FOUND": _Meaning(NotFoundError, "{address} does not know it: {details}"),
}
_FALLBACK = _Meaning(ExecutionError, "the call to {address} failed with {code}: {details}")


def failure(
    code: str, details: str, metadata: Iterable[tuple[str, str | bytes]], address: str
) -> PullbackError:
    """The error that a failed call stands for.

    Args:
        code: name of the gRPC status code, such as `UNAVAILABLE`.
        details: gRPC's own text.
        metadata: the call's trailing metadata.
    """
    rich = next((value for key, value in metadata if key == RICH_STATUS), None)
    if isinstance(rich, bytes):
        try:
            return status_to_error(Status.FromString(rich))
        except (DecodeError, PullbackError):
            pass  # what a proxy made of it says nothing; the code still does
    meaning = _MEANINGS.get(code, _FALLBACK)
    details = details.strip() or "no details"
    return meaning.error(meaning.message.format(address=address, code=code, details=details))


def garbled(what: str, address: str, cause: Exception) -> ServiceError:
    """The error for a reply that does not parse."""
    return ServiceError(
        f"the {what} from {address} does not parse ({cause}); is it a Pullback server of this "
        "version, with no proxy in between?"
    )
