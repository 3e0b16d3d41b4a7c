"""The flag of a job: cancelled, past its deadline, or gone with its caller."""

from __future__ import annotations

import pytest

from pullback_graph.errors import Cancelled, DeadlineExceeded
from pullback_server.front_end.job_flag import JobFlag
from pullback_worker.executor import CancelFlag


def test_a_fresh_flag_lets_the_job_run() -> None:
    """Without a reason to stop, nothing is raised."""
    flag = JobFlag(60.0, CancelFlag())
    flag.check()
    assert not flag.is_set
    assert flag.remaining_s is not None
    assert flag.remaining_s > 59.0


def test_a_deadline_in_the_past_stops_the_job() -> None:
    """A passed deadline reads as set and raises DeadlineExceeded, not Cancelled."""
    flag = JobFlag(-1e-9)
    assert flag.is_set
    assert flag.remaining_s == 0.0
    with pytest.raises(DeadlineExceeded):
        flag.check()


def test_cancelling_and_a_lost_caller_stop_the_job() -> None:
    """Setting the flag, or its caller's flag, raises Cancelled."""
    flag, caller = JobFlag(), CancelFlag()
    flag.set()
    with pytest.raises(Cancelled):
        flag.check()
    child = JobFlag(None, caller)
    caller.set()
    with pytest.raises(Cancelled):
        child.check()


@pytest.mark.parametrize(("call_s", "own_s"), [(None, 5.0), (5.0, 60.0), (60.0, 5.0)])
def test_the_earlier_deadline_holds(call_s: float | None, own_s: float) -> None:
    """Of the call's and the job's deadline the earlier one counts."""
    flag = JobFlag(call_s)
    flag.end_within(own_s)
    assert flag.remaining_s is not None
    assert 4.0 < flag.remaining_s <= 5.0


@pytest.mark.parametrize("set_first", [True, False])
async def test_one_that_waits_hears_of_it(set_first: bool) -> None:
    """Whether it is asked to stop before it waits or after; asking twice is harmless."""
    flag = JobFlag()
    if set_first:
        flag.set()
    waiter = flag.called_off()
    flag.set()
    flag.set()
    assert waiter.done()
