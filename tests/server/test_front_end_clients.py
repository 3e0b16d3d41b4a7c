"""Whose call it is, and what a client that was refused is told."""

from __future__ import annotations

from typing import Any

import pytest

from pullback_graph.errors import RequestError
from pullback_server.front_end.arrivals import Arrival
from pullback_server.front_end.held_jobs import HeldJobs
from pullback_server.front_end.leaving_rate import LONGEST_S, SHORTEST_S, LeavingRate
from pullback_server.front_end.service import CLIENT_KEY, LONGEST_CLIENT, client_of


class Call:
    """A gRPC call's context, as far as it says who calls."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        """What came along."""
        return self._metadata

    def peer(self) -> str:
        """The other end."""
        return "ipv4:192.0.2.7:4711"


def test_a_client_is_its_connection_or_its_name():
    """Metadata joins connections; without it each is a client."""
    context: Any = Call(("user-agent", "x"))
    assert client_of(context) == "ipv4:192.0.2.7:4711"
    context = Call(("user-agent", "x"), (CLIENT_KEY, "sampler"))
    assert client_of(context) == "sampler"


@pytest.mark.parametrize("value", ["", "a" * LONGEST_CLIENT, b"\xff\x00"])
def test_any_short_name_is_a_client(value: str | bytes):
    """Empty, long or binary: it is a key, and nothing is made of it."""
    context: Any = Call((CLIENT_KEY, value))
    assert len(client_of(context)) == len(value)


def test_a_huge_name_is_refused():
    """The server keeps names of clients, so their size is bounded."""
    context: Any = Call((CLIENT_KEY, "a" * (LONGEST_CLIENT + 1)))
    with pytest.raises(RequestError, match=f"at most {LONGEST_CLIENT}"):
        client_of(context)


def arrivals(client: str, count: int = 1, size_bytes: int = 10) -> list[Arrival]:
    """Jobs of a client."""
    return [Arrival(bytes(size_bytes), client=client) for _ in range(count)]


def test_one_client_leaves_room_for_others():
    """A client may hold three quarters of all; another gets in, until the server is full."""
    held = HeldJobs(100, 10**6)
    held.add(arrivals("many", 75))
    assert not held.has_room(arrivals("many"))
    assert held.has_room(arrivals("other", 25))
    held.add(arrivals("other", 25))
    assert not held.has_room(arrivals("third"))
    held.remove(arrivals("many", 75), 1.0)
    assert held.has_room(arrivals("many", 75))
    assert (held.jobs, held.size_bytes) == (25, 250)


@pytest.mark.parametrize("most_jobs", [1, 2])
def test_a_small_queue_still_takes_jobs(most_jobs: int):
    """One job is always taken, however large, and bytes count as well as jobs."""
    held = HeldJobs(most_jobs, 100)
    assert held.has_room(arrivals("a", 1, 1000))
    held.add(arrivals("a", 1, 90))
    assert held.has_room(arrivals("b", 1, 10)) == (most_jobs == 2)
    assert not held.has_room(arrivals("b", 1, 11))
    held.remove(arrivals("a", 1, 90), 1.0)
    assert not held._by_client


def test_the_time_to_wait_follows_the_rate():
    """Twice as many jobs a second, half the time; always within bounds."""
    slow, fast = LeavingRate(), LeavingRate()
    for step in range(200):
        slow.left(1, 0.1 * step)
        fast.left(2, 0.1 * step)
    assert slow.wait_s(80) == pytest.approx(2 * fast.wait_s(80))
    assert slow.wait_s(80) == pytest.approx(1.0, rel=0.1)
    assert fast.wait_s(1) == SHORTEST_S
    assert slow.wait_s(10**6) == LONGEST_S


def test_a_server_that_answered_nothing_yet_asks_for_a_moment():
    """Without a rate there is still a hint, and a pause of days does no harm."""
    rate = LeavingRate()
    assert rate.wait_s(100) == 1.0
    rate.left(1, 0.0)
    rate.left(1, 1e6)
    assert SHORTEST_S <= rate.wait_s(100) <= LONGEST_S
