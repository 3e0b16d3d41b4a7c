"""Workers, dispatchers and Ray's head are killed in the middle of jobs; the bits stay the same.

These tests break their cluster, so each file run starts one of its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial

import pytest
from threadpoolctl import threadpool_limits

from pullback_graph.errors import ExecutionError
from pullback_server import dispatcher_link
from pullback_server.dispatcher.lifeline import session_processes
from pullback_server.planner import Plan
from tests.server.plan_interpreter import run_plan
from tests.system.jobs import chain_graph, rotation, slow_shards_plan, whole_plan
from tests.system.running_link import RunningLink, ticks, wait_for

SIZE = 120
PLAN = slow_shards_plan(8, SIZE, 1500)
"""Some seconds of work on two workers."""
WORKER = "ray::Worker"


@pytest.fixture(scope="module")
def link() -> Iterator[RunningLink]:
    """A link with a local cluster of two workers."""
    with RunningLink(workers=2) as running:
        running.until_all_ready()
        yield running


@pytest.fixture(scope="module")
def expected() -> bytes:
    """The bits of the plan's result."""
    with threadpool_limits(1):
        return bits(run_plan(PLAN, [rotation(SIZE)]))


def bits(results) -> bytes:
    """The bytes of the one result."""
    (array,) = results
    return bytes(array.tobytes())


def test_a_worker_killed_in_a_job_changes_no_bit(link: RunningLink, expected: bytes):
    """What the worker had is run again elsewhere; the outcome tells of it."""
    assert bits(link.run(PLAN, [rotation(SIZE)]).results) == expected
    before = link.until_all_ready()
    job = link.submit(PLAN, [rotation(SIZE)])
    link.until(lambda f: f.workers["cpu", "busy"] == 2 and f.tasks > before.tasks)
    link.kill(WORKER)
    outcome = job.result(90)
    assert bits(outcome.results) == expected
    assert outcome.retries >= 1
    assert link.until_all_ready().workers_lost == before.workers_lost + 1


def test_a_task_that_takes_its_workers_down_fails_its_job(link: RunningLink):
    """After the third worker it is not run again, and the pool is whole again."""
    link.until_all_ready()
    plan: Plan = whole_plan(chain_graph(100, 50_000))
    job = link.submit(plan, [rotation(100)])
    for _ in range(3):
        lost = link.until(lambda f: f.running_tasks == 1).workers_lost
        os.kill(busiest(link), signal.SIGKILL)
        wait_for(partial(more_lost, link, lost))
    with pytest.raises(ExecutionError, match="took 3 workers down"):
        job.result(90)
    assert link.until_all_ready().running_tasks == 0


def test_a_killed_dispatcher_is_replaced_and_its_job_runs_again(link: RunningLink, expected: bytes):
    """Whoever waits for the job sees nothing of it; nothing of the old session is left."""
    before = link.until_all_ready()
    job = link.submit(PLAN, [rotation(SIZE)])
    link.until(lambda f: f.running_tasks > 0)
    session = link.link.pid
    assert session is not None
    os.kill(session, signal.SIGKILL)
    assert bits(job.result(90).results) == expected
    after = link.until_all_ready()
    assert after.restarts == before.restarts + 1
    assert after.tasks >= before.tasks
    assert not session_processes(session)


def test_a_dispatcher_that_hangs_is_replaced_and_its_job_runs_again(
    link: RunningLink, expected: bytes, monkeypatch: pytest.MonkeyPatch
):
    """One that says nothing for a while is ended with all that it started."""
    monkeypatch.setattr(dispatcher_link, "SILENCE_S", 5.0)
    before = link.until_all_ready()
    link.run(PLAN, [rotation(SIZE)])  # the next message is awaited no longer than that
    job = link.submit(PLAN, [rotation(SIZE)])
    link.until(lambda f: f.running_tasks > 0)
    session = link.link.pid
    assert session is not None
    os.kill(session, signal.SIGSTOP)
    assert bits(job.result(90).results) == expected
    assert link.until_all_ready().restarts > before.restarts
    assert not session_processes(session)


@pytest.mark.parametrize("part", ["raylet/raylet", "gcs_server"])
def test_losing_rays_head_costs_time_only(link: RunningLink, expected: bytes, part: str):
    """Without its head Ray is started anew; the job it cost runs again, and others after it."""
    before = link.until_all_ready()
    job = link.submit(PLAN, [rotation(SIZE)])
    link.until(lambda f: f.running_tasks > 0)
    link.kill(part)
    assert bits(job.result(90).results) == expected
    link.until(lambda f: f.restarts > before.restarts)
    assert bits(link.run(PLAN, [rotation(SIZE)]).results) == expected


def more_lost(link: RunningLink, lost: int) -> bool:
    """Whether more workers were lost than that."""
    return link.figures().workers_lost > lost


def busiest(link: RunningLink) -> int:
    """The worker that has used most processor time since the last look but one."""
    first = {process: ticks(process) for process in link.processes(WORKER)}

    def grown() -> int:
        now = {process: ticks(process) for process in link.processes(WORKER)}
        used = {p: now[p] - first.get(p, now[p]) for p in now}
        worker = max(used, key=used.__getitem__, default=0)
        return worker if used.get(worker, 0) > 20 else 0

    return int(wait_for(grown))
