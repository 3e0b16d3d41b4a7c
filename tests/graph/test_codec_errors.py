"""Errors over the wire: the client raises the class that the server raised."""

from __future__ import annotations

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.codec import error_to_status, status_code_number, status_to_error
from pullback_graph.errors import (
    ERRORS,
    DeadlineExceeded,
    ExecutionError,
    LimitExceeded,
    NotFoundError,
    OutOfMemory,
    PullbackError,
    RequestError,
    ServiceError,
    ShapeError,
    Stop,
    UnsupportedError,
)

DETAILS: dict[str, list[tuple[str, str]]] = {
    "no class": [],
    "a class of a newer server": [("QuantumError", "pullback")],
    "another service's reason": [("ShapeError", "example.com")],
}
METADATA_BYTES = 8192
"""What gRPC is sure to carry in trailing metadata."""


@pytest.mark.parametrize("name", ERRORS)
def test_every_class_travels(name: str) -> None:
    """Class, message and field come back, under the gRPC code of the class."""
    error = ERRORS[name]("node 17 matmul: inner sizes differ", field="graph.nodes[17]")
    status = error_to_status(error)
    found = status_to_error(status.SerializeToString())
    assert type(found) is type(error)
    assert (found.message, found.field) == (error.message, error.field)
    assert code_pb2.Code.Name(status.code) == error.status
    assert status.message == error.message


def test_a_request_s_fault_is_a_field_violation() -> None:
    """Other languages' clients read the field from the standard BadRequest."""
    status = error_to_status(ShapeError("they differ", field="graph.nodes[3]"))
    request = error_details_pb2.BadRequest()
    assert [detail.Unpack(request) for detail in status.details] == [False, True]
    assert request.field_violations[0].field == "graph.nodes[3]"
    assert request.field_violations[0].description == "they differ"
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("ShapeError", "pullback")


@given(st.floats(0.0, 3600.0))
def test_a_time_to_wait_travels(seconds: float) -> None:
    """Other languages' clients read it from the standard RetryInfo; ours get it to a nanosecond."""
    status = error_to_status(ServiceError("full", retry_after_s=seconds))
    found = status_to_error(status.SerializeToString())
    assert found.retry_after_s == pytest.approx(seconds, abs=2e-9)
    assert error_to_status(found).details[1].Is(error_details_pb2.RetryInfo.DESCRIPTOR)


@pytest.mark.parametrize("seconds", [-1, 3601, 315_576_000_000])
def test_a_senseless_time_to_wait_is_no_hint(seconds: int) -> None:
    """A client does not wait for years because a server says so."""
    status = error_to_status(ServiceError("full", retry_after_s=1.0))
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.seconds = seconds
    status.details[1].Pack(retry)
    assert status_to_error(status).retry_after_s is None


def test_garbage_in_place_of_a_time_to_wait_is_no_hint() -> None:
    """A detail that does not parse leaves the error as it is."""
    status = error_to_status(ServiceError("full", retry_after_s=1.0))
    status.details[1].value = b"\xff\xff"
    found = status_to_error(status)
    assert (type(found), found.retry_after_s) == (ServiceError, None)


STOPS = st.builds(
    Stop,
    st.floats(0, allow_infinity=False),
    st.floats(0, allow_infinity=False),
    st.integers(0, 1 << 40),
)


