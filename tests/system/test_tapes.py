"""Tapes over real gRPC: every want, batches of them, and what is wrong with one among many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

import pullback as pb
from examples.server_process import RunningServer, running_server
from pullback_graph import ArrayType, Builder
from pullback_graph.codec import decode_result, encode_job, status_to_error
from pullback_graph.errors import (
    GraphError,
    InputError,
    NonFiniteError,
    NotFoundError,
    PullbackError,
    UnsupportedError,
    WireError,
)
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Options, Result, Split
from pullback_graph.ref import do
from pullback_graph.tape import Tape
from pullback_graph.types import FLOAT64
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp, Want
from pullback_proto.v1 import job_pb2, plan_pb2, server_info_pb2
from tests.worker.scalar_jobs import numbered_graph, scalar_job

pytest.importorskip("numba")
SERVICE = "/pullback.v1.GradientService/"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for the module, without workers."""
    with running_server("--workers", "0", "--job-processes", "1") as running:
        yield running


@pytest.fixture
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    """A channel to it."""
    with grpc.insecure_channel(server.address) as opened:
        yield opened


def evaluate(channel: grpc.Channel, job: Job) -> Result:
    """One job's result, by the unary call; its error raised."""
    method: Any = channel.unary_unary(SERVICE + "Evaluate")
    try:
        return decode_result(method(encode_job(job), timeout=60))
    except grpc.RpcError as error:
        failed: Any = error
        details = dict(failed.trailing_metadata())["grpc-status-details-bin"]
        raise status_to_error(details) from None


def evaluate_all(channel: grpc.Channel, jobs: list[bytes]) -> list[Result | PullbackError]:
    """The outcomes of jobs sent as one batch, in order."""
    method: Any = channel.stream_stream(SERVICE + "EvaluateStream")
    found: dict[int, Result | PullbackError] = {}
    for data in method(iter([job_pb2.JobBatch(jobs=jobs).SerializeToString()]), timeout=100):
        for reply in job_pb2.ReplyBatch.FromString(data).replies:
            message = job_pb2.JobReply.FromString(reply)
            is_error = message.WhichOneof("outcome") == "error"
            found[message.position] = (
                status_to_error(message.error) if is_error else decode_result(message.result)
            )
    return [found[position] for position in range(len(jobs))]


SEED = {"x0": np.array(0.5)}
WANTS: tuple[tuple[Want, tuple[dict[str, Any], ...]], ...] = (
    (Value(), ()),
    (Value(("y",)), ()),
    (Gradient(("x0",), "y"), ()),
    (Vjp(("x0",), (("y",),)), ({"y": np.array(2.0)},)),
    (Jvp((("x0",),)), (SEED,)),
    (Hvp(("x0",), (("x0",),), "y"), (SEED,)),
    (Jacobian(("x0",)), ()),
    (Hessian(("x0",), "y"), ()),
)


@pytest.mark.parametrize(("want", "seeds"), WANTS, ids=lambda item: type(item).__name__)
def test_every_want_of_a_tape_is_what_its_graph_gives(
    channel: grpc.Channel, want: Want, seeds: tuple[dict[str, Any], ...]
) -> None:
    """The same keys and numbers from the tape machine as from the graph's own executor."""
    job = replace(scalar_job(8, as_tape=True), want=want, seeds=seeds)
    assert isinstance(job.graph, Tape)
    swept = evaluate(channel, job)
    usual = evaluate(channel, replace(job, graph=numbered_graph(job.graph)))
    assert swept.metrics.executor == "tape"
    assert (list(swept.outputs), list(swept.derivatives)) == (
        list(usual.outputs),
        list(usual.derivatives),
    )
    for name, array in usual.outputs.items():
        np.testing.assert_allclose(swept.outputs[name], array, 1e-12)
    for key, array in usual.derivatives.items():
        np.testing.assert_allclose(swept.derivatives[key], array, 1e-9, 1e-12)


def test_a_sparse_want_of_a_tape_runs_its_graph(channel: grpc.Channel) -> None:
    """The machine has no sparse derivatives, so that the graph answers; nothing comes dense."""
    dense = replace(scalar_job(8, as_tape=True), want=Jacobian(("x0",)))
    found = evaluate(channel, replace(dense, want=Jacobian(("x0",), sparse=True)))
    assert found.metrics.executor != "tape"
    for key, array in evaluate(channel, dense).derivatives.items():
        np.testing.assert_allclose(
            found.derivatives[key].toarray(), array.reshape(-1, 1), 1e-9, 1e-12
        )


