"""Faults of the dispatcher's own: no job waits for ever for what was not understood."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
import ray
from ray.exceptions import ObjectLostError, OutOfDiskError, RayTaskError

from pullback_graph.errors import ExecutionError, ServiceError
from pullback_server import pool_start, ray_cluster
from pullback_server.dispatcher.engine import Engine
from pullback_server.held_input import HeldInput
from pullback_server.planner.plan import JobInput, Placement, TaskOutput
from pullback_server.pool import Pool, _not_run
from pullback_server.pool_settings import PoolSettings
from pullback_server.pool_worker import PoolWorker
from pullback_server.ray_cluster import Process
from pullback_server.scheduler import (
    AskWorker,
    BatchEnded,
    Call,
    Dependencies,
    KillWorker,
    Run,
    Settings,
    TaskFailed,
    Tick,
    WorkerLost,
    WorkerPlaced,
)
from pullback_worker.actor import _found
from pullback_worker.batch import Batch, Freed, InputOperand
from pullback_worker.parcel import MOST_BYTES, unpacked
from tests.server.plans import make_plan, make_task

pytestmark = pytest.mark.system


class Talker:
    """An actor whose answers can't be read."""

    def __init__(self) -> None:
        self.identity = self.turn = self

    def remote(self) -> Any:
        """A call of the actor."""

        async def answer() -> None:
            raise ValueError("not what was expected")

        return answer()


class Silent(Talker):
    """An actor that does not answer."""

    def remote(self) -> Any:
        """A call of the actor."""
        return asyncio.Event().wait()


def test_a_worker_whose_answer_can_t_be_taken_in_is_lost(monkeypatch: pytest.MonkeyPatch):
    """It lives and says so, but what it was given is to be run by another."""
    ended: list[Any] = []
    monkeypatch.setattr(ray, "kill", ended.append)

    async def told() -> Any:
        event = asyncio.get_running_loop().create_future()
        pool = Pool(PoolSettings(Path("/nowhere")), event.set_result, monotonic)
        pool._workers[1] = PoolWorker(1, Placement.CPU, Talker())
        pool.apply(AskWorker(1))
        return await event

    assert isinstance(asyncio.run(told()), WorkerLost)
    assert len(ended) == 1


def test_a_worker_s_end_is_told_before_ray_s_head_has_heard_of_it(monkeypatch: pytest.MonkeyPatch):
    """Ending an actor waits for the head, which may be busy: no other job waits for that."""
    is_told = threading.Event()
    monkeypatch.setattr(ray, "kill", lambda actor: is_told.wait(10.0) or pytest.fail("too late"))

    async def told() -> Any:
        event = asyncio.get_running_loop().create_future()
        pool = Pool(PoolSettings(Path("/nowhere")), event.set_result, monotonic)
        pool._workers[1] = PoolWorker(1, Placement.CPU, None)
        pool.apply(KillWorker(1, "late"))
        found = await event
        is_told.set()
        return found

    assert isinstance(asyncio.run(told()), WorkerLost)


def test_a_killed_worker_that_stands_still_is_gone_at_once(monkeypatch: pytest.MonkeyPatch):
    """Its processor is free for the next one: Ray would wait seconds for it to end by itself."""
    monkeypatch.setattr(ray, "kill", lambda actor: None)

    async def killed(process: int) -> None:
        pool = Pool(PoolSettings(Path("/nowhere")), lambda event: None, monotonic)
        pool._workers[1] = PoolWorker(1, Placement.CPU, None, process=process)
        pool.apply(KillWorker(1, "silent"))

    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGSTOP)
        asyncio.run(killed(process.pid))
        assert process.wait(10) == -signal.SIGKILL


def test_it_is_told_when_a_worker_that_starts_has_a_process(monkeypatch: pytest.MonkeyPatch):
    """It is looked for again and again; one of this machine can be killed before it is up."""
    found = iter([None, None, None, None, Process(7, "here")])
    monkeypatch.setattr(pool_start, "LOOKS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(ray_cluster, "process_of", lambda actor: next(found))
    monkeypatch.setattr(ray, "kill", lambda actor: None)

    async def told() -> tuple[Any, PoolWorker]:
        event = asyncio.get_running_loop().create_future()
        pool = Pool(PoolSettings(Path("/nowhere")), event.set_result, monotonic)
        pool.inputs.machine = "here"
        worker = pool._workers[1] = PoolWorker(1, Placement.CPU, Silent())
        pool._attend(worker, pool._greet)
        return await event, worker

    placed, worker = asyncio.run(told())
    assert isinstance(placed, WorkerPlaced)
    assert worker.process == 7


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        (OutOfDiskError("full"), ServiceError),
        (ObjectLostError("00" * 28, None, "somewhere"), None),
        (KeyError("a fault of ours"), ExecutionError),
    ],
)
def test_a_batch_that_did_not_run_blames_who_is_at_fault(cause: Exception, fault: Any):
    """A full store is the server's, a message that was lost is sent again; the rest is a fault."""
    error = RayTaskError("run", "trace", cause).as_instanceof_cause()
    run = Run(worker=1, batch=5, job=9, calls=(Call(0, (), (0,)),), fetches=())
    *failed, last = _not_run(run, error, 0.0)
    assert isinstance(last, BatchEnded)
    errors = [type(event.error) for event in failed if isinstance(event, TaskFailed)]
    assert errors == ([fault] if fault else [])


