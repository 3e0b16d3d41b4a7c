"""Which arrays stay with the dispatcher: a read-only array that is seen again, if there is room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback_server.kept_arrays import LEAST_AHEAD_BYTES, LEAST_BYTES, Kept, KeptArrays

SIZE = LEAST_BYTES  # in float64, so eight times the least


def constant(value: float = 0.0, size: int = SIZE) -> Any:
    """A read-only array."""
    array = np.full(size, value)
    array.flags.writeable = False
    return array


def test_an_array_is_kept_from_its_second_sight_on():
    """First it travels, then it travels under a number, then the number does."""
    kept, array = KeptArrays(1 << 30), constant()
    assert kept.look_up(array) == Kept(0, False)
    assert kept.look_up(array) == Kept(1, False)
    assert kept.look_up(array) == Kept(1, True)


def test_an_array_that_was_sent_ahead_is_kept_at_first_sight():
    """The second job with it moves nothing; what may change under it is not kept even so."""
    kept, array = KeptArrays(1 << 30), constant()
    assert kept.look_up(array, sent_ahead=True) == Kept(1, False)
    assert kept.look_up(array, sent_ahead=True) == Kept(1, True)
    assert kept.look_up(np.zeros(SIZE), sent_ahead=True) == Kept(0, False)


def test_a_small_array_that_was_sent_ahead_is_kept():
    """Jobs that read it go to a worker together, and it goes with them once."""
    kept, array = KeptArrays(1 << 30), constant(size=LEAST_BYTES // 8)
    assert kept.look_up(array, sent_ahead=True) == Kept(1, False)
    assert kept.look_up(array, sent_ahead=True) == Kept(1, True)
    tiny = constant(size=LEAST_AHEAD_BYTES // 8)
    assert kept.look_up(tiny, sent_ahead=True) == Kept(0, False)


@pytest.mark.parametrize(
    "array",
    [np.zeros(SIZE), constant(size=LEAST_BYTES // 8), np.frombuffer(bytearray(8 * SIZE))],
    ids=["writable", "small", "view of a buffer that may change"],
)
def test_what_may_change_or_is_small_is_never_kept(array: Any):
    """Neither of them is looked at twice."""
    kept = KeptArrays(1 << 30)
    assert {kept.look_up(array) for _ in range(4)} == {Kept(0, False)}


def test_a_read_only_view_of_a_writable_array_is_not_kept():
    """What it shows may change under it."""
    view = np.zeros(SIZE)[:]
    view.flags.writeable = False
    kept = KeptArrays(1 << 30)
    assert {kept.look_up(view) for _ in range(4)} == {Kept(0, False)}


def test_arrays_over_received_bytes_are_kept():
    """That is how tensors arrive: views of a message."""
    array = np.frombuffer(bytes(8 * SIZE)).reshape(2, -1)
    kept = KeptArrays(1 << 30)
    assert [kept.look_up(array).sent for _ in range(3)] == [False, False, True]


def test_the_least_recently_used_goes_when_there_is_no_room():
    """Its number is told, once, and it has to be seen twice again."""
    kept = KeptArrays(2 * 8 * SIZE)
    first, second, third = constant(1.0), constant(2.0), constant(3.0)
    for array in (first, first, second, second, first, third, third):
        kept.look_up(array)
    assert kept.take_dropped() == [2]
    assert kept.take_dropped() == []
    assert kept.look_up(first).sent
    assert kept.look_up(second) == Kept(0, False)


def test_an_array_that_does_not_fit_is_not_kept():
    """Nothing is dropped for it."""
    kept, array = KeptArrays(SIZE), constant()
    assert {kept.look_up(array) for _ in range(4)} == {Kept(0, False)}
    assert not kept.take_dropped()


def test_an_array_that_lived_once_leaves_no_trace():
    """An array that is gone is not mistaken for one that takes its place in memory."""
    kept = KeptArrays(1 << 30)
    for _ in range(50):
        assert kept.look_up(constant()) == Kept(0, False)
    assert not kept._seen


def test_clearing_drops_all():
    """After that every array is new."""
    kept, array = KeptArrays(1 << 30), constant()
    for _ in range(3):
        kept.look_up(array)
    kept.clear()
    assert kept.take_dropped() == [1]
    assert kept.look_up(array) == Kept(0, False)