@pytest.mark.parametrize("as_tape", [True, False], ids=["tapes", "graphs"])
def test_a_batch_runs_packed_and_each_fault_has_its_own_error(
    channel: grpc.Channel, as_tape: bool
) -> None:
    """Among a hundred sound jobs a broken one, one without its input, and one with a NaN."""
    jobs = [scalar_job(seed, as_tape=as_tape) for seed in range(100)]
    data = [encode_job(job) for job in jobs]
    nan = {name: np.array(np.nan) for name in jobs[31].inputs}
    faults = {
        7: (b"\x1a\x05garbage", WireError),
        20: (encode_job(replace(jobs[20], inputs={})), InputError),
        31: (
            encode_job(replace(jobs[31], inputs=nan, options=Options(check="finite"))),
            NonFiniteError,
        ),
    }
    if as_tape:
        message = job_pb2.Job.FromString(data[40])
        message.tape.operands = b"\xff" * len(message.tape.operands)
        faults[40] = message.SerializeToString(), GraphError
    for position, (broken, _) in faults.items():
        data[position] = broken
    found = evaluate_all(channel, data)
    for position, outcome in enumerate(found):
        if position in faults:
            assert isinstance(outcome, faults[position][1]), outcome
            continue
        assert isinstance(outcome, Result)
        graph: Any = jobs[position].graph
        assert list(outcome.outputs) == list(graph.output_names)
    packed = [
        item for item in found if isinstance(item, Result) and item.metrics.executor == "tape"
    ]
    assert len(packed) >= 90
    assert "packed" in packed[0].metrics.split_reason


def test_a_graph_that_ran_packed_may_be_named_next(channel: grpc.Channel) -> None:
    """Nobody decoded it, and still its fingerprint is found; an unknown one is not."""
    jobs = [scalar_job(seed, as_tape=False) for seed in range(200, 260)]
    together = evaluate_all(channel, [encode_job(job) for job in jobs])
    for number in (50, 3):
        job, found = jobs[number], together[number]
        assert isinstance(job.graph, Graph)
        assert isinstance(found, Result)
        named = evaluate(channel, replace(job, graph=GraphHash(job.graph.fingerprint)))
        for name, array in found.outputs.items():
            np.testing.assert_allclose(named.outputs[name], array, 1e-12)
    with pytest.raises(NotFoundError, match="send it again"):
        evaluate(channel, replace(jobs[0], graph=GraphHash("ab" * 32)))


def test_a_job_gives_the_same_bits_and_digest_in_a_batch_and_alone(channel: grpc.Channel) -> None:
    """The machine is the same, and what decides the bits is named the same."""
    jobs = [scalar_job(seed, as_tape=True) for seed in range(12)]
    for job, together in zip(jobs, evaluate_all(channel, list(map(encode_job, jobs))), strict=True):
        alone = evaluate(channel, job)
        assert isinstance(together, Result)
        assert alone.metrics.digest == together.metrics.digest
        assert alone.metrics.nodes == together.metrics.nodes
        assert alone.metrics.independent_inputs == together.metrics.independent_inputs
        for name, array in alone.outputs.items():
            assert array.tobytes() == together.outputs[name].tobytes()
        for key, array in alone.derivatives.items():
            assert array.tobytes() == together.derivatives[key].tobytes()


def large_job() -> Job:
    """A tape of thirty thousand nodes, of which each squares the sine of the one before."""
    count = 30_000
    tape = replace(
        _tape_of_one(),
        ops=("sin", "add"),
        opcodes=np.arange(count, dtype=np.uint16) % 2,
        operands=np.concatenate([[n] if n % 2 == 0 else [n, n - 1] for n in range(count)]).astype(
            np.uint32
        ),
    )
    last = tape.outputs[0]._replace(values=np.array([count], np.uint32))
    return Job(replace(tape, outputs=(last,)), {"x0": np.array(0.7)}, Gradient(("x0",)))


def _tape_of_one() -> Tape:
    tape = next(
        job.graph
        for job in (scalar_job(seed, as_tape=True) for seed in range(100))
        if len(job.inputs) == 1
    )
    assert isinstance(tape, Tape)
    return replace(tape, constants=np.empty(0), outputs=tape.outputs[:1])


def test_a_large_tape_is_kept_and_named(channel: grpc.Channel) -> None:
    """One that came with a job is found by its fingerprint, linked already."""
    job = large_job()
    assert isinstance(job.graph, Tape)
    first = evaluate(channel, job)
    again = evaluate(channel, replace(job, graph=GraphHash(job.graph.fingerprint)))
    assert first.gradients["x0"].tobytes() == again.gradients["x0"].tobytes()
    assert again.metrics.program_cache_hit
    assert again.metrics.graph_cache_hit


def test_a_tape_can_be_planned_and_run_as_a_graph(channel: grpc.Channel) -> None:
    """The plan names nodes, work and the executor; another executor runs the tape's graph."""
    job = scalar_job(2, as_tape=True)
    method: Any = channel.unary_unary(SERVICE + "Plan")
    plan = plan_pb2.PlanReply.FromString(method(encode_job(replace(job, inputs={})), timeout=60))
    assert isinstance(job.graph, Tape)
    assert (plan.executor, plan.nodes) == ("tape", len(job.graph))
    assert plan.flops > 0
    assert "tape" in plan.text
    usual = evaluate(channel, replace(job, options=Options(executor="numpy")))
    assert usual.metrics.executor == "numpy"
    swept = evaluate(channel, job)
    np.testing.assert_allclose(usual.outputs["y"], swept.outputs["y"], 1e-12)


