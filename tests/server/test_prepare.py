"""Preparing: what it refuses before anything runs, and that a deadline ends it."""

from __future__ import annotations

import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import DeadlineExceeded, LimitExceeded
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Jacobian, Value
from pullback_server.front_end.job_flag import JobFlag
from pullback_server.front_end.prepare import NO_WORKERS, Preparer
from pullback_server.front_end.stores import graph_bytes


def preparer(memory_bytes: int = 1 << 40) -> Preparer:
    """One that keeps ten jobs."""
    return Preparer(10, 1 << 20, memory_bytes, cluster=False)


def spread(elements: int) -> Graph:
    """A large value from a scalar."""
    b = Builder()
    return b.build({"y": do.broadcast_to(b.input("x", ArrayType(FLOAT64, ())), shape=(elements,))})


def test_results_that_no_reply_carries_are_refused() -> None:
    """Before they are computed, however much memory a task may take."""
    with pytest.raises(LimitExceeded, match="the results take 2147483648 bytes"):
        preparer().prepare(spread(1 << 28), Value(), Options())
    assert preparer().prepare(spread(1 << 27), Value(), Options()).choice


def test_a_task_over_the_memory_allowed_is_refused() -> None:
    """By the server's limit or the job's own, whichever is less; the message names it."""
    with pytest.raises(LimitExceeded, match="--memory-bytes"):
        preparer(1 << 20).prepare(spread(1 << 20), Value(), Options())
    with pytest.raises(LimitExceeded, match="memory_cap_bytes"):
        preparer().prepare(spread(1 << 20), Value(), Options(memory_cap_bytes=1 << 20))


def test_why_a_server_without_workers_splits_nothing() -> None:
    """Not as if it had been asked for, where it was not."""
    asked = preparer().prepare(spread(8), Value(), Options(split=Split("none")))
    unasked = preparer().prepare(spread(8), Value(), Options())
    assert asked.plan.reason == "split none was asked for"
    assert unasked.plan.reason == NO_WORKERS
    assert asked.digest_on("numpy") == unasked.digest_on("numpy")


def test_a_deadline_ends_preparing() -> None:
    """A derivative that takes long to build stops with the job's deadline."""
    b = Builder()
    y = b.input("x", ArrayType(FLOAT64, (50,)))
    for _ in range(2000):
        y = do.sin(y)
    flag = JobFlag(0.0)
    with pytest.raises(DeadlineExceeded):
        preparer().prepare(b.build({"y": y}), Jacobian(("x",)), Options(), flag.check)


def test_a_stored_graph_counts_names_and_operands() -> None:
    """A graph with few nodes is not small when its names or operand lists are long."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (1,)))
    assert graph_bytes(b.build({"y" * 10_000: x})) > 10_000
    assert graph_bytes(b.build({"y": do.concat(*[x] * 10_000, axis=0)})) > 80_000
