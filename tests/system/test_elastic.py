"""A pool that grows and shrinks with its work, and does not wait for a worker that stands still."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pullback_server.planner import JobInput, Phase, Plan, Task, TaskOutput
from tests.server.plans import make_plan
from tests.system.jobs import chain_graph, rotation, slow_shards_plan
from tests.system.running_link import RunningLink, ready, wait_for
from tests.system.test_faults import WORKER, busiest

SIZE, LENGTH = 120, 1500
SHARDS = slow_shards_plan(6, SIZE, LENGTH)
"""A few seconds of work on one worker."""


@pytest.fixture(scope="module")
def link() -> Iterator[RunningLink]:
    """A link with a local cluster of one worker, or two where there is work for them.

    The second outlasts a late task, which is tried on it.
    """
    with RunningLink(workers=2, min_workers=1, idle_s=10.0) as running:
        running.until(lambda f: f.up and ready(f) == 1)
        yield running


def test_a_late_task_is_answered_by_another_worker(link: RunningLink):
    """With its worker stopped in the middle, a task is tried on the other; the first is killed."""
    link.run(SHARDS, [rotation(SIZE)])
    before = link.until(lambda f: f.running_tasks == 0 and ready(f) == 2)
    expected = link.run(one_task(), [rotation(SIZE)]).results[0]
    job = link.submit(one_task(), [rotation(SIZE)])
    stopped = busiest(link)
    os.kill(stopped, signal.SIGSTOP)
    try:
        assert job.result(60).results[0].tobytes() == expected.tobytes()
        after = link.until(lambda f: f.workers_lost == before.workers_lost + 1)
    finally:
        with suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGCONT)
    assert after.copies == before.copies + 1
    assert after.wasted_s["lost"] > 0


def test_the_pool_follows_its_work(link: RunningLink):
    """Work that waits brings a second worker, which goes when it has had nothing to do."""
    lost = link.until(lambda f: ready(f) == 1 and f.wanted == {"cpu": 1}).workers_lost
    wait_for(lambda: len(link.processes(WORKER)) == 1)  # its process ends a moment later
    job = link.submit(SHARDS, [rotation(SIZE)])
    link.until(lambda f: f.wanted == {"cpu": 2})
    link.until(lambda f: ready(f) == 2)
    job.result(60)
    assert link.until(lambda f: ready(f) == 1).workers_lost == lost


def one_task() -> Plan:
    """A plan of one chain that takes seconds, so that its worker is stopped in the middle."""
    chain = chain_graph(SIZE, 10 * LENGTH)
    task = Task(chain, (JobInput(0),), Phase.FUSED, chain.cost.flops, 0.0, 0)
    plan = make_plan([task], [TaskOutput(0, 0)])
    return Plan(chain.inputs, plan.tasks, plan.results, plan.split, plan.reason, 1.0)
