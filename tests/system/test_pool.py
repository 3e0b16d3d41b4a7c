"""Plans on real workers: the right bits, whatever the number of workers, small arrays and large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pullback_graph.builder import Builder
from pullback_graph.errors import ExecutionError, OutOfMemory
from pullback_graph.graph import Graph
from pullback_graph.timeline import DISPATCHER
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner import Block, JobInput, Phase, Plan, Task, TaskOutput
from pullback_server.pool_settings import SHARED_MEMORY
from tests.server import plan_interpreter
from tests.server.plans import make_plan
from tests.system.jobs import chain_graph, loss_inputs, loss_plan, rotation, whole_plan
from tests.system.running_link import RunningLink

ROWS, COLUMNS = 20_000, 30
Links = Callable[[int], RunningLink]


def run_plan(plan: Plan, inputs: Sequence[Any]) -> list[Any]:
    """The plan's results, computed here with one thread a call, as on a worker."""
    with threadpool_limits(1):
        return plan_interpreter.run_plan(plan, inputs)


def bits(results: Sequence[Any]) -> list[bytes]:
    """The bytes of arrays."""
    return [np.asarray(array).tobytes() for array in results]


@pytest.mark.parametrize("shards", [1, 5, 16])
def test_the_same_bits_on_one_two_and_four_workers(links: Links, shards: int):
    """Loss and gradient agree to the bit with each other and with the plan run in this process."""
    plan, inputs = loss_plan(ROWS, COLUMNS, shards), loss_inputs(ROWS, COLUMNS)
    expected = bits(run_plan(plan, inputs))
    for workers in (1, 2, 4):
        outcome = links(workers).run(plan, inputs)
        assert bits(outcome.results) == expected
        assert [array.shape for array in outcome.results] == [(), (COLUMNS, 8)]
        assert outcome.tasks == len(plan.tasks)
        assert 1 <= outcome.workers <= workers


def test_shards_spread_over_the_workers(links: Links):
    """A plan with work enough runs on every worker, and says where its time went."""
    plan, inputs = loss_plan(200_000, COLUMNS, 16), loss_inputs(200_000, COLUMNS)
    outcome = links(2).run(plan, inputs)
    assert outcome.workers == 2
    assert outcome.phase_s["fused"] > 0
    assert outcome.phase_s["reduce"] > 0
    ends = [span for span in outcome.timeline if span.worker == DISPATCHER]
    assert [span.phase for span in ends][:1] == ["reduce"]
    assert max(span.end_s for span in outcome.timeline) == max(span.end_s for span in ends)
    assert outcome.peak_bytes > 0
    assert outcome.retries == 0


def test_large_values_cross_between_workers_and_leave_nothing(links: Links):
    """Values of megabytes are summed across workers, and come back, without a file left."""
    size = 600
    x = rotation(size)
    double = _sum_graph(size, size)
    tasks = [
        Task(chain_graph(size, 30), (JobInput(0),), Phase.FUSED, 1e9, 0.0, 0, shard=shard)
        for shard in range(4)
    ]
    pairs = [(0, 1), (2, 3), (4, 5)]
    tasks += [
        Task(double, (TaskOutput(a, 0), TaskOutput(b, 0)), Phase.REDUCE, 0, 0, 0, shard=a % 4)
        for a, b in pairs
    ]
    inputs = chain_graph(size, 1).inputs
    plan = make_plan(tasks, [TaskOutput(6, 0), TaskOutput(1, 0), JobInput(0, Block(1, 3, 5))])
    plan = Plan(inputs, plan.tasks, plan.results, plan.split, plan.reason, 1.0)
    link = links(4)
    outcome = link.run(plan, [x])
    assert bits(outcome.results[:2]) == bits(run_plan(plan, [x])[:2])
    np.testing.assert_array_equal(outcome.results[2], x[:, 3:5])
    assert outcome.workers == 4
    assert not list(SHARED_MEMORY.glob("pullback-*/link-*"))
    assert not list(SHARED_MEMORY.glob("pullback-*/dispatcher-*"))


