from __future__ import annotations

import pytest

from benchmarks.timing import interleaved, interleaved_async, quantile, ratio


def recorder(calls, name):
    """A call that notes it was made."""
    return lambda: calls.append(name)


def test_rounds_interleave_rivals_and_rotate_who_goes_first():
    """Every rival runs in every round, the first place moves on, and the warm-up is not kept."""
    calls: list[str] = []
    rivals = {name: recorder(calls, name) for name in "abc"}
    samples = interleaved(rivals, rounds=3, calls=2)
    assert "".join(calls) == "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"
    assert {name: len(seconds) for name, seconds in samples.items()} == {"a": 6, "b": 6, "c": 6}


async def test_awaited_rivals_are_timed_alike():
    """The asyncio variant gives as many samples."""

    async def call():
        return None

    samples = await interleaved_async({"a": call, "b": call}, rounds=2, calls=3)
    assert {name: len(seconds) for name, seconds in samples.items()} == {"a": 6, "b": 6}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_quantile_is_a_sample_that_the_share_does_not_exceed(share, expected):
    """Nearest rank: of 1 to 100, the 99 % quantile is 99."""
    assert quantile(list(range(100, 0, -1)), share) == expected


def test_ratio_is_of_medians():
    """One slow call does not move a ratio."""
    assert ratio({"a": [2.0, 2.0, 99.0], "b": [1.0, 1.0, 1.0]}, "a", "b") == 2.0
