"""Small jobs that come again with other arrays: answered the short way as the long way would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.codec import Layouts, decode_result, encode_job, tensor_hash
from pullback_graph.codec.tensors import write_type
from pullback_graph.errors import Cancelled, DeadlineExceeded, NonFiniteError, NotFoundError
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Options, Result, TensorHash
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient, Hessian, Jacobian, Value, Want
from pullback_proto.v1 import job_pb2, tensor_pb2
from pullback_server.config import ServerConfig
from pullback_server.front_end.arrivals import Answer, Arrival
from pullback_server.front_end.new_runner import new_runner
from pullback_server.front_end.run_job import JobRunner

WANTS = [
    Value(),
    Gradient(("w",)),
    Gradient(("x", "w")),
    Hessian(("w",)),
    Jacobian(("w",), sparse=True),
]


def graph() -> Graph:
    """The sum of (x w)**2, and a value that nothing is differentiated by."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (4, 3)))
    w = b.input("w", ArrayType(FLOAT64, (3,)))
    return b.build({"y": do.sum(do.matmul(x, w) ** 2.0, axes=(0,), keepdims=False)})


@pytest.fixture(name="runner")
def _runner() -> JobRunner:
    runner = new_runner(ServerConfig(workers=0, promotion=False))
    runner.graphs.put(graph().fingerprint, graph())
    return runner


def drawn(number: int) -> dict[str, Any]:
    """Arrays of one type, others for each number."""
    random = np.random.default_rng(number)
    return {"w": random.normal(size=3), "x": random.normal(size=(4, 3))}


def job(want: Want, inputs: Mapping[str, Any], options: Options | None = None) -> Job:
    """A job on the stored graph."""
    return Job(GraphHash(graph().fingerprint), inputs, want, options=options or Options())


def at_once(runner: JobRunner, job: Job) -> Result:
    """The answer on the event loop; prepared on a thread first, where it is not."""
    answer = runner.answer_at_once(Arrival(encode_job(job)))
    if answer is None:
        assert isinstance(runner.answer(Arrival(encode_job(job))), Answer)
        answer = runner.answer_at_once(Arrival(encode_job(job)))
    assert isinstance(answer, Answer)
    assert answer.metrics.nodes
    return decode_result(answer.data)


def the_long_way(runner: JobRunner, job: Job) -> Result:
    """The answer of a thread that knows of none before."""
    known, runner._repeated = runner._repeated, Layouts()
    answer = runner.answer(Arrival(encode_job(job)))
    runner._repeated = known
    assert isinstance(answer, Answer)
    return decode_result(answer.data)


def assert_same(found: Result, expected: Result) -> None:
    """Bits, and metrics but for seconds, agree."""
    assert list(found.outputs) == list(expected.outputs)
    assert list(found.derivatives) == list(expected.derivatives)
    for own, other in (
        *zip(found.outputs.values(), expected.outputs.values(), strict=True),
        *zip(found.derivatives.values(), expected.derivatives.values(), strict=True),
    ):
        own, other = getattr(own, "values", own), getattr(other, "values", other)
        assert (own.dtype, own.shape, own.tobytes()) == (other.dtype, other.shape, other.tobytes())
    seconds = dict.fromkeys(["queued_s", "fused_s", "forward_s", "total_s"], 0.0)
    assert replace(found.metrics, **seconds) == replace(expected.metrics, **seconds)  # type: ignore[arg-type]  # they are seconds
    assert found.metrics.total_s > 0.0
    assert bool(found.metrics.fused_s) == bool(expected.metrics.fused_s)


@pytest.mark.parametrize("want", WANTS, ids=lambda want: type(want).__name__)
def test_again_and_again_on_a_thread(runner: JobRunner, want: Want) -> None:
    """As on the event loop; from the third of its kind on it is not prepared anew."""
    for number in range(6):
        own = job(want, drawn(number))
        answer = runner.answer(Arrival(encode_job(own)))
        assert isinstance(answer, Answer)
        if number:  # the first is prepared, and says so
            assert_same(decode_result(answer.data), the_long_way(runner, own))
    is_kept = any(runner._repeated._known.values())
    assert is_kept


