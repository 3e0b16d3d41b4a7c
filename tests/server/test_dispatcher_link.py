from __future__ import annotations

from math import inf

import pytest

from pullback_server.dispatcher_link import LONGEST_PAUSE_S, STEADY_S, pause_after


def test_a_dispatcher_that_served_is_replaced_at_once():
    """However often it happens: whoever waits for jobs loses a start's time, and no more."""
    assert pause_after(STEADY_S + 0.1, 0.0) == 0.0
    assert pause_after(STEADY_S + 0.1, LONGEST_PAUSE_S) == 0.0


@pytest.mark.parametrize("served_s", [-inf, STEADY_S / 2])
def test_dispatchers_that_do_not_come_to_serve_start_ever_less_often(served_s: float):
    """A start costs seconds of a processor, and more of them mend nothing; one is always tried."""
    pauses_s = [0.0]
    for _ in range(20):
        pauses_s.append(pause_after(served_s, pauses_s[-1]))
    assert pauses_s == sorted(pauses_s)
    assert pauses_s[1] < 1.0
    assert pauses_s[-1] == LONGEST_PAUSE_S
