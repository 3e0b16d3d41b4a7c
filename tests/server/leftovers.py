"""What a scheduler may still hold when all jobs have ended: its workers, and what it measured."""

from __future__ import annotations

from pullback_server.scheduler import HERE, Scheduler
from pullback_server.scheduler.fleet import MOST_STALE
from pullback_server.scheduler.shares import Flow, Shares

MOST_ALARMS = 12
"""Of one worker: it is watched, and looked at when what it had would have been late or silent."""


def assert_nothing_left(scheduler: Scheduler) -> None:
    """No table has anything of a job that is over, or of a worker that is no more."""
    board, matching = scheduler._board, scheduler._matching
    assert not board.jobs
    assert not board.needs._jobs
    assert not board.needs.largest_bytes
    assert not board.freeing
    assert not len(board.deadlines)
    assert not board.accounts.homes.jobs
    assert not board.accounts.homes.lines
    assert not board.accounts.homes.called
    assert not any(own.tasks or own.seconds for own in board.accounts.backlog.values())
    assert not board.accounts.suspects
    assert not board.accounts.running
    assert not board.accounts.unstarted
    assert not matching._set_aside
    assert not matching._misfits
    assert not matching._express.waiting
    assert not scheduler._stragglers._copies
    assert not len(scheduler._stopping)
    for shares in [*matching._shares.values(), *matching._loose.values()]:
        _assert_idle(shares)
    _assert_all_idle(scheduler)


def _assert_all_idle(scheduler: Scheduler) -> None:
    board, fleet = scheduler._board, scheduler._board.fleet
    workers = [*fleet.workers.values()]
    assert not fleet.batches
    assert not any(fleet.held_bytes.values())
    assert fleet.held_bytes.keys() <= {HERE, *fleet.workers}
    assert not any(worker.in_flight or worker.made_bytes for worker in workers)
    owners = list(fleet._programs.values())
    assert all(owners)
    assert {number for own in owners for number in own} <= fleet.workers.keys()
    for kind in fleet.kinds.values():
        doomed = {worker.id for worker in workers if worker.doomed}
        assert kind.idle == set(kind.ready) - doomed
        assert not kind.soon
        assert not kind.beside
        assert len(kind.ending) <= 2 * len(kind.ready) + MOST_STALE
        assert len(kind.idle_heap) == len(kind.in_heap)
    assert len(board.alarms) <= MOST_ALARMS * next(board.worker_ids)


def _assert_idle(shares: Shares) -> None:
    assert not shares.waiting
    assert not shares._listed
    flows: list[Flow] = [shares._root]
    for flow in flows:
        assert not flow.heap
        assert not flow.rivals
        flows += flow.children.values()