class Unreached:
    """An actor that no call reaches: an argument is lost; it remembers what it was sent."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.run = self.run_parcel = self

    def remote(self, sent: Any, carried: Any = None) -> Lost:
        """A call of the actor, of one batch or of a parcel."""
        self.batches += [sent] if isinstance(sent, Batch) else [b for b, _ in unpacked(sent)]
        return Lost()


class Lost:
    """The answer to a call of which an argument was lost."""

    def __await__(self) -> Any:
        cause = ObjectLostError("00" * 28, None, "somewhere")
        raise RayTaskError("run", "trace", cause).as_instanceof_cause()


def unreached(
    monkeypatch: pytest.MonkeyPatch, rounds: list[list[int]]
) -> tuple[list[Any], list[Batch]]:
    """What is told when each batch of each round was lost, and what the worker was sent.

    Args:
        rounds: the numbers of the batches sent one behind the other, all of one job.
    """
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    plan = Dependencies(make_plan([make_task([JobInput(0)])], [TaskOutput(0, 0)]))
    told: list[Any] = []

    async def run() -> Unreached:
        come = asyncio.Event()

        def tell(*events: Any) -> None:
            told.extend(events)
            come.set()

        pool = Pool(PoolSettings(Path("/nowhere")), tell, monotonic)
        actor = Unreached()
        worker = pool._workers[1] = PoolWorker(1, Placement.CPU, actor)
        worker.freed = [Freed(3, None)]
        x = np.zeros(MOST_BYTES)
        pool.open(9, plan, [HeldInput(x)], {InputOperand(0): x})
        pool._attend(worker, pool._listen, worker.flights)
        for batches in rounds:
            come.clear()
            for batch in batches:
                pool.apply(Run(1, batch, 9, (Call(0, (), (0,)),), (), call=batch))
            pool.depart()
            await come.wait()
        for listener in worker.listeners:
            listener.cancel()
        return actor

    return told, asyncio.run(run()).batches


def test_a_batch_that_was_lost_on_its_way_is_sent_whole_again(monkeypatch: pytest.MonkeyPatch):
    """With its inputs and graphs, and what is to be dropped: the worker has none of it."""
    told, (first, second) = unreached(monkeypatch, [[0], [1]])
    assert [type(event) for event in told] == [BatchEnded, BatchEnded]
    assert second.inputs == first.inputs == (InputOperand(0),)
    assert second.graphs == first.graphs != ()
    assert second.freed == first.freed == (Freed(3, None),)


def test_a_worker_that_has_more_of_a_job_whose_inputs_were_lost_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
):
    """It would not find them, and blame the graph."""
    told, (_, behind) = unreached(monkeypatch, [[0, 1]])
    assert not behind.inputs
    assert [type(event) for event in told] == [WorkerLost]


def test_a_value_that_there_was_no_room_for_is_not_computed_again(monkeypatch: pytest.MonkeyPatch):
    """Whoever reads it says so: it would find no room the next time either."""

    def get(reference: Any, timeout: float) -> Any:
        raise RayTaskError("run", "trace", OutOfDiskError("full")).as_instanceof_cause()

    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(ServiceError, match="no room"):
        _found(["a reference"])


def test_an_event_that_can_t_be_dealt_with_is_told_of(monkeypatch: pytest.MonkeyPatch):
    """The dispatcher ends then, and the next one is sent the jobs: none hangs."""
    faults: list[str] = []

    async def told() -> None:
        pool = PoolSettings(Path("/nowhere"))
        engine = Engine(Settings(), pool, lambda: faults.append("told"))
        monkeypatch.setattr(engine._scheduler, "handle", lambda *events: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.tell(Tick(now_s=0.0))

    asyncio.run(told())
    assert faults == ["told"]