@pytest.mark.parametrize("want", WANTS, ids=lambda want: type(want).__name__)
def test_again_and_again(runner: JobRunner, want: Want) -> None:
    """Every answer is that of the long way, however often the like came before."""
    for number in range(6):
        own = job(want, drawn(number))
        assert_same(at_once(runner, own), the_long_way(runner, own))


def test_wants_that_alternate(runner: JobRunner) -> None:
    """Jobs of one graph and size are told apart by what they want."""
    for number in range(8):
        for want in (Gradient(("x",)), Gradient(("w",)), Value()):
            own = job(want, drawn(number))
            assert_same(at_once(runner, own), the_long_way(runner, own))


def test_nan_is_counted_when_it_comes_and_only_then(runner: JobRunner) -> None:
    """A later job with NaN reports it, and the job after that does not."""
    for number in range(4):
        at_once(runner, job(Gradient(("w",)), drawn(number)))
    bad = drawn(9)
    bad["w"][1] = np.nan
    found = at_once(runner, job(Gradient(("w",)), bad)).metrics.non_finite
    assert found == {"w": 1, "y": 1, "d(y)/d(w)": 3}
    assert not at_once(runner, job(Gradient(("w",)), drawn(10))).metrics.non_finite


def test_a_check_fails_when_it_should(runner: JobRunner) -> None:
    """A job whose check is `finite` fails with NaN, though those before it were answered."""
    options = Options(check="finite")
    for number in range(4):
        at_once(runner, job(Value(), drawn(number), options))
    bad = drawn(9)
    bad["w"][1] = np.inf
    with pytest.raises(NonFiniteError):
        at_once(runner, job(Value(), bad, options))


@pytest.mark.parametrize("options", [Options(certificate=True), Options(timeline=True)])
def test_certificates_and_timelines_are_each_jobs_own(runner: JobRunner, options: Options) -> None:
    """They are there in each of several answers."""
    for number in range(4):
        metrics = at_once(runner, job(Gradient(("w",)), drawn(number), options)).metrics
        assert (metrics.certificate_error is not None) == options.certificate
        assert len(metrics.timeline) == options.timeline


def test_data_named_by_hash(runner: JobRunner) -> None:
    """Data sent before are read anew each time, and missed when they are gone."""
    data = drawn(0)["x"]
    name = TensorHash(tensor_hash(data))
    runner.tensors.put(name.sha256, data)
    for number in range(4):
        own = job(Gradient(("w",)), {"w": drawn(number)["w"], "x": name})
        assert_same(at_once(runner, own), the_long_way(runner, own))
    runner.tensors._values.clear()
    with pytest.raises(NotFoundError):
        at_once(runner, job(Gradient(("w",)), {"w": drawn(9)["w"], "x": name}))


def test_a_job_that_is_late_or_called_off(runner: JobRunner) -> None:
    """Its deadline and its caller are asked before it runs, as the first time."""
    data = encode_job(job(Value(), drawn(0), Options(deadline_s=60.0)))
    for _ in range(4):
        at_once(runner, job(Value(), drawn(0), Options(deadline_s=60.0)))
    with pytest.raises(DeadlineExceeded):
        runner.answer_at_once(Arrival(data, -1.0))
    called_off = Arrival(data)
    called_off.flag.set()
    with pytest.raises(Cancelled):
        runner.answer_at_once(called_off)


def test_a_small_job_in_parts(runner: JobRunner) -> None:
    """Arrays that came beside it are its inputs on the event loop too."""
    own = job(Value(), drawn(1))
    expected = at_once(runner, own)
    bare = encode_job(replace(own, inputs={}))
    types = [
        job_pb2.Job(inputs=[_type_alone(name, array)]).SerializeToString()
        for name, array in own.inputs.items()
    ]
    arrival = Arrival(bare + b"".join(types), apart=list(own.inputs.values()), in_parts=True)  # type: ignore[arg-type]  # arrays all
    answer = runner.answer_at_once(arrival)
    assert answer is not None
    assert_same(decode_result(answer.data), expected)


def _type_alone(name: str, array: Any) -> tensor_pb2.NamedTensor:
    item = tensor_pb2.NamedTensor(name=name)
    write_type(item.tensor, array)
    return item
