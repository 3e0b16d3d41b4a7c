"""Who holds a value: few or many, in the order they came."""

from __future__ import annotations

from collections import defaultdict

import pytest

from pullback_server.planner.plan import TaskOutput
from pullback_server.scheduler.holdings import MOST_IN_TUPLE, Holdings
from pullback_server.scheduler.ready import MOST_IN_LIST, HomeIndex, ReadyTasks

VALUE = TaskOutput(0, 0)


@pytest.mark.parametrize("count", [1, MOST_IN_TUPLE, MOST_IN_TUPLE + 1, 4 * MOST_IN_TUPLE])
def test_holders_are_counted_once_and_kept_in_order(count: int) -> None:
    """However many hold a value, each counts once, first come first, until it has it no more."""
    bytes_of: defaultdict[int, int] = defaultdict(int)
    held = Holdings(lambda value: 8, bytes_of)
    for holder in [*range(1, count + 1), 1, count]:
        held.add(VALUE, holder)
    assert list(held.holders[VALUE]) == list(range(1, count + 1))
    assert all(bytes_of[holder] == 8 for holder in range(1, count + 1))
    last = [held.discard(VALUE, holder) for holder in range(count, 0, -1)]
    assert last == [False] * (count - 1) + [True]
    assert VALUE not in held
    assert not any(bytes_of.values())


@pytest.mark.parametrize("count", [1, MOST_IN_LIST, MOST_IN_LIST + 1, 4 * MOST_IN_LIST])
def test_ready_tasks_are_taken_from_both_ends(count: int) -> None:
    """However many tasks a home has, one end gives the lowest and the other the highest."""
    ready = ReadyTasks(1, HomeIndex())
    for task in reversed(range(count)):
        ready.add(task, 7)
    taken = [ready.take_first(7) for _ in range(count // 2)]
    assert taken == list(range(count // 2))
    if count > 1:
        ready.put_back(0)
    ends = [ready.take_last(7), ready.take_first(7)]
    assert ends == ([count - 1, 0] if count > 1 else [0, None])
