"""Jobs submitted one by one: futures, tasks, and the cancelling of a single one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import as_completed
from threading import Event as Signal
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.remote.job_window import WindowSize
from pullback.remote.map_steps import (
    Broken,
    CalledOff,
    Deliver,
    Event,
    Next,
    Replied,
    Reset,
    Send,
    Taken,
    submission_steps,
)
from pullback_graph.codec import encode_job, error_to_status
from pullback_graph.errors import Cancelled, InputError, PullbackError, ServiceError, Stop
from pullback_graph.job import Job
from pullback_graph.want import Value
from pullback_proto.v1 import job_pb2
from tests.client.fake_service import FakeService
from tests.client.fake_transport import FakeTransport
from tests.client.graphs import square
from tests.client.grpc_service import serving
from tests.client.mapping import AWAY

JOB = Job(square(), {"x": np.asarray(3.0)}, Value())
STOPPED = Cancelled("the job was cancelled")
STOPPED.stop = Stop(0.1, 0.2)


def error_at(position: int, error: PullbackError) -> Replied:
    """A reply that says so of one job."""
    reply = job_pb2.JobReply(position=position, error=error_to_status(error))
    return Replied(job_pb2.ReplyBatch(replies=[reply.SerializeToString()]).SerializeToString())


def driven(*events: Event) -> tuple[list[job_pb2.JobBatch], dict[int, Any]]:
    """What is sent, and what is delivered by number, while these things happen in turn."""
    transport = FakeTransport(FakeService())
    steps = submission_steps(transport.conversation, WindowSize())
    coming = iter(events)
    sent: list[job_pb2.JobBatch] = []
    delivered: dict[int, Any] = {}
    effect = next(steps)
    while True:
        outcome = None
        match effect:
            case Next(_, timeout_s):
                try:
                    outcome = next(coming)
                except StopIteration:
                    return sent, delivered
                transport.now_s += timeout_s or 0.0
            case Send(data):
                sent.append(job_pb2.JobBatch.FromString(data))
            case Deliver(result, number):
                delivered[number] = result
            case _:
                assert not isinstance(effect, Reset)
                outcome = transport.perform(effect)
        effect = steps.send(outcome)


def answered(position: int) -> Replied:
    """A reply with a result."""
    data = job_pb2.JobBatch(jobs=[encode_job(JOB)]).SerializeToString()
    return Replied(FakeService().replies(data, position)[0])


def test_each_job_goes_at_once_unless_more_are_there():
    """One alone is not held back for company; those there together travel together."""
    sent, _ = driven(Taken(JOB), Taken(JOB), Taken(JOB, more=True), Taken(JOB))
    assert [len(batch.jobs) for batch in sent] == [1, 1, 2]


def test_outcomes_come_as_they_are_there():
    """A later job does not wait for an earlier one."""
    _, delivered = driven(Taken(JOB), Taken(JOB), answered(1))
    assert list(delivered) == [1]


def test_a_job_on_its_way_is_called_off_by_its_position():
    """On the stream that has it; its reply says how it ended, whatever it says."""
    again = [Taken(JOB), Broken(AWAY), None, CalledOff(0)]
    sent, delivered = driven(Taken(JOB), answered(0), *again, error_at(0, STOPPED))
    assert [list(batch.cancel) for batch in sent] == [[], [], []]
    sent, delivered = driven(Taken(JOB), Taken(JOB), CalledOff(1), error_at(1, STOPPED))
    assert [list(batch.cancel) for batch in sent] == [[], [], [1]]
    assert delivered[1].stop == STOPPED.stop
    _, delivered = driven(Taken(JOB), CalledOff(0), answered(0))
    assert isinstance(delivered[0], pb.Result)


def test_positions_start_anew_with_a_stream():
    """What is sent again is called off where it is then."""
    sent, _ = driven(
        Taken(JOB), Taken(JOB), answered(0), Broken(AWAY), None, CalledOff(1), CalledOff(0)
    )
    assert [list(batch.cancel) for batch in sent] == [[], [], [], [0]]


@pytest.mark.parametrize("fate", [Broken(AWAY), error_at(0, AWAY), error_at(0, STOPPED)])
def test_what_was_called_off_is_not_tried_again(fate: Event):
    """Neither after a broken stream nor where the service had no room for it."""
    sent, delivered = driven(Taken(JOB), CalledOff(0), fate, None, None)
    assert isinstance(delivered[0], Cancelled)
    assert sum(len(batch.jobs) for batch in sent) == 1


def test_a_job_that_waits_for_another_try_is_called_off_at_once():
    """Nothing is sent for it."""
    sent, delivered = driven(Taken(JOB), error_at(0, AWAY), CalledOff(0), None)
    assert isinstance(delivered[0], Cancelled)
    assert [list(batch.cancel) for batch in sent] == [[]]


def test_unknown_and_finished_jobs_are_none_to_call_off():
    """Numbers that never were or are no more do nothing."""
    sent, delivered = driven(Taken(JOB), answered(0), CalledOff(0), CalledOff(7), CalledOff(2**70))
    assert [list(batch.cancel) for batch in sent] == [[]]
    assert isinstance(delivered[0], pb.Result)


# --- over a network -------------------------------------------------------------------------------


class SlowService(FakeService):
    """Answers streams when it may; knows of no cancellations, as services before them."""

    def __init__(self) -> None:
        super().__init__()
        self.has_jobs, self.may_answer = Signal(), Signal()

    def replies(self, batch: bytes, first_position: int) -> tuple[bytes, int]:
        """As soon as it may."""
        self.has_jobs.set()
        self.may_answer.wait(30.0)
        return super().replies(batch, first_position)


@pytest.fixture
def slow() -> Iterator[tuple[SlowService, str]]:
    """A service, and its address."""
    service = SlowService()
    with serving(service) as address:
        yield service, address
        service.may_answer.set()


def test_futures_are_those_of_the_standard_library(slow: tuple[SlowService, str]):
    """Results and typed errors, by result, exception, callbacks and as_completed."""
    slow[0].may_answer.set()
    with pb.connect(slow[1]) as service:
        futures = [service.submit(square(), {"x": float(k)}, gradient="x") for k in range(50)]
        wrong = service.submit(square(), {"y": 1.0})
        called: list[Any] = []
        wrong.add_done_callback(called.append)
        found = {float(f.result().gradients["x"]) for f in as_completed(futures, 30.0)}
        assert found == {2.0 * k for k in range(50)}
        assert isinstance(wrong.exception(30.0), InputError)
        assert called == [wrong]
        assert not wrong.cancelled()
        assert not wrong.cancel()
        with pytest.raises(InputError):
            service.submit("no graph", {})  # type: ignore[arg-type]


def test_a_service_that_cannot_cancel_answers_and_that_counts(slow: tuple[SlowService, str]):
    """The future waits, and ends with the result."""
    with pb.connect(slow[1]) as service:
        future = service.submit(square(), {"x": 3.0})
        assert slow[0].has_jobs.wait(30.0)
        assert future.cancel()
        assert future.running()
        slow[0].may_answer.set()
        assert future.result(30.0).outputs["y"] == 9.0
        assert not future.cancelled()


def test_closing_calls_off_what_is_left(slow: tuple[SlowService, str]):
    """And nothing can be submitted from then on."""
    with pb.connect(slow[1]) as service:
        future = service.submit(square(), {"x": 3.0})
        slow[0].may_answer.set()
        future.result(30.0)
        slow[0].may_answer.clear()
        future = service.submit(square(), {"x": 4.0})
    assert future.cancelled()
    with pytest.raises(ServiceError, match="closed"):
        service.submit(square(), {"x": 3.0})


async def test_tasks_are_those_of_asyncio(slow: tuple[SlowService, str]):
    """Results and typed errors in a task group; cancelled or closed, they are cancelled."""
    async with pb.aconnect(slow[1]) as service:
        slow[0].may_answer.set()
        tasks = [service.submit(square(), {"x": float(k)}) for k in range(50)]
        assert [r.outputs["y"] for r in await asyncio.gather(*tasks)] == [k * k for k in range(50)]
        with pytest.raises(InputError):
            await service.submit(square(), {"y": 1.0})
        slow[0].may_answer.clear()
        slow[0].has_jobs.clear()
        cancelled, kept = [service.submit(square(), {"x": 3.0}) for _ in range(2)]
        assert await asyncio.to_thread(slow[0].has_jobs.wait, 30.0)
        assert cancelled.cancel()
        done, _ = await asyncio.wait([cancelled], timeout=0.01)
        assert not done
        slow[0].may_answer.set()
        await asyncio.wait([cancelled, kept])
        assert cancelled.cancelled()
        assert not cancelled.cancel()
        assert kept.result().outputs["y"] == 9.0
        slow[0].may_answer.clear()
        left = service.submit(square(), {"x": 3.0})
    with pytest.raises(Cancelled):
        await left
    with pytest.raises(ServiceError, match="closed"):
        service.submit(square(), {"x": 3.0})


def test_without_a_server_the_future_is_done():
    """Code that submits runs with pb.local() too."""
    future = pb.local().submit(square(), {"x": 3.0})
    assert future.result(0.0).outputs["y"] == 9.0
    assert not future.cancel()
    assert isinstance(pb.local().submit(square(), {}).exception(0.0), InputError)
