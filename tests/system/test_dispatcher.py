"""Jobs that are stopped, refused or outlived, and what a dispatcher leaves behind: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from pullback_graph.errors import DeadlineExceeded, ServiceError
from pullback_server.dispatcher.lifeline import session_processes
from pullback_server.planner import Placement
from pullback_server.pool_settings import PoolSettings
from pullback_server.ray_cluster import actor_environment
from pullback_worker.actor import ENVIRONMENT
from tests.system.jobs import chain_graph, loss_inputs, loss_plan, rotation, whole_plan
from tests.system.running_link import RunningLink, wait_for

Links = Callable[[int], RunningLink]

ENDLESS = whole_plan(chain_graph(300, 5000))
"""Tens of seconds of short calls, few enough to be compiled in a moment."""
LONG_CALL_SIZE = 6000
LONG_CALL = whole_plan(chain_graph(LONG_CALL_SIZE, 1))
"""One call that takes tens of seconds."""

FRONT_END = """
import asyncio, sys
from pullback_server.config import ServerConfig
from pullback_server.dispatcher_link import DispatcherLink
from tests.system.jobs import chain_graph, rotation, whole_plan

async def main():
    link = DispatcherLink(ServerConfig(workers=1))
    await link.start()
    print(link._folders[0].path, link._folders[1].path, flush=True)
    run = asyncio.create_task(link.run(whole_plan(chain_graph(100, 50_000)), [rotation(100)]))
    while not link.snapshot().running_tasks:
        await asyncio.sleep(0.05)
    print(link.pid, flush=True)
    await run

asyncio.run(main())
"""


def test_cancelling_the_caller_stops_the_task_on_its_worker(links: Links):
    """A program between two calls sees the flag: its worker is free again, and alive."""
    link = links(1)
    lost = link.until(lambda f: f.running_tasks == 0).workers_lost
    job = link.submit(ENDLESS, [rotation(300)])
    link.until(lambda f: f.running_tasks == 1)
    job.cancel()
    link.until(lambda f: f.running_tasks == 0 and f.workers["cpu", "idle"] == 1)
    assert link.figures().workers_lost == lost
    assert link.figures().jobs == 0


def test_a_deadline_stops_the_task_on_its_worker(links: Links):
    """The job fails with DeadlineExceeded and the worker goes on to the next."""
    link = links(1)
    with pytest.raises(DeadlineExceeded):
        link.run(ENDLESS, [rotation(300)], deadline_s=1.0)
    link.until(lambda f: f.running_tasks == 0 and f.workers["cpu", "idle"] == 1)
    plan, inputs = loss_plan(300, 4, 2), loss_inputs(300, 4)
    assert len(link.run(plan, inputs).results) == 2


def test_a_call_that_outlives_its_grace_period_costs_the_worker(links: Links):
    """A worker inside one long call is killed and replaced; the next job runs."""
    link = links(1)
    lost = link.figures().workers_lost
    job = link.submit(LONG_CALL, [rotation(100).repeat(60, 0).repeat(60, 1)])
    link.until(lambda f: f.running_tasks == 1)
    job.cancel()
    link.until(lambda f: f.workers_lost == lost + 1)
    plan, inputs = loss_plan(300, 4, 2), loss_inputs(300, 4)
    outcome = link.run(plan, inputs)
    assert outcome.retries == 0


def test_more_jobs_than_may_be_held_are_refused(ray_address: str):
    """A full link says so at once, with an error that allows a retry."""
    with RunningLink(workers=1, ray_address=ray_address, queue_jobs=2) as link:
        held = [link.submit(ENDLESS, [rotation(300)]) for _ in range(2)]
        with pytest.raises(ServiceError, match="--queue-jobs"):
            link.run(ENDLESS, [rotation(300)])
        held[0].cancel()
        wait_for(lambda: link.figures().jobs == 1)
        held[1].cancel()
        for job in held:
            with pytest.raises(CancelledError):
                job.result(60)


def test_a_stop_fails_what_is_held_and_leaves_nothing():
    """After a stop there is no process of the dispatcher's, no folder and no file."""
    with RunningLink(workers=2) as link:
        own = [folder.path for folder in link.link._folders]
        assert all(path.exists() for path in own)
        job = link.submit(ENDLESS, [rotation(300)])
        link.until(lambda f: f.running_tasks == 1)
        session = link.link.pid
        assert session is not None
        assert len(session_processes(session)) > 3
    with pytest.raises(ServiceError, match="stopped"):
        job.result(10)
    assert not session_processes(session)
    assert not any(path.exists() for path in own)


def test_workers_have_their_environment_without_asking_ray_for_one():
    """So that they are processes which Ray, started here, has prepared; in a cluster they ask."""
    folder = Path("/nowhere")
    assert actor_environment(PoolSettings(folder), Placement.CPU) == {}
    cluster = PoolSettings(folder, ray_address="head:6379")
    asked = actor_environment(cluster, Placement.CPU)
    assert asked == {"runtime_env": {"env_vars": ENVIRONMENT}}
    with RunningLink(workers=2) as link:
        link.until_all_ready()
        workers = link.processes("ray::WorkerActor")
        found = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in workers]
    assert len(workers) == 2
    for environment in found:
        assert {f"{name}={value}".encode() for name, value in ENVIRONMENT.items()} <= {*environment}


def test_a_killed_front_end_leaves_nothing():
    """When the front end is killed, dispatcher, Ray and workers go, and their folders with them."""
    with subprocess.Popen(
        [sys.executable, "-c", FRONT_END], stdout=subprocess.PIPE, text=True
    ) as front_end:
        assert front_end.stdout is not None
        own = [Path(name) for name in front_end.stdout.readline().split()]
        session = int(front_end.stdout.readline())
        assert session_processes(session)
        os.kill(front_end.pid, signal.SIGKILL)
    wait_for(lambda: not session_processes(session))
    wait_for(lambda: not any(path.exists() for path in own))
