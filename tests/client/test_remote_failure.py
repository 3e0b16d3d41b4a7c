"""A failed call raises what the server raised; without its word, what the gRPC code means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.remote.failure import RICH_STATUS, failure
from pullback_graph.codec import error_to_status
from pullback_graph.errors import (
    ERRORS,
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

CODES = {
    "OK": ExecutionError,
    "CANCELLED": Cancelled,
    "UNKNOWN": ExecutionError,
    "INVALID_ARGUMENT": RequestError,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "NOT_FOUND": NotFoundError,
    "PERMISSION_DENIED": RequestError,
    "UNAUTHENTICATED": RequestError,
    "RESOURCE_EXHAUSTED": LimitExceeded,
    "UNIMPLEMENTED": UnsupportedError,
    "INTERNAL": ExecutionError,
    "UNAVAILABLE": ServiceError,
    "DATA_LOSS": ExecutionError,
}


@pytest.mark.parametrize("kind", ERRORS.values(), ids=ERRORS)
def test_every_class_of_the_tree_comes_back(kind: type[PullbackError]):
    """The rich status of any error of the tree gives that very class, message and field."""
    rich = error_to_status(kind("what, where, next", field="graph.nodes[3]"))
    error = failure(kind.status, "cut off", [(RICH_STATUS, rich.SerializeToString())], "there:1")
    assert type(error) is kind
    assert (error.message, error.field) == ("what, where, next", "graph.nodes[3]")


@pytest.mark.parametrize(("code", "kind"), CODES.items(), ids=CODES)
def test_bare_codes_have_their_class(code: str, kind: type[PullbackError]):
    """Without a rich status the code decides, and the message names the address."""
    error = failure(code, "gRPC's words", [("other", "pair")], "there:1")
    assert type(error) is kind
    assert "there:1" in error.message


def test_unreachable_says_what_to_do():
    """A refused connection names the address and how to start a server."""
    error = failure("UNAVAILABLE", "Connection refused", [], "there:1")
    assert "there:1" in error.message
    assert "Connection refused" in error.message
    assert "pullback serve" in error.message


@given(st.binary(max_size=60))
def test_a_mangled_status_is_still_an_error_of_the_tree(rich: bytes):
    """Whatever stands where the rich status should be, the call fails with a class of the tree."""
    error = failure("UNAVAILABLE", "gone", [(RICH_STATUS, rich)], "there:1")
    assert isinstance(error, PullbackError)