@pytest.mark.parametrize(("want", "seeds"), WANTS, ids=lambda item: type(item).__name__)
def test_a_graph_may_ask_for_the_tape(
    channel: grpc.Channel, want: Want, seeds: tuple[dict[str, Any], ...]
) -> None:
    """Over the wire, every want: the plan and the metrics say so, the numbers are NumPy's."""
    job = replace(scalar_job(8, as_tape=False), want=want, seeds=seeds)
    asked = replace(job, options=Options(executor="tape"))
    swept = evaluate(channel, asked)
    usual = evaluate(channel, replace(job, options=Options(executor="numpy")))
    assert (swept.metrics.executor, swept.metrics.executor_reason) == ("tape", "asked for")
    assert (list(swept.outputs), list(swept.derivatives)) == (
        list(usual.outputs),
        list(usual.derivatives),
    )
    for name, array in usual.outputs.items():
        np.testing.assert_allclose(swept.outputs[name], array, 1e-12)
    for key, array in usual.derivatives.items():
        np.testing.assert_allclose(swept.derivatives[key], array, 1e-9, 1e-12)
    method: Any = channel.unary_unary(SERVICE + "Plan")
    plan = plan_pb2.PlanReply.FromString(method(encode_job(replace(asked, inputs={})), timeout=60))
    assert (plan.executor, plan.executor_reason) == ("tape", "asked for")
    assert "executor tape: asked for" in plan.text


def test_a_forced_split_is_refused_on_the_tape_too(channel: grpc.Channel) -> None:
    """It needs workers, also where the same job ran on the tape without one before."""
    job = replace(scalar_job(8, as_tape=False), options=Options(executor="tape"))
    assert evaluate(channel, job).metrics.executor == "tape"
    with pytest.raises(UnsupportedError, match=r"split 'shard' needs workers, .* --workers 0"):
        evaluate(channel, replace(job, options=Options(executor="tape", split=Split("shard", 2))))


def test_a_graph_without_a_scalar_form_is_refused_by_the_tape(channel: grpc.Channel) -> None:
    """The error is typed, and names the first such node."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (3,)))
    graph = builder.build({"y": do.sort(do.sin(x), axis=0)})
    job = Job(graph, {"x": np.ones(3)}, options=Options(executor="tape"))
    with pytest.raises(UnsupportedError, match="node 1 sort has no scalar form"):
        evaluate(channel, job)


def long_chain(nodes: int) -> Job:
    """The value of a graph of so many sines."""
    builder = Builder()
    y = builder.input("x0", ArrayType(FLOAT64, ()))
    for _ in range(nodes):
        y = do.sin(y)
    return Job(builder.build({"y": y}), {"x0": np.array(0.7)}, Gradient(("x0",)))


def test_scalar_code_moves_to_the_tape_and_may_be_named(channel: grpc.Channel) -> None:
    """By itself, with the reason; by its fingerprint in the next job; a reproducible one stays."""
    evaluate(channel, scalar_job(8, as_tape=True))  # so that the machine is loaded
    job = long_chain(60)
    assert isinstance(job.graph, Graph)
    first = evaluate(channel, job)
    assert first.metrics.executor == "tape"
    assert "scalar code" in first.metrics.executor_reason
    named = evaluate(channel, replace(job, graph=GraphHash(job.graph.fingerprint)))
    assert named.metrics.executor == "tape"
    assert named.metrics.program_cache_hit
    assert named.gradients["x0"].tobytes() == first.gradients["x0"].tobytes()
    stays = evaluate(channel, replace(job, options=Options(reproducible=True)))
    assert stays.metrics.executor == "numpy"
    np.testing.assert_allclose(stays.gradients["x0"], first.gradients["x0"], 1e-12)
    hessian = evaluate(channel, replace(job, want=Hessian(("x0",), "y")))
    assert hessian.metrics.executor in ("numpy", "tape")  # as its kernels are loaded by now or not


def test_many_points_of_one_graph_reach_the_tape(server: RunningServer) -> None:
    """Over the wire: one point's tape runs at all points of a block."""
    graph = long_chain(30).graph
    assert isinstance(graph, Graph)
    points = {"x0": np.linspace(-1, 1, 100)}
    with pb.connect(server.address) as service:
        swept = service.evaluate_many(graph, points, gradient="x0", executor="tape")
        usual = service.evaluate_many(graph, points, gradient="x0", executor="numpy")
    assert (swept.metrics.executor, usual.metrics.executor) == ("tape", "numpy")
    np.testing.assert_allclose(swept.gradients["x0"], usual.gradients["x0"], 1e-12)
    assert swept.gradients["x0"].shape == (100,)


def test_a_server_says_that_it_has_the_tape(channel: grpc.Channel) -> None:
    """GetServerInfo lists the executor with numba's version."""
    method: Any = channel.unary_unary(SERVICE + "GetServerInfo")
    info = server_info_pb2.ServerInfo.FromString(method(b"", timeout=60))
    versions = {item.name: item.version for item in info.executors}
    assert versions["tape"].startswith("1/numba-")
