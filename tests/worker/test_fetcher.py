"""Waiting for arrays that are on their way to a worker, and no longer than they are wanted."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from pullback_worker.batch import Batch, Freed, InputOperand, Packed, ValueKey
from pullback_worker.fetcher import Fetcher

X, Y = InputOperand(0), InputOperand(1, 0, 2, 4)
PATIENCE_S = 30.0


class Promise:
    """A reference: to an array that comes when it is let, or never."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.there = threading.Event()


def get(references: Sequence[Any]) -> list[Any]:
    """Wait for all of them."""
    for reference in references:
        assert reference.there.wait(PATIENCE_S)
    return [reference.array for reference in references]


@pytest.fixture
def fetcher() -> Fetcher:
    """A fetcher of promises."""
    return Fetcher(get, lambda item: isinstance(item, Promise))


def looks(count: int) -> Iterator[bool]:
    """Not called off for so many looks, then called off."""
    yield from [False] * count
    while True:
        yield True


def never() -> bool:
    """Nobody calls it off."""
    return False


def test_arrays_and_references_come_in_their_order(fetcher: Fetcher):
    """Inputs first, then values; what is lost is None."""
    promises = [Promise(np.ones(2)), Promise(None)]
    for promise in promises:
        promise.there.set()
    batch = Batch(1, 7, (), inputs=(X, Y), fetched=(ValueKey(0, 0),))
    found = fetcher.fetch(batch, [promises[0], np.zeros(3), promises[1]], never)
    assert found is not None
    operands, arrays = found
    assert operands == (X, Y)
    assert [None if a is None else a.shape for a in arrays] == [(2,), (3,), None]


def test_values_that_came_together_are_fetched_once(fetcher: Fetcher):
    """Each reader takes its own of them; lost, all of them are."""
    promises = [Promise([np.ones(2), None, np.ones(4)]), Promise(None), Promise(np.ones(5))]
    for promise in promises:
        promise.there.set()
    group, lost, alone = promises
    carried = [Packed(group, 2), alone, Packed(group, 1), Packed(lost, 0), Packed(group, 0)]
    keys = tuple([ValueKey(k, 0) for k in range(len(carried))])
    found = fetcher.fetch(Batch(1, 7, (), fetched=keys), carried, never)
    assert found is not None
    assert [None if a is None else a.size for a in found.arrays] == [4, 5, None, None, 2]


def test_what_was_called_off_is_waited_for_by_the_next_batch_of_its_job(fetcher: Fetcher):
    """Inputs travel once: the next batch gets them, in whatever batch they came."""
    late, soon = Promise(np.ones(2)), Promise(np.ones(5))
    called = looks(2)
    batch = Batch(1, 7, (), inputs=(X,), fetched=(ValueKey(0, 0),))
    assert fetcher.fetch(batch, [late, np.zeros(1)], lambda: next(called)) is None
    late.there.set()
    soon.there.set()
    other = fetcher.fetch(Batch(2, 8, ()), [], never)
    assert other == ((), [])
    found = fetcher.fetch(Batch(3, 7, (), inputs=(Y,)), [soon], never)
    assert found is not None
    assert found[0] == (X, Y)
    assert [array.shape for array in found[1] if array is not None] == [(2,), (5,)]
    assert fetcher.fetch(Batch(4, 7, ()), [], never) == ((), [])


def test_inputs_of_a_job_that_is_over_are_not_waited_for(fetcher: Fetcher):
    """Freed before they came, they are forgotten; values of a job alone free nothing."""
    never_there = Promise(np.ones(2))
    called = looks(1)
    fetcher.fetch(Batch(1, 7, (), inputs=(X,)), [never_there], lambda: next(called))
    fetcher.free([Freed(7, (ValueKey(0, 0),)), Freed(8, None)])
    assert 7 in fetcher._awaited
    fetcher.free([Freed(7, None)])
    assert fetcher.fetch(Batch(2, 7, ()), [], never) == ((), [])


@pytest.mark.parametrize("before", [True, False])
def test_what_a_lost_worker_had_is_not_waited_for(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, before: bool
):
    """Told before the batch or during it; all else comes, other values and inputs alike."""
    monkeypatch.setattr("pullback_worker.fetcher.LEAVE_S", 0.0)
    late, kept, gone = Promise(np.ones(2)), Promise(np.ones(3)), Promise([np.ones(4), np.ones(5)])
    keys = tuple([ValueKey(k, 0) for k in range(4)])
    batch = Batch(3, 7, (), inputs=(X,), fetched=keys)
    told = iter([False])

    def tell() -> bool:
        if next(told, True):
            late.there.set()
            kept.there.set()
        elif not before:
            fetcher.leave(3, False, keys[1:3])
        return False

    if before:
        fetcher.leave(3, False, keys[1:3])
    carried = [late, kept, Packed(gone, 0), Packed(gone, 1), np.zeros(6)]
    found = fetcher.fetch(batch, carried, tell)
    assert found is not None
    assert [None if a is None else a.size for a in found.arrays] == [2, 3, None, None, 6]
    gone.there.set()


def test_what_was_said_of_a_batch_is_forgotten_after_it(fetcher: Fetcher):
    """Batches that are still to come, and express ones beside, keep what was said of them."""
    for number, express in ((2, False), (3, False), (4, False), (3, True)):
        fetcher.leave(number, express, [ValueKey(0, 0)])
    fetcher.fetch(Batch(3, 7, ()), [], never)
    assert set(fetcher._gone) == {(False, 4), (True, 3)}


def test_what_a_lost_worker_had_and_comes_all_the_same_is_taken(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
):
    """Its machine may be there still, and hand it on."""
    monkeypatch.setattr("pullback_worker.fetcher.LEAVE_S", PATIENCE_S)
    promise = Promise(np.ones(2))
    fetcher.leave(1, False, [ValueKey(0, 0)])
    calls = iter([False, False])

    def come() -> bool:
        if next(calls, True):
            promise.there.set()
        return False

    found = fetcher.fetch(Batch(1, 7, (), fetched=(ValueKey(0, 0),)), [promise], come)
    assert found is not None
    assert [array.size for array in found.arrays if array is not None] == [2]
