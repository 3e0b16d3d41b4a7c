"""Arrays that can't change are looked through for NaN and infinities once; others every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback_worker import fixed_arrays
from pullback_worker.fixed_arrays import LEAST_BYTES, known_finite, remember_finite
from pullback_worker.result_checks import non_finite

SIZE = LEAST_BYTES // 8 + 1


def received(value: float = 0.0) -> Any:
    """An array as it arrives: a view of bytes."""
    return np.frombuffer(np.full(SIZE, value).tobytes())


def test_received_data_is_known_to_be_finite_once_it_was_looked_through():
    """It is that array that is known, not one like it."""
    array = received()
    assert not known_finite(array)
    assert non_finite(["x"], [array]) == {}
    assert known_finite(array)
    assert not known_finite(received())


def test_non_finite_data_is_counted_every_time():
    """What is not finite is not remembered."""
    array = received(np.nan)
    for _ in range(2):
        assert non_finite(["x"], [array]) == {"x": SIZE}


@pytest.mark.parametrize("view", [False, True])
def test_an_array_that_can_change_is_looked_through_again(view: bool):
    """The caller's own array, or a read-only view of it."""
    own = np.zeros(SIZE)
    array = own[:]
    array.flags.writeable = not view
    assert non_finite(["x"], [array]) == {}
    own[0] = np.inf
    assert non_finite(["x"], [array]) == {"x": 1}


def test_a_small_array_is_not_remembered():
    """Looking it up would take as long as looking through it."""
    array = np.frombuffer(bytes(LEAST_BYTES))
    remember_finite(array)
    assert not known_finite(array)


def test_an_array_that_is_gone_leaves_no_trace():
    """What takes its place in memory is not mistaken for it."""
    before = len(fixed_arrays._finite)
    for _ in range(20):
        array = received()
        remember_finite(array)
        assert known_finite(array)
        del array
    assert len(fixed_arrays._finite) == before
