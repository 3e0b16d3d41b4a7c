"""Short jobs on real workers that are in long tasks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.system.jobs import chain_graph, loss_inputs, loss_plan, rotation, whole_plan
from tests.system.running_link import RunningLink
from tests.system.test_pool import bits, run_plan

pytestmark = pytest.mark.system


def test_a_small_job_ends_while_a_long_task_runs_on_the_only_worker(
    links: Callable[[int], RunningLink],
):
    """It gives the same bits as ever; the long one is under way still, and can be called off."""
    link = links(1)
    plan, inputs = loss_plan(2000, 30, 4), loss_inputs(2000, 30)
    expected = bits(run_plan(plan, inputs))
    long = link.submit(whole_plan(chain_graph(300, 50_000)), [rotation(300)], client="another")
    try:
        link.until(lambda figures: figures.workers["cpu", "busy"] == 1)
        for _ in range(3):
            outcome = link.run(plan, inputs, client="one")
            assert bits(outcome.results) == expected
            assert not long.done()
    finally:
        long.cancel()
    link.until(lambda figures: figures.workers["cpu", "idle"] == 1)
    assert bits(link.run(plan, inputs).results) == expected
