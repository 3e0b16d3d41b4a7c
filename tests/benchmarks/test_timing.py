from __future__ import annotations

import pytest

from benchmarks.timing import Samples, interleaved, interleaved_async, quantile


def recorder(calls, name):
    """A call that notes it was made."""
    return lambda: calls.append(name)


def test_rounds_interleave_rivals_and_rotate_who_goes_first():
    """Every rival runs in every round, the first place moves on, and the warm-up is not kept."""
    calls: list[str] = []
    rivals = {name: recorder(calls, name) for name in "abc"}
    samples = interleaved(rivals, rounds=3, calls=2)
    assert "".join(calls) == "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"
    assert {name: len(samples.all(name)) for name in samples.names} == {"a": 6, "b": 6, "c": 6}


async def test_awaited_rivals_are_timed_alike():
    """The asyncio variant gives as many samples."""

    async def call():
        return None

    samples = await interleaved_async({"a": call, "b": call}, rounds=2, calls=3)
    assert {name: len(samples.all(name)) for name in samples.names} == {"a": 6, "b": 6}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_quantile_is_a_sample_that_the_share_does_not_exceed(share, expected):
    """Nearest rank: of 1 to 100, the 99 % quantile is 99."""
    assert quantile(list(range(100, 0, -1)), share) == expected


def test_ratio_is_taken_within_rounds():
    """Neither one slow call nor a slow spell of the machine moves a ratio."""
    samples = Samples(["a", "b"])
    for slowness in (1.0, 7.0, 3.0):
        samples.add("a", [2.0 * slowness, 2.0 * slowness, 99.0])
        samples.add("b", [1.0 * slowness] * 3)
    assert samples.ratio("a", "b") == 2.0
