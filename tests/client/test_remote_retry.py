"""Retries, addresses, and what a connection remembers of what it sent: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.remote.address import parse_address
from pullback.remote.channel import make_connection
from pullback.remote.retry import LONGEST_HINT_S, RetryPolicy
from pullback.remote.sent import Sent
from pullback_graph.errors import ERRORS, PullbackError, RequestError, ServiceError

policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 50),
    first_s=st.floats(0.001, 1.0),
    longest_s=st.floats(0.001, 10.0),
)
draws = st.floats(0.0, 1.0, exclude_max=True)


@pytest.mark.parametrize("kind", ERRORS.values(), ids=ERRORS)
def test_only_unavailability_is_tried_again(kind: type[PullbackError]):
    """Of the whole tree, only a plain ServiceError leads to another call."""
    wait_s = RetryPolicy().wait_s(kind("no"), 1, None, 0.0)
    assert (wait_s is not None) == (kind is ServiceError)


@given(policies, st.integers(1, 200), draws)
def test_waits_double_within_bounds(policy: RetryPolicy, attempt: int, draw: float):
    """A wait is between half and all of first * 2^(attempt - 1), the longest being the longest."""
    wait_s = policy.wait_s(ServiceError("away"), attempt, None, draw)
    if attempt >= policy.attempts:
        assert wait_s is None
    else:
        bound_s = min(policy.longest_s, policy.first_s * 2.0 ** (attempt - 1))
        assert wait_s is not None
        assert bound_s / 2 <= wait_s <= bound_s


@given(policies, st.floats(0.0, 1e6), draws)
def test_a_server_s_wish_is_heeded_within_reason(policy: RetryPolicy, hint: float, draw: float):
    """A full server's time to wait is waited at least, and spread; never minutes on end."""
    wait_s = policy.wait_s(ServiceError("full", retry_after_s=hint), 1, None, draw)
    if policy.attempts > 1:
        assert wait_s is not None
        assert min(hint, LONGEST_HINT_S) <= wait_s <= max(policy.longest_s, 1.5 * LONGEST_HINT_S)


@given(policies, st.integers(1, 10), st.floats(0.0, 5.0), draws)
def test_no_wait_passes_the_deadline(
    policy: RetryPolicy, attempt: int, remaining_s: float, draw: float
):
    """A wait that the deadline does not leave time for is not waited."""
    wait_s = policy.wait_s(ServiceError("away"), attempt, remaining_s, draw)
    assert wait_s is None or wait_s < remaining_s


@pytest.mark.parametrize(
    ("text", "target", "is_local"),
    [
        ("localhost:50051", "localhost:50051", True),
        ("localhost", "localhost:50051", True),
        ("host:", "host:50051", False),
        (" gradients.example:80 ", "gradients.example:80", False),
        ("[::1]:7", "[::1]:7", True),
        ("[2001:db8::1]", "[2001:db8::1]:50051", False),
        ("unix:/run/pullback.sock", "unix:/run/pullback.sock", True),
    ],
)
def test_addresses(text: str, target: str, is_local: bool):
    """Addresses as people write them, the port being 50051 where none is given."""
    address = parse_address(text)
    assert (address.target, address.is_local) == (target, is_local)


@pytest.mark.parametrize(
    "text", ["", "http://localhost:50051", "host:x", "host:0", "host:70000", "::1", ":5", "unix:"]
)
def test_bad_addresses(text: str):
    """What is no address is refused, and the message shows one."""
    with pytest.raises(RequestError, match="localhost:50051"):
        parse_address(text)


def test_a_token_travels_as_a_bearer():
    """`token` becomes the authorization header, beside other metadata."""
    connection = make_connection("here", token="secret", metadata={"x-team": "a"})
    assert connection.metadata == (("x-team", "a"), ("authorization", "Bearer secret"))


def test_ill_formed_metadata_and_certificates_are_refused(tmp_path):
    """gRPC would fail on the first call; the client says so at once."""
    with pytest.raises(RequestError, match="lower-case"):
        make_connection("here", metadata={"X-Team": "a"})
    with pytest.raises(RequestError, match="certificate"):
        make_connection("here", tls=tmp_path / "missing.pem")


def test_no_proxy_stands_before_this_machine():
    """A proxy set for the outside is not asked for a server on this machine."""
    assert ("grpc.enable_http_proxy", 0) in make_connection("localhost").options
    assert ("grpc.enable_http_proxy", 0) not in make_connection("far.example").options


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40))
def test_sent_is_bounded_and_forgets_the_least_used(uses: list[tuple[str, bool]]):
    """It holds the last few keys added or looked up, and no more."""
    sent, model = Sent(capacity=3), dict[str, None]()
    for key, adds in uses:
        if adds or key in model:
            model.pop(key, None)
            model[key] = None
        if adds:
            sent.add(key, key.upper())
        entry = sent.get(key)
        assert (entry is not None) == (key in model)
        assert entry is None or entry.name == key.upper()
        for oldest in list(model)[:-3]:
            del model[oldest]
    assert len(sent) == len(model)


def test_forgetting_spares_what_was_sent_anew():
    """Two jobs that miss the same graph make it travel once more, not twice."""
    sent = Sent()
    first = sent.add("graph", "graph")
    sent.forget(first)
    assert sent.get("graph") is None
    second = sent.add("graph", "graph")
    sent.forget(first)
    assert sent.get("graph") == second


def test_a_job_that_carried_its_graph_does_not_count_as_sending_it_anew():
    """Else a request naming the first sending, and refused, would leave the belief standing."""
    sent = Sent()
    first = sent.add("graph", "graph")
    sent.note("graph", "graph")
    assert sent.get("graph") == first
    sent.forget(first)
    sent.note("graph", "graph")
    assert sent.get("graph") not in (None, first)
