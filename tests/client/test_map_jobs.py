"""The map: order, window, packing, broken jobs, deadlines; without a network or a clock."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from pullback.remote.job_window import WindowSize
from pullback.remote.passing import LARGE_BYTES
from pullback.remote.retry import RetryPolicy
from pullback_graph.errors import (
    DeadlineExceeded,
    ExecutionError,
    InputError,
    NotFoundError,
    RequestError,
    ServiceError,
)
from pullback_graph.job import GraphHash, Job, Options, Result
from pullback_graph.want import Gradient, Value
from tests.client.graphs import product, scaled, square
from tests.client.mapping import AWAY, Map, gradients, points

# --- order, window, packing -----------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("hurried", [True, False])
def test_order_is_kept(jobs: int, hurried: bool):
    """Results come in the jobs' order, though the service answers each message backwards."""
    map = Map(jobs=jobs)
    map.shell.hurried = hurried
    assert gradients(map(points(50))) == [2.0 * i for i in range(50)]


def test_the_window_bounds_what_is_under_way():
    """Never more jobs are taken and not delivered than the window says."""
    map = Map(jobs=8)
    gradients(map(points(100)))
    assert map.shell.most_under_way <= 8


def test_the_iterable_is_walked_lazily():
    """Asking for three results of an endless iterable takes no more than a window beyond them."""
    map = Map(jobs=8)
    endless = ((square(), {"x": float(i)}) for i in iter(int, 1))
    assert len(list(islice(map(endless), 3))) == 3
    assert map.shell.taken <= 3 + 8


def test_nothing_is_done_before_the_first_result_is_asked_for():
    """Making the map takes nothing and sends nothing."""
    map = Map()
    map(points(3))
    assert (map.shell.taken, map.shell.batches) == (0, [])


def test_no_jobs_no_stream():
    """An empty iterable gives nothing and opens nothing."""
    map = Map()
    assert list(map([])) == []
    assert map.shell.streams == 0


def test_jobs_are_packed():
    """With a wide window most jobs travel in full messages."""
    map = Map(jobs=512)
    gradients(map(points(1000)))
    assert len(map.shell.batches) <= 2 + 1000 / 64 + 512 / 64
    assert max(map.shell.batches) == 64


def test_large_jobs_are_packed_by_size():
    """A message is closed when its bytes are enough, and a large job goes alone."""
    map = Map(jobs=100)
    map.size = WindowSize(jobs=100, batch_bytes=200_000)
    graph = square(10_000)
    items = [(graph, {"x": np.full(10_000, float(i))}) for i in range(20)]
    assert all(isinstance(outcome, Result) for outcome in map(items))
    assert max(map.shell.batches) == 2


def test_the_window_bounds_bytes_too():
    """A few large jobs fill the window as well as many small ones."""
    map = Map(jobs=100)
    map.size = WindowSize(jobs=100, size_bytes=300_000)
    graph = square(10_000)
    gradients_seen = list(map((graph, {"x": np.ones(10_000)}) for _ in range(30)))
    assert len(gradients_seen) == 30
    assert map.shell.most_under_way <= 6


# --- what travels ---------------------------------------------------------------------------------


def test_a_repeated_graph_is_sent_once_and_then_named():
    """The first job carries the graph; from the second on it is put ahead, and named."""
    map = Map(jobs=100)
    gradients(map(points(100)))
    assert map.service.calls["PutGraph"] == 1
    assert [type(job.graph) is GraphHash for job in map.service.jobs].count(False) == 1


def test_different_graphs_cost_no_further_call():
    """Graphs that come once travel inside their jobs."""
    map = Map(jobs=100)
    assert gradients(map((scaled(i), {"x": 1.0}) for i in range(100))) == list(range(100))
    assert map.service.calls == {"Evaluate": 100}


