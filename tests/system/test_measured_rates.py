"""Workers measure themselves, and what they say reaches the front end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pullback_server.planner import Placement
from pullback_worker.numpy_work import MEMORY
from tests.system.running_link import RunningLink, wait_for

pytestmark = pytest.mark.system


def test_a_worker_that_is_up_says_what_work_takes_it(links: Callable[[int], RunningLink]) -> None:
    """Without any job; one for all of its machine, and nothing of kinds that there are none of."""
    link = links(2).link
    wait_for(lambda: link.rates(Placement.CPU).workers)
    rates = link.rates(Placement.CPU)
    assert 0.0 < rates.unit_s["exp float64"] < 1e-5
    assert 0.0 < rates.unit_s["matmul float64"] < 1e-7
    assert rates.unit_s[MEMORY] > 0.0
    assert rates.workers == 1
    assert not link.rates(Placement.GPU).unit_s
