"""Every kind of split on Ray workers: the same bits on one worker and on two, and who ran what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback.command_line.chrome_trace import trace
from pullback_graph.derivative import lower
from pullback_graph.graph import Graph
from pullback_graph.job import Metrics, Options, Split
from pullback_graph.want import Gradient, Want
from pullback_server.planner import make_plan
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.cli.trace_events import check_events
from tests.server.test_planner_branch import ensemble, likelihood
from tests.server.test_planner_stage import WEIGHTS, layered
from tests.system.running_link import RunningLink

pytestmark = pytest.mark.system
JOBS: list[tuple[Graph, Want, Split]] = [
    (likelihood(12), Gradient(("theta", "data")), Split("branch", 4)),
    (ensemble(5), Gradient(("w0", "v3")), Split("branch", 3)),
    (layered(), Gradient(WEIGHTS, "loss"), Split("stage", 3)),
    (layered(4000, 32), Gradient(WEIGHTS, "loss"), Split("stage", 2)),
    (layered(4000, 32), Gradient(WEIGHTS, "loss"), Split("shard", 8)),
]


@pytest.mark.parametrize(("graph", "want", "split"), JOBS)
def test_a_split_job_gives_the_same_bits_on_any_number_of_workers(
    links: Callable[[int], RunningLink], graph: Graph, want: Want, split: Split
) -> None:
    """On one worker and on two; and to rounding what one task gives. The timeline has each task."""
    lowered = lower(graph, want, fold=fold)
    plan = make_plan(lowered.graph, Options(split=split), values=lowered.value_count)
    rng = np.random.default_rng(3)
    arrays: list[Any] = [rng.normal(size=item.type.shape) for item in lowered.graph.inputs]
    one, two = links(1).run(plan, arrays), links(2).run(plan, arrays)
    whole = NumpyExecutor().compile(lowered.graph)(arrays)
    for here, first, second in zip(whole, one.results, two.results, strict=True):
        np.testing.assert_array_equal(first, second, strict=True)
        scale = np.abs(here).max(initial=1e-300)
        np.testing.assert_allclose(first, here, rtol=1e-10, atol=1e-10 * scale)
    assert two.workers <= 2
    assert [span.task for span in two.timeline] == list(range(len(plan.tasks)))
    for span in two.timeline:
        assert span.start_s <= span.end_s
        assert span.phase == plan.tasks[span.task].phase.value
        assert span.compiling_s <= span.end_s - span.start_s
    made = trace(Metrics(timeline=tuple(two.timeline), split=str(plan.split)))
    check_events(made)
    ran = [e["args"]["task"] for e in made["traceEvents"] if e.get("cat") == span.phase]
    assert span.task in ran