def test_large_inputs_are_stored_once():
    """An input that all jobs share travels once."""
    map = Map(jobs=16)
    x = np.ones(LARGE_BYTES // 8)
    graph = square(x.size)
    assert (
        len([o for o in map((graph, {"x": x}) for _ in range(40)) if isinstance(o, Result)]) == 40
    )
    assert map.service.calls["PutTensor"] == 1


def test_what_may_be_mapped():
    """Jobs, and tuples that leave out what is wanted, or the seeds."""
    map = Map()
    graph = square()
    first, second, third = map(
        [
            Job(graph, {"x": np.asarray(3.0)}, Gradient(("x",)), id="one"),
            (graph, {"x": 4.0}),
            (graph, {"x": 5.0}, Value()),
        ]
    )
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert isinstance(third, Result)
    assert first.id == "one"
    assert gradients([first, second]) == [6.0, 8.0]
    assert third.outputs["y"] == 25.0
    assert not third.gradients


# --- broken jobs ----------------------------------------------------------------------------------


def test_broken_jobs_fail_in_their_place():
    """One typed error per broken job, and the others go on."""
    map = Map()
    graph = square()
    items: list[object] = [
        (graph, {"x": 1.0}),
        (graph, {}),
        "nonsense",
        (graph, {"x": 2.0}),
        (graph, {"x": "three"}),
        (product(), {"a": 1.0, "b": 2.0}),
        (graph, {"x": 3.0}),
    ]
    kinds = [type(outcome) for outcome in map(items)]
    assert kinds[0] is kinds[3] is kinds[6] is Result
    assert kinds[1] is kinds[2] is kinds[4] is InputError
    assert issubclass(kinds[5], RequestError)


def test_a_fault_of_the_iterable_is_raised():
    """What the caller's own code raises reaches the caller."""

    def items():
        yield from points(3)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(Map()(items()))


def test_bad_options_are_refused_at_once():
    """Not once per job."""
    with pytest.raises(RequestError, match="dead_line"):
        Map()(points(3), dead_line=3)


def test_a_failed_computation_is_not_tried_again():
    """ExecutionError is the job's outcome."""
    map = Map()
    map.service.next("Evaluate", ExecutionError("overflow"))
    outcomes = list(map(points(3)))
    assert [type(o) for o in outcomes] == [ExecutionError, Result, Result]


def test_a_job_refused_for_now_is_tried_again():
    """UNAVAILABLE of one job costs that job a wait, not its neighbours."""
    map = Map()
    map.service.next("Evaluate", AWAY, AWAY)
    assert gradients(map(points(20))) == [2.0 * i for i in range(20)]
    assert map.service.calls["Evaluate"] == 22


def test_a_job_refused_for_long_fails():
    """After the policy's attempts it is the job's outcome."""
    map = Map(RetryPolicy(attempts=3), jobs=1)
    map.service.next("Evaluate", AWAY, AWAY, AWAY)
    outcomes = list(map(points(3)))
    assert [type(o) for o in outcomes] == [ServiceError, Result, Result]


@pytest.mark.parametrize("delivered", [1, 2, 5, 20])
def test_what_the_service_dropped_is_sent_again_once(delivered: int):
    """A restart loses graphs and tensors: all jobs still give their result, each put but once."""
    map = Map(jobs=16)
    x = np.ones(LARGE_BYTES // 8)
    graph = square(x.size)
    outcomes = map((graph, {"x": x}) for _ in range(60))
    first = [next(outcomes) for _ in range(delivered)]
    map.service.restart()
    assert all(isinstance(o, Result) for o in [*first, *outcomes])
    assert (map.service.calls["PutTensor"], map.service.calls["PutGraph"]) == (2, 2)


def test_services_that_restart_again_and_again_lose_no_job():
    """Each broken stream may lead to a new service, which has to be sent everything once more."""
    map = Map(RetryPolicy(attempts=10), jobs=8)
    outcomes = map(points(60))
    seen = []
    for _ in range(5):
        seen.append(next(outcomes))
        map.service.restart()
        map.shell.breaks.extend([None, AWAY])
    assert gradients([*seen, *outcomes]) == [2.0 * i for i in range(60)]


def test_what_stays_missing_is_an_error():
    """A job whose graph is lost again and again ends as NotFoundError."""
    map = Map(jobs=1)
    map.service.next("Evaluate", *[NotFoundError("lost")] * 9)
    assert {type(o) for o in map(points(2))} == {NotFoundError}


# --- deadlines ------------------------------------------------------------------------------------


def test_a_silent_service_cannot_hold_a_job_past_its_deadline():
    """A job whose reply does not come fails by itself a moment after its deadline."""
    map = Map(jobs=4)
    map.shell.silent = True
    outcomes = list(map(points(3), deadline_s=2.0))
    assert {type(o) for o in outcomes} == {DeadlineExceeded}
    assert map.transport.now_s == pytest.approx(1005.0)


def test_retries_of_a_job_end_at_its_deadline():
    """Waiting for a service that is away stops when the job's time is up."""
    map = Map(RetryPolicy(attempts=100, first_s=1.0, longest_s=1.0), jobs=1)
    map.service.next("Evaluate", *[AWAY] * 100)
    (outcome,) = map(points(1), deadline_s=3.0)
    assert isinstance(outcome, ServiceError)
    assert map.transport.now_s <= 1003.0


def test_options_are_the_jobs_own_or_the_maps():
    """A tuple runs by the map's options, a Job by its own."""
    map = Map()
    own = Job(square(), {"x": np.asarray(1.0)}, options=Options(priority=3))
    list(map([own, (square(), {"x": 1.0})], priority=7))
    assert sorted(job.options.priority for job in map.service.jobs) == [3, 7]
