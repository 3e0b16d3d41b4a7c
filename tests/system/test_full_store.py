"""A full object store is the server's matter: its jobs are told so, and no others are hurt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import ServiceError
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner import Plan
from pullback_server.pool_settings import LEAST_STORE_BYTES
from tests.system.jobs import whole_plan
from tests.system.running_link import RunningLink

pytestmark = pytest.mark.system

LARGE = LEAST_STORE_BYTES // 8 + 1
"""Elements of an array that the store has no room for."""


@pytest.fixture(scope="module")
def link() -> Iterator[RunningLink]:
    """A link to a worker with the least store, whose machine has no disk to spare."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_local_fs_capacity_threshold", "0.0001")
        running = RunningLink(workers=1)
        settings = running.link._settings
        patch.setattr(
            running.link, "_settings", lambda: replace(settings(), store_bytes=LEAST_STORE_BYTES)
        )
        with running:
            running.until_all_ready()
            yield running


def scaled(elements: int) -> Plan:
    """So many elements, doubled."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (elements,)))
    return whole_plan(builder.build({"y": x + x}))


def spread(elements: int) -> Plan:
    """One number, so many times."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (1,)))
    return whole_plan(builder.build({"y": do.broadcast_to(x, shape=(elements,))}))


def holding(elements: int) -> Plan:
    """A sum with so large a constant: its graph goes to the worker that runs it."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (1,)))
    constant = builder.constant(np.random.default_rng(0).normal(size=elements))
    return whole_plan(builder.build({"y": do.sum(x + constant, axes=(0,), keepdims=False)}))


@pytest.mark.parametrize("plan", [scaled(LARGE), spread(LARGE), holding(LARGE)])
def test_what_the_store_has_no_room_for_is_not_the_job_s_fault(link: RunningLink, plan: Plan):
    """An input, a result, and a graph: the error says when to try again; others go on."""
    restarts = link.figures().restarts
    (item,) = plan.inputs
    with pytest.raises(ServiceError, match="object store has no room") as caught:
        link.run(plan, [np.ones(item.type.shape)])
    assert caught.value.retry_after_s
    assert link.run(scaled(3), [np.ones(3)]).results[0].tolist() == [2.0, 2.0, 2.0]
    assert link.figures().restarts == restarts
