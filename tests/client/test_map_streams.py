"""The map when streams break, replies are garbage, or a job breaks the stream for all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.remote.passing import LARGE_BYTES
from pullback.remote.retry import RetryPolicy
from pullback_graph.errors import (
    ExecutionError,
    LimitExceeded,
    NotFoundError,
    PullbackError,
    ServiceError,
)
from pullback_graph.job import Result
from tests.client.graphs import square
from tests.client.mapping import AWAY, Map, gradients, points


def test_a_broken_stream_is_opened_again():
    """What was not answered is sent again on a new stream, and nothing is given twice."""
    map = Map(jobs=16)
    map.shell.breaks.extend([None, AWAY, None, None, AWAY, AWAY])
    assert gradients(map(points(80))) == [2.0 * i for i in range(80)]
    assert map.shell.streams == 4


def test_a_service_that_is_gone_fails_the_jobs_that_were_out():
    """After the attempts each unanswered job fails; later jobs still get a try of their own."""
    map = Map(RetryPolicy(attempts=3), jobs=4)
    map.shell.breaks.extend([AWAY] * 3)
    kinds = [type(o) for o in map(points(20))]
    assert ServiceError in kinds
    assert kinds[-1] is Result


def test_a_service_that_is_gone_for_good_is_not_waited_for_again_and_again():
    """The first jobs wait as the policy says; those after them fail at their first try."""
    map = Map(RetryPolicy(attempts=4), jobs=4)
    map.shell.breaks.extend([AWAY] * 1000)
    start_s = map.transport.now_s
    assert {type(o) for o in map(points(200))} == {ServiceError}
    assert map.transport.now_s - start_s < 2 * (0.05 + 0.1 + 0.2)


def test_uploads_to_a_service_that_is_gone_are_not_waited_for_each():
    """Large inputs that cannot be sent fail their jobs, the first after patience, the rest soon."""
    map = Map(RetryPolicy(attempts=4), jobs=4)
    map.service.next("PutTensor", *[AWAY] * 1000)
    x = np.ones(LARGE_BYTES // 8)
    assert {type(o) for o in map((square(x.size), {"x": x}) for _ in range(30))} == {ServiceError}
    assert map.service.calls["PutTensor"] == 4 + 29


def test_the_job_that_breaks_the_stream_is_found():
    """An error that no retry helps hits the one job it comes from, not its neighbours."""
    map = Map(jobs=8)
    poison = 13.0
    replies = map.service.replies

    def fussy(batch: bytes, first_position: int) -> tuple[bytes, int]:
        reply, count = replies(batch, first_position)
        if any(float(np.asarray(job.inputs["x"])) == poison for job in map.service.jobs[-count:]):
            raise LimitExceeded("message too large")
        return reply, count

    map.service.replies = fussy  # type: ignore[method-assign]
    outcomes = list(map(points(40)))
    assert [i for i, o in enumerate(outcomes) if not isinstance(o, Result)] == [13]
    assert isinstance(outcomes[13], LimitExceeded)


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x03\xff\xff\xff"])
def test_garbage_on_the_stream_is_survived(garbage: bytes):
    """Replies that do not parse cost a new stream; jobs they may have answered run again."""
    map = Map(jobs=8)
    map.shell.breaks.append(garbage)
    assert gradients(map(points(20))) == [2.0 * i for i in range(20)]
    assert map.shell.streams == 2


def test_endless_garbage_ends():
    """A service that only talks nonsense fails every job, in the end."""
    map = Map(RetryPolicy(attempts=3), jobs=4)
    map.shell.breaks.extend([b"\xff\xff\xff"] * 1000)
    assert {type(o) for o in map(points(10))} == {ServiceError}


def test_unasked_replies_are_ignored():
    """A position that nothing flies at, or an empty message, changes nothing."""
    map = Map(jobs=4)
    stray = b"\x0a\x03\x20\xe7\x07"  # a reply at position 999, of neither result nor error
    map.shell.breaks.extend([stray, b"", None])
    assert gradients(map(points(10))) == [2.0 * i for i in range(10)]


# --- all of it at once ----------------------------------------------------------------------------

fates = st.lists(st.sampled_from([None, None, None, AWAY, b"\xff\xff", b""]), max_size=12)
troubles = st.lists(
    st.sampled_from([AWAY, NotFoundError("lost"), ExecutionError("no"), b"\xff"]), max_size=6
)


@given(
    jobs=st.integers(1, 12),
    count=st.integers(0, 40),
    fates=fates,
    troubles=troubles,
    hurried=st.booleans(),
)
def test_every_job_has_one_outcome_whatever_happens(jobs, count, fates, troubles, hurried):
    """As many outcomes as jobs, in order and never past the window; a result is the right one."""
    map = Map(RetryPolicy(attempts=100), jobs=jobs)
    map.shell.breaks.extend(fates)
    map.shell.hurried = hurried
    map.service.next("Evaluate", *troubles)
    outcomes = list(map(points(count), deadline_s=1000.0))
    assert len(outcomes) == count
    for i, outcome in enumerate(outcomes):
        assert isinstance(outcome, PullbackError) or outcome.gradients["x"] == 2.0 * i
    assert map.shell.most_under_way <= jobs
    lasting = [t for t in troubles if isinstance(t, NotFoundError | ExecutionError)]
    assert sum(isinstance(o, PullbackError) for o in outcomes) <= len(lasting)
