"""A worker that stands still on another node, where it can't be killed from here: Ray ends it.

The node has one processor: were it not given back, no other worker could take the place.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from tests.system.jobs import loss_inputs, loss_plan
from tests.system.ray_nodes import RayNodes, ray_nodes
from tests.system.running_link import RunningLink, name_of, wait_for
from tests.system.test_slow_starts import LOOK_S, START_S, starting, worker_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PLAN, INPUTS = loss_plan(2000, 10, 2), loss_inputs(2000, 10)


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A head, which the dispatcher joins and which computes nothing, and a node for a worker."""
    with ray_nodes(1) as running:
        yield running


@pytest.mark.parametrize("found", [starting, worker_of])
def test_a_worker_that_stands_still_elsewhere_is_replaced(
    nodes: RayNodes, found: Callable[[str], int]
) -> None:
    """Whether it starts or is up; its process is gone, and the job is run by the next."""
    settings = {"ray_address": nodes.address, "min_workers": 0, "start_timeout_s": START_S}
    with RunningLink(workers=1, **settings) as link:
        link.until(lambda f: f.up)
        if found is worker_of:
            link.run(PLAN, INPUTS)
            stopped = wait_for(partial(found, nodes.address))
            os.kill(stopped, signal.SIGSTOP)
        job = link.submit(PLAN, INPUTS)
        if found is starting:
            stopped = wait_for(partial(found, nodes.address), pause_s=LOOK_S)
            os.kill(stopped, signal.SIGSTOP)
        try:
            job.result(120)
            assert link.until(lambda f: f.workers_lost).workers_lost == 1
            wait_for(lambda: not name_of(stopped))
        finally:
            with suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGCONT)
