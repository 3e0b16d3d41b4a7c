"""How batches leave for a worker: those of a call that are small together, in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback_graph.job import NDArray
from pullback_server.held_input import HeldInput
from pullback_server.planner.plan import JobInput, Placement, Plan, TaskOutput
from pullback_server.pool_job import PoolJob
from pullback_server.pool_sender import Sender
from pullback_server.pool_worker import Flight, PoolWorker
from pullback_server.scheduler import Call, Dependencies, Run
from pullback_worker.batch import Freed, InputOperand
from pullback_worker.parcel import MOST_BYTES, unpacked
from tests.server.plans import make_plan, make_task

SMALL = np.zeros(4)
LARGE = np.zeros(MOST_BYTES)


class FakeActor:
    """Remembers the jobs of each call, and answers with its number."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.run_parcel = _Method(self, lambda parcel: [b.job for b, _ in unpacked(parcel)])
        self.run = _Method(self, lambda batch, carried: [batch.job])
        self.run_express = self.run


def _raise(*_: Any) -> list[int]:
    raise FileNotFoundError("the store is full")


class _Method:
    def __init__(self, actor: FakeActor, jobs_of: Any) -> None:
        self._actor, self._jobs_of = actor, jobs_of

    def remote(self, *arguments: Any) -> int:
        """A call."""
        self._actor.calls.append(self._jobs_of(*arguments))
        return len(self._actor.calls)


def sent(*given: tuple[int, NDArray]) -> tuple[list[list[int]], PoolWorker]:
    """The jobs of each call, for one job per call's number and input; and the worker."""
    plan: Plan = make_plan([make_task([JobInput(0)])], [TaskOutput(0, 0)])
    jobs = {}
    for number, (_, array) in enumerate(given):
        held = HeldInput(array)
        jobs[number] = PoolJob(number, Dependencies(plan), [held], {InputOperand(0): array})
    actor, unsent = FakeActor(), list[Any]()
    worker = PoolWorker(1, Placement.CPU, actor)
    sender = Sender({1: worker}, jobs, OSError, lambda *told: unsent.append(told))
    for number, (call, _) in enumerate(given):
        sender.add(Run(1, number, number, (Call(0, (), (0,)),), (), call=call))
    sender.depart()
    sender.depart()
    assert not unsent
    return actor.calls, worker


def sent_in_turn(*given: tuple[int, int]) -> dict[int, list[list[int]]]:
    """The batches of each actor's calls, for one batch per worker and call's number, in a step."""
    plan = make_plan([make_task([JobInput(0)])], [TaskOutput(0, 0)])
    actors = {worker: FakeActor() for worker, _ in given}
    workers = {own: PoolWorker(own, Placement.CPU, actor) for own, actor in actors.items()}
    jobs = {
        number: PoolJob(number, Dependencies(plan), [HeldInput(SMALL)], {InputOperand(0): SMALL})
        for number, _ in enumerate(given)
    }
    sender = Sender(workers, jobs, OSError, lambda *told: None)
    for number, (worker, call) in enumerate(given):
        sender.add(Run(worker, number, number, (Call(0, (), (0,)),), (), call=call))
    sender.depart()
    sender.depart()
    return {worker: actor.calls for worker, actor in actors.items()}


def flying(worker: PoolWorker) -> list[list[Flight]]:
    """What is waited for, by call."""
    return [[*worker.flights.get_nowait()] for _ in range(worker.flights.qsize())]


def test_small_batches_of_a_call_leave_together():
    """They are waited for together; those of another call leave by themselves."""
    calls, worker = sent((7, SMALL), (7, SMALL), (9, SMALL))
    assert calls == [[0, 1], [2]]
    assert len(worker.flying) == 3
    flights = flying(worker)
    assert [[own.run.job for own in call] for call in flights] == calls
    assert [[own.report for own in call] for call in flights] == [[1, 1], [2]]


def test_a_call_waits_for_what_comes_after_those_of_other_workers():
    """Idle workers are given one batch each before any is given company: one call a worker."""
    calls = sent_in_turn((1, 0), (2, 1), (3, 2), (1, 0), (1, 0), (2, 1), (3, 2), (3, 2))
    assert calls == {1: [[0, 3, 4]], 2: [[1, 5]], 3: [[2, 6, 7]]}


def test_a_worker_s_batches_leave_in_the_order_they_came_in():
    """What comes after another call of its worker goes after that."""
    assert sent_in_turn((1, 0), (2, 1), (1, 2), (1, 0)) == {1: [[0], [2], [3]], 2: [[1]]}


def test_what_is_large_leaves_by_itself():
    """In its turn: a worker is told to stop batches by how far it came."""
    calls, worker = sent((7, SMALL), (7, SMALL), (7, LARGE), (7, SMALL))
    assert calls == [[0, 1], [2], [3]]
    assert [[own.run.job for own in call] for call in flying(worker)] == calls


def test_a_parcel_holds_no_more_than_goes_with_a_call():
    """What its batches share counts once."""
    half = np.zeros(MOST_BYTES // 16 + 1)
    calls, _ = sent((7, half), (7, half.copy()), (7, half.copy()))
    assert calls == [[0], [1], [2]]
    calls, _ = sent((7, half), (7, half), (7, half))
    assert calls == [[0, 1, 2]]


def test_batches_of_a_worker_that_is_gone_stay():
    """Its end is about to be told, and they go elsewhere."""
    sender = Sender({}, {}, OSError, lambda *told: None)
    sender.add(Run(1, 0, 0, (), (), call=0))
    sender.depart()


def test_what_can_t_be_sent_is_told_and_what_was_to_be_dropped_stays():
    """The store may be full; the batches are not waited for, and others go on."""
    plan = make_plan([make_task([JobInput(0)])], [TaskOutput(0, 0)])
    for array in (SMALL, LARGE):
        actor, unsent = FakeActor(), list[Any]()
        actor.run_parcel = actor.run = _Method(actor, _raise)
        worker = PoolWorker(1, Placement.CPU, actor)
        worker.freed = [Freed(3, None)]
        held = HeldInput(array)
        jobs = {0: PoolJob(0, Dependencies(plan), [held], {InputOperand(0): array})}
        sender = Sender({1: worker}, jobs, OSError, lambda *told, own=unsent: own.append(told))
        sender.add(Run(1, 0, 0, (Call(0, (), (0,)),), (), call=0))
        sender.depart()
        ((flights, _, error),) = unsent
        assert [flight.run.job for flight in flights] == [0]
        assert isinstance(error, FileNotFoundError)
        assert worker.freed == [Freed(3, None)]
        assert not worker.flying
