"""The flag of a job: cancelled, past its deadline, or gone with its caller."""

from __future__ import annotations

import pytest

from pullback_graph.errors import Cancelled, DeadlineExceeded
from pullback_server.front_end.job_flag import JobFlag, earlier
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


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(None, None, None), (1.0, None, 1.0), (2.0, 1.0, 1.0)]
)
def test_the_earlier_deadline_holds(
    one: float | None, other: float | None, expected: float | None
) -> None:
    """Of the call's and the job's deadline the earlier one counts."""
    assert earlier(one, other) == expected