def test_an_array_sent_again_is_sent_once(links: Links):
    """From the second time on, a read-only array stays with the dispatcher; the bits are the same.

    When too many stay, the oldest go, and are sent again when they are needed.
    """
    link = links(1)
    plan, inputs = loss_plan(ROWS, COLUMNS, 4), loss_inputs(ROWS, COLUMNS)
    first = bits(link.run(plan, inputs).results)
    for _ in range(4):
        assert bits(link.run(plan, inputs).results) == first
    stream = link.link._stream
    assert stream is not None
    assert stream._kept.look_up(inputs[0]).sent
    stream._kept.clear()
    assert bits(link.run(plan, inputs).results) == first


def test_what_the_dispatcher_forgot_is_sent_again(links: Links):
    """A plan or an array that the front end thinks is there, and is not, costs a round trip."""
    link = links(1)
    plan, inputs = loss_plan(ROWS, COLUMNS, 3), loss_inputs(ROWS, COLUMNS)
    stream = link.link._stream
    assert stream is not None
    stream._known.add(link.link._plans.get(plan)[0])
    for _ in range(2):
        stream._kept.look_up(inputs[0])
    assert stream._kept.look_up(inputs[0]).sent
    assert bits(link.run(plan, inputs).results) == bits(run_plan(plan, inputs))


def test_many_jobs_at_once(links: Links):
    """Jobs of several plans, submitted together, are each answered with their own results."""
    link = links(2)
    plans = {shards: loss_plan(300, 4, shards) for shards in (1, 2, 3)}
    inputs = [loss_inputs(300, 4)[0]]
    jobs = []
    for number in range(60):
        shards, w = 1 + number % 3, np.full((4, 8), 0.01 * number)
        jobs.append((shards, w, link.submit(plans[shards], [*inputs, w])))
    for shards, w, job in jobs:
        expected = run_plan(plans[shards], [*inputs, w])
        assert bits(job.result(90).results) == bits(expected)
    assert link.until(lambda f: f.running_tasks == 0).jobs == 0


def test_a_failing_task_fails_its_job_with_its_own_error(links: Links):
    """What a program raises on a worker is raised at the front end, of the same class."""
    builder = Builder()
    x, y = (builder.input(name, ArrayType(FLOAT64, (8,))) for name in "xy")
    plan = whole_plan(builder.build({"z": x + y}))
    with pytest.raises(ExecutionError, match="node 0 add"):
        links(1).run(plan, [np.zeros(8), np.zeros(3)])


def test_a_task_too_large_for_its_worker_is_refused(links: Links):
    """What would not fit in the worker's memory fails with OutOfMemory, and the worker lives."""
    link = links(1)
    lost = link.figures().workers_lost
    task = Task(chain_graph(4, 1), (JobInput(0),), Phase.FUSED, 1.0, 1.0, peak_bytes=1 << 50)
    plan = make_plan([task], [TaskOutput(0, 0)])
    with pytest.raises(OutOfMemory, match=str(1 << 50)):
        link.run(Plan(task.graph.inputs, *_rest(plan)), [rotation(4)])
    assert link.figures().workers_lost == lost


def test_figures_grow_with_the_work(links: Links):
    """Tasks, busy time and cache hits are counted; when nothing runs, no worker is busy."""
    link = links(2)
    before = link.figures()
    plan, inputs = loss_plan(300, 4, 4), loss_inputs(300, 4)
    for _ in range(3):
        link.run(plan, inputs)
    after = link.until(lambda f: f.tasks >= before.tasks + 3 * len(plan.tasks))
    assert after.busy_s["cpu"] > before.busy_s.get("cpu", 0.0)
    assert after.program_cache_hits > before.program_cache_hits
    assert link.until(lambda f: f.workers["cpu", "idle"] == 2).workers["cpu", "busy"] == 0


def test_no_folder_of_the_link_holds_files_of_answered_jobs(links: Links):
    """Between jobs the link's folder in shared memory holds its lock alone."""
    link = links(2)
    plan, inputs = loss_plan(ROWS, COLUMNS, 2), loss_inputs(ROWS, COLUMNS)
    link.run(plan, inputs)
    folder: Path = link.link._folders[1].path
    assert [path.name for path in folder.iterdir()] == ["owner.lock"]


def _sum_graph(rows: int, columns: int) -> Graph:
    builder = Builder()
    left, right = (builder.input(n, ArrayType(FLOAT64, (rows, columns))) for n in ("a", "b"))
    return builder.build({"sum": left + right})


def _rest(plan: Plan):
    return plan.tasks, plan.results, plan.split, plan.reason, plan.estimated_s