@given(STOPS)
def test_how_a_job_stopped_travels(stop: Stop) -> None:
    """In the metadata of ErrorInfo, for other languages' clients too; to the bit."""
    error = DeadlineExceeded("late")
    error.stop = stop
    status = error_to_status(error)
    assert status_to_error(status.SerializeToString()).stop == stop
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert float(info.metadata["stopped_s"]) == stop.stopped_s


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stopped_s", "soon"),
        ("stopped_s", "nan"),
        ("stopped_s", "-1"),
        ("wasted_s", "inf"),
        ("wasted_s", ""),
        ("workers_killed", "-1"),
        ("workers_killed", "1.5"),
        ("workers_killed", "9" * 5000),
    ],
)
def test_a_senseless_stop_is_none(name: str, text: str) -> None:
    """What cannot be is not told; the error is what it is."""
    error = DeadlineExceeded("late")
    error.stop = Stop(1.0, 2.0, 0)
    status = error_to_status(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    info.metadata[name] = text
    status.details[0].Pack(info)
    found = status_to_error(status)
    assert (type(found), found.message, found.stop) == (DeadlineExceeded, "late", None)


def test_most_errors_say_nothing_of_a_stop() -> None:
    """Only those of jobs that were called off."""
    assert status_to_error(error_to_status(ServiceError("full"))).stop is None


@pytest.mark.parametrize("details", DETAILS)
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INVALID_ARGUMENT", RequestError),
        ("NOT_FOUND", NotFoundError),
        ("UNIMPLEMENTED", UnsupportedError),
        ("RESOURCE_EXHAUSTED", LimitExceeded),
        ("INTERNAL", ExecutionError),
        ("UNAVAILABLE", ServiceError),
        ("DEADLINE_EXCEEDED", DeadlineExceeded),
        ("PERMISSION_DENIED", PullbackError),
    ],
)
def test_without_a_known_class_the_code_decides(
    code: str, kind: type[PullbackError], details: str
) -> None:
    """A status of a newer server, or of a proxy in between, falls back on its gRPC code."""
    status = status_pb2.Status(code=status_code_number(code), message="why")
    for reason, domain in DETAILS[details]:
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
    error = status_to_error(status)
    assert type(error) is kind
    assert error.message == "why"


def test_a_status_that_does_not_parse_is_a_service_error() -> None:
    """Garbage in the trailing metadata still gives an error of the tree."""
    assert type(status_to_error(b"\xff\xff")) is ServiceError


@given(st.binary(max_size=80), st.binary(max_size=80), st.integers(-3, 20))
def test_any_status_gives_an_error(data: bytes, detail: bytes, code: int) -> None:
    """No status, however malformed its details, makes the client fail otherwise."""
    assert isinstance(status_to_error(data), PullbackError)
    status = status_pb2.Status(code=code)
    for kind in ("google.rpc.ErrorInfo", "google.rpc.BadRequest", "nonsense"):
        status.details.add(type_url=f"type.googleapis.com/{kind}", value=detail)
    assert isinstance(status_to_error(status), PullbackError)


@pytest.mark.parametrize("error", [ValueError("secret path"), KeyError("secret"), SystemExit(3)])
def test_a_fault_of_the_server_says_nothing_of_its_inside(error: BaseException) -> None:
    """Any other exception leaves as ExecutionError, its own words left out."""
    status = error_to_status(error)
    assert code_pb2.Code.Name(status.code) == "INTERNAL"
    assert b"secret" not in status.SerializeToString()
    assert type(status_to_error(status)) is ExecutionError


def test_memory_errors_are_out_of_memory() -> None:
    """Python's MemoryError is the tree's OutOfMemory."""
    assert type(status_to_error(error_to_status(MemoryError()))) is OutOfMemory


def test_a_class_outside_the_tree_travels_as_the_nearest_within() -> None:
    """A subclass that only one side knows arrives as the class above it."""

    class Odd(ShapeError):
        pass

    assert type(status_to_error(error_to_status(Odd("odd")))) is ShapeError


@pytest.mark.parametrize("text", ["x", "é", "\ud800", "日", "😀"])
def test_a_long_message_fits_the_metadata(text: str) -> None:
    """A status stays within what gRPC carries, whatever the message's length and characters.

    gRPC carries it as base64, and its message once more with three bytes for each odd one.
    """
    status = error_to_status(ShapeError(text * 10_000, field=f"graph.{text * 10_000}"))
    data = status.SerializeToString()
    assert len(data) * 4 / 3 + 3 * len(status.message.encode()) < METADATA_BYTES
    assert status_to_error(data).message.endswith("...")


def test_code_numbers_are_grpc_s() -> None:
    """Names map to gRPC's numbers; a name that gRPC has not is UNKNOWN."""
    assert status_code_number("OK") == 0
    assert status_code_number("INVALID_ARGUMENT") == 3
    assert status_code_number("NO_SUCH") == 2
