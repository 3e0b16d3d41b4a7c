"""Workers that hang while they start, before they can be asked whether they live."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.system.jobs import loss_inputs, loss_plan
from tests.system.running_link import RunningLink, name_of, wait_for

pytestmark = pytest.mark.system

WORKER = "ray::WorkerActor"
START_S = 1.0
"""Behind the seconds that pass before it is looked whether a worker has a process."""
LOOK_S = 1e-3


def test_a_worker_that_stands_still_while_it_starts_is_replaced(ray_address: str) -> None:
    """The job that waits for it is run by the next; nothing is left of the first."""
    plan, inputs = loss_plan(2000, 10, 2), loss_inputs(2000, 10)
    settings = {"ray_address": ray_address, "min_workers": 0, "start_timeout_s": START_S}
    with RunningLink(workers=1, **settings) as link:
        link.until(lambda f: f.up)
        job = link.submit(plan, inputs)
        stopped = wait_for(lambda: starting(ray_address), pause_s=LOOK_S)
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert job.result(90).retries == 0
            assert link.until(lambda f: f.workers_lost).workers_lost == 1
            wait_for(lambda: not name_of(stopped))
        finally:
            with suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGCONT)


def starting(ray_address: str) -> int:
    """A worker of a cluster that is about to start; 0 while there is none."""
    return worker_of(ray_address, f"{WORKER}.__init__")


def worker_of(ray_address: str, name: str = WORKER) -> int:
    """A worker of a cluster, by what its process calls itself; 0 while there is none."""
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and name_of(int(path.name)).startswith(name):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if ray_address in name_of(parent):
                return int(path.name)
    return 0
