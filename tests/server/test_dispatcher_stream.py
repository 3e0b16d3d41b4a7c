"""How a front end tells that its dispatcher says nothing any more, by a clock that is turned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pullback_server import dispatcher_stream
from pullback_server.dispatcher_stream import DispatcherStream, EncodedPlans
from pullback_server.shared_tensors import SharedTensors

LIMIT_S = 20.0


class Clock:
    """Time that passes while somebody sleeps; `heard` are times at which a message is read."""

    def __init__(self, *heard_s: float, stalled_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.stream: DispatcherStream
        self._heard: Iterator[float] = iter((*heard_s, float("inf")))
        self._next_s = next(self._heard)
        self._stalled_s = stalled_s

    async def sleep(self, pause_s: float) -> None:
        """Pass time, and the first time more of it than was asked for, in which nothing is read."""
        self.now_s += pause_s + self._stalled_s
        if self._stalled_s:
            self._stalled_s = 0.0
            return
        while self._next_s <= self.now_s:
            self.stream._heard_s, self._next_s = self._next_s, next(self._heard)


async def silence_ends_s(clock: Clock, tmp_path: Path, patch: pytest.MonkeyPatch) -> float:
    """When a dispatcher that was heard at the start counts as silent."""
    stream = DispatcherStream("unix:/nowhere", SharedTensors(tmp_path, "test"), EncodedPlans(), 0)
    clock.stream, stream._heard_s = stream, 0.0
    with patch.context() as turned:
        turned.setattr(dispatcher_stream, "monotonic", lambda: clock.now_s)
        turned.setattr("asyncio.sleep", clock.sleep)
        await stream.silence(LIMIT_S)
    await stream.close()
    return clock.now_s


async def test_nothing_for_the_limit_is_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is looked once more, shortly; what is said meanwhile puts it off."""
    assert LIMIT_S < await silence_ends_s(Clock(), tmp_path, monkeypatch) < LIMIT_S + 3.0
    said = Clock(5.0, 15.0, 30.0)
    assert 50.0 < await silence_ends_s(said, tmp_path, monkeypatch) < 53.0


async def test_a_front_end_that_stood_still_blames_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What came in that time is read before the dispatcher is given up."""
    stood = Clock(60.0, stalled_s=3 * LIMIT_S)
    assert await silence_ends_s(stood, tmp_path, monkeypatch) > 60.0 + LIMIT_S
