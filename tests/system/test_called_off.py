"""Jobs past their deadline on real workers: what stops, what costs its worker, who hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import RunningServer, running_server
from pullback import lax
from pullback_graph.errors import DeadlineExceeded
from pullback_server.planner import Plan
from tests.system.jobs import chain_graph, loss_inputs, loss_plan, rotation, whole_plan
from tests.system.running_link import RunningLink

pytestmark = pytest.mark.system
Links = Callable[[int], RunningLink]
Case = tuple[Plan, list[Any], str]

POINTS = np.linspace(0.0, 1.0, 1_000_000)


def on(executor: str, plan: Plan) -> Plan:
    """The plan, its tasks on one executor."""
    return replace(plan, tasks=tuple([replace(t, executor=executor) for t in plan.tasks]))


def endless(x: Any) -> Any:
    """A loop whose condition always holds."""
    return lax.while_loop(lambda c: c < np.inf, lambda c: pnp.sin(c) + 2.0, x)


def scanned(x: Any) -> Any:
    """Minutes of short steps."""
    steps = pnp.zeros(20_000_000)
    return lax.scan(lambda c, s: (pnp.sin(c + s) + 2.0, c), x, steps)[0]


def pointwise(x: Any) -> Any:
    """Hundreds of steps of arithmetic on every point: many seconds."""
    for _ in range(500):
        x = pnp.sin(x) + 0.5
    return x


def heavy(x: Any) -> Any:
    """Tens of seconds in one factorisation, after milliseconds on the way to it.

    What goes before is short enough for a worker to be inside when a second has passed, whatever
    else its machine has to do.
    """
    return pnp.linalg.svd(x[:, None] + x)[1]


def unrolled(x: Any) -> Any:
    """So many sorts that compiling them takes ten seconds, and running them no time."""
    for k in range(250):
        x = pnp.sort(pnp.cumsum(pnp.sin(x) + 0.001 * k))
    return x


def loop_plan(function: Callable[[Any], Any], argument: Any) -> Plan:
    """One task that runs a function's graph."""
    return whole_plan(pb.trace(function, argument))


STOPS: dict[str, Callable[[], Case]] = {
    "short calls": lambda: (whole_plan(chain_graph(300, 5000)), [rotation(300)], "numpy"),
    "a loop": lambda: (loop_plan(endless, 1.0), [np.asarray(1.0)], "numpy"),
    "a scan": lambda: (loop_plan(scanned, 1.0), [np.asarray(1.0)], "numpy"),
    "the tape's points": lambda: (loop_plan(pointwise, POINTS), [POINTS], "tape"),
}
"""Programs that look at the flag on their way."""

RUNS_ON: dict[str, Callable[[], Case]] = {
    "one long call": lambda: (loop_plan(heavy, POINTS[:3000]), [POINTS[:3000]], "numpy"),
    "a compiled loop": lambda: (loop_plan(endless, 1.0), [np.asarray(1.0)], "xla"),
    "a compiler": lambda: (loop_plan(unrolled, POINTS[:64]), [POINTS[:64]], "xla"),
}
"""Programs that nobody can stop once they are inside a call."""


def cases(table: dict[str, Callable[[], Case]]) -> list[Any]:
    """Names; executors that take long to load are for the slow tests."""
    slow = {"the tape's points", "a compiled loop", "a compiler"}
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in table]


def late(link: RunningLink, case: Case) -> DeadlineExceeded:
    """What a job of minutes is answered that has a second, on a worker that knows its executor."""
    plan, arrays, executor = case
    small = loop_plan(lambda x: pnp.sin(x) * 2.0, POINTS[:128])
    link.run(on(executor, small), [POINTS[:128]])
    with pytest.raises(DeadlineExceeded) as caught:
        link.run(on(executor, plan), arrays, deadline_s=1.0)
    return caught.value


@pytest.fixture(scope="module")
def link(ray_address: str) -> Iterator[RunningLink]:
    """A link with one worker, and patience with a machine that has much else to do."""
    with RunningLink(workers=1, ray_address=ray_address, cancel_grace_s=30.0) as link:
        link.until_all_ready()
        yield link


@pytest.mark.parametrize("name", cases(STOPS))
def test_a_program_that_looks_at_the_flag_stops_and_keeps_its_worker(
    link: RunningLink, name: str
) -> None:
    """The error says when it stopped and what was wasted, in words and figures."""
    lost = link.figures().workers_lost
    error = late(link, STOPS[name]())
    assert error.stop is not None
    assert error.stop.workers_killed == 0
    assert error.stop.wasted_s > 0.0
    assert f"it stopped {error.stop.stopped_s:.3g} s after" in error.message
    link.until(lambda f: f.workers["cpu", "idle"] == 1)
    assert link.figures().workers_lost == lost


@pytest.mark.parametrize("name", cases(RUNS_ON))
def test_a_call_that_cannot_be_stopped_costs_its_worker_and_says_so(
    links: Links, name: str
) -> None:
    """The grace period over, its worker is killed; the error counts it, and the next job runs."""
    link = links(1)
    error = late(link, RUNS_ON[name]())
    assert error.stop is not None
    assert error.stop.workers_killed == 1
    assert error.stop.stopped_s >= 1.0
    assert "had to be killed" in error.message
    assert len(link.run(loss_plan(300, 4, 2), loss_inputs(300, 4)).results) == 2


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server with two workers."""
    with running_server("--workers", "2", "--cancel-grace-s", "30") as running:
        running.wait_for_workers(2)
        yield running


MANY = np.tile(POINTS, 2)
GRAPH = pb.trace(lambda x: pnp.sum(pointwise(x)), MANY)


def test_every_client_hears_when_its_job_stopped(server: RunningServer) -> None:
    """By a call of its own, and in a stream whose other jobs are answered meanwhile; it counts."""
    options: Any = {"deadline_s": 1.0, "split": "shard(2)"}
    small = pb.Job(pb.trace(lambda x: x * x, 3.0), {"x": np.asarray(3.0)})
    with pb.connect(server.address) as service, ThreadPoolExecutor(1) as other:
        x = service.put_tensor(MANY)
        service.plan(GRAPH, split="shard(2)")
        job = (GRAPH, {"x": x})
        streamed = other.submit(
            lambda: list(service.map([small, job, small], progress=False, **options))
        )
        with pytest.raises(DeadlineExceeded) as caught:
            service.evaluate(GRAPH, {"x": x}, **options)
        first, error, last = streamed.result(60.0)
    assert isinstance(first, pb.Result)
    assert isinstance(last, pb.Result)
    assert isinstance(error, DeadlineExceeded)
    for found in (caught.value, error):
        assert found.stop is not None
        assert found.stop.workers_killed == 0
    samples = server.metrics()
    assert samples["pullback_stop_seconds_count"] == 2.0
    assert samples["pullback_workers_killed_total"] == 0.0
