from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmarks.classifier import Sizes
from benchmarks.fault_peers import PEERS
from benchmarks.fault_process import PeerFailed, peer_outcome

SMALL = Sizes(20, 4, 4, 3)
SLOW = [name for name in PEERS if name != "process pool, in a loop"]


@pytest.mark.parametrize(
    "title",
    [name if name not in SLOW else pytest.param(name, marks=pytest.mark.slow) for name in PEERS],
)
def test_a_peer_that_nobody_hurts_answers_every_job_once(title: str):
    """As often as it starts it, and with the same bits twice."""
    if find_spec(PEERS[title].module) is None:
        pytest.skip("not installed")
    found = peer_outcome(title, 40, SMALL, 1e6)
    assert (found.hits, found.lost, found.wrong, found.twice) == (0, 0, 0, 0)
    assert found.repeats == 0
    assert found.error == ""


def test_a_loop_over_a_broken_pool_loses_nothing():
    """Its workers are killed while it runs, jobs are run again, and each is answered once."""
    found = peer_outcome("process pool, in a loop", 4000, Sizes(2000, 8, 8, 4), 0.3)
    assert found.hits > 0
    assert (found.lost, found.wrong, found.twice) == (0, 0, 0)


def test_without_the_loop_the_first_kill_ends_it():
    """What was not answered is lost, and the error is the pool's own."""
    found = peer_outcome("process pool, once", 4000, Sizes(2000, 8, 8, 4), 0.3)
    assert found.error == "BrokenProcessPool"
    assert found.lost > 0


def test_a_peer_that_is_none_says_so():
    """The last words of its process are in the message."""
    with pytest.raises(PeerFailed, match="KeyError"):
        peer_outcome("nobody", 1, SMALL, 1.0)
