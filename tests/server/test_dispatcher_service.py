"""Inputs of jobs as the dispatcher takes them off its stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullback_graph.errors import PullbackError
from pullback_proto.internal.v1 import dispatch_pb2 as wire
from pullback_server.dispatcher.engine import Engine
from pullback_server.dispatcher.service import DispatcherService, _Stream
from pullback_server.held_input import SMALL_BYTES, HeldInput
from pullback_server.plan_codec import encode_operand
from pullback_server.pool_settings import PoolSettings
from pullback_server.scheduler import Settings
from pullback_server.shared_tensors import SharedTensors


@pytest.fixture
def stream(tmp_path: Path) -> _Stream:
    """A stream of a dispatcher that has not joined Ray."""
    engine = Engine(Settings(), PoolSettings(tmp_path, ray_address="nowhere:1"), lambda: None)
    shared = SharedTensors(tmp_path, "test")
    return _Stream(DispatcherService(engine, shared), asyncio.Queue())


def operand(array: Any, tmp_path: Path, kept: int = 0) -> wire.OperandTensor:
    """The message of an array."""
    message = encode_operand(np.asarray(array), SharedTensors(tmp_path, "link"))
    message.kept = kept
    return message


async def test_a_small_input_is_there_at_once(stream: _Stream, tmp_path: Path):
    """One that is large, or kept for later jobs, comes a little later; what was kept is there."""
    small, large = np.arange(6.0).reshape(2, 3), np.arange(SMALL_BYTES, dtype=np.uint16)
    at_once = stream._input(operand(small, tmp_path))
    assert isinstance(at_once, HeldInput)
    for array, kept in ((small, 7), (large, 0)):
        coming = stream._input(operand(array, tmp_path, kept))
        assert not isinstance(coming, HeldInput)
        held = await coming
        assert (held.shape, held.nbytes) == (array.shape, array.nbytes)
    again = stream._input(wire.OperandTensor(kept=7))
    assert isinstance(again, HeldInput)
    assert again.shape == small.shape
    assert stream._input(wire.OperandTensor(kept=7)) is again


async def test_an_input_that_can_t_be_read_fails_its_job_alone(stream: _Stream, tmp_path: Path):
    """The stream goes on: the fault is raised where the job awaits its inputs."""
    broken = operand(np.arange(6.0), tmp_path)
    broken.inline.data = broken.inline.data[:-1]
    coming = stream._input(broken)
    assert not isinstance(coming, HeldInput)
    with pytest.raises(PullbackError):
        await coming
    assert isinstance(stream._input(operand(np.arange(6.0), tmp_path)), HeldInput)


async def test_a_job_cancelled_in_the_message_that_brought_it_is_answered(stream: _Stream):
    """Whoever sent it waits for how it ended."""
    submit = wire.DispatchRequest(submit=wire.Submit(job=3, plan_key=b"unknown"))
    cancel = wire.DispatchRequest(cancel=wire.Cancel(job=3))

    async def messages() -> AsyncIterator[wire.DispatchRequests]:
        yield wire.DispatchRequests(requests=[submit, cancel])

    await stream.read(messages())
    replies = [await asyncio.wait_for(stream.replies.get(), 10.0) for _ in range(2)]
    assert [reply.failed.job for reply in replies if reply is not None] == [3]
