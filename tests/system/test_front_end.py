"""A real server without workers, over real gRPC: every bad request, and that it goes on."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from examples.server_process import RunningServer, running_server
from pullback_graph.builder import Builder
from pullback_graph.codec import (
    PartsReader,
    decode_result,
    encode_graph,
    encode_job,
    parts,
    status_to_error,
    tensor_hash,
)
from pullback_graph.codec.tensors import write_type
from pullback_graph.errors import (
    DeadlineExceeded,
    InputError,
    LimitExceeded,
    NotDifferentiable,
    NotFoundError,
    PullbackError,
    RequestError,
    ShapeError,
    UnknownOp,
    UnsupportedError,
    WireError,
)
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, NDArray, Options, Result, Split, TensorHash
from pullback_graph.limits import DEFAULT_LIMITS
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, INT64, ArrayType
from pullback_graph.want import Gradient, Value
from pullback_proto.v1 import graph_pb2, job_pb2, plan_pb2, server_info_pb2, service_pb2, tensor_pb2

SERVICE = "/pullback.v1.GradientService/"
MAX_NODES = 20_000


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for the module, its node limit lowered so that it can be crossed."""
    with running_server("--workers", "0", "--max-nodes", str(MAX_NODES)) as running:
        yield running


class Stub:
    """The RPCs as bytes, failures as the errors they carry."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def call(self, method: str, data: bytes, timeout: float | None = 60.0) -> bytes:
        """One unary call."""
        try:
            reply: bytes = self.channel.unary_unary(SERVICE + method)(data, timeout=timeout)
        except grpc.RpcError as error:
            raise _typed(error) from None
        return reply

    def evaluate(self, job: Job, timeout: float | None = 60.0) -> Result:
        """One job."""
        return decode_result(self.call("Evaluate", encode_job(job), timeout))

    def put_tensor(self, *chunks: service_pb2.TensorChunk) -> service_pb2.TensorHandle:
        """One upload."""
        data = iter([chunk.SerializeToString() for chunk in chunks])
        try:
            reply = self.channel.stream_unary(SERVICE + "PutTensor")(data, timeout=60.0)
        except grpc.RpcError as error:
            raise _typed(error) from None
        return service_pb2.TensorHandle.FromString(reply)

    def in_parts(self, *sent: bytes) -> Result:
        """The result of a job in parts."""
        reader = PartsReader(DEFAULT_LIMITS, 1 << 30)
        try:
            call = self.channel.stream_stream(SERVICE + "EvaluateInParts")
            for part in call(iter(sent), timeout=60.0):
                reader.take(part)
        except grpc.RpcError as error:
            raise _typed(error) from None
        reader.finish()
        return decode_result(reader.message, apart=reader.arrays)

    def stream(self, *batches: bytes) -> list[job_pb2.JobReply]:
        """The replies of a stream, as they came."""
        call: Any = self.channel.stream_stream(SERVICE + "EvaluateStream")
        replies = call(iter(batches), timeout=60)
        return [
            job_pb2.JobReply.FromString(reply)
            for batch in replies
            for reply in job_pb2.ReplyBatch.FromString(batch).replies
        ]


def _typed(error: Any) -> PullbackError:
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details is None:
        return PullbackError(f"{error.code().name}: {error.details()}")
    found = status_to_error(details)
    assert error.code().name == type(found).status
    return found


@pytest.fixture(scope="module")
def stub(server: RunningServer) -> Iterator[Stub]:
    """A channel without limits of its own, so that the server's are what is tested."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.address, options=options) as channel:
        yield Stub(channel)


@pytest.fixture(autouse=True)
def _still_answers(stub: Stub) -> Iterator[None]:
    """After every test the server answers the next job."""
    yield
    result = stub.evaluate(Job(polynomial(), {"x": np.asarray(3.0)}, Gradient(("x",))))
    assert result.gradients["x"] == 8.0


def polynomial() -> Graph:
    """y = x**2 + 2x + 1."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, ()))
    return b.build({"y": x**2.0 + 2.0 * x + 1.0})


def heavy(steps: int = 2000) -> Graph:
    """Some seconds of matrix products."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (300, 300)))
    y = x
    for _ in range(steps):
        y = do.matmul(y, x) * 0.5
    return b.build({"y": do.sum(y, axes=(0, 1), keepdims=False)})


# --- what works -----------------------------------------------------------------------------------


def test_the_examples_of_the_theory(stub: Stub) -> None:
    """dy/dx of x² + 2x + 1 at 3; the mean of 2x; (x1 + x2) x3."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (3,)))
    mean = b.build({"y": do.sum(2.0 * x, axes=(0,), keepdims=False) / 3.0})
    result = stub.evaluate(Job(mean, {"x": np.array([1.0, 2.0, 3.0])}, Gradient(("x",))))
    np.testing.assert_allclose(result.gradients["x"], [2 / 3] * 3, rtol=1e-15)
    b = Builder()
    x1, x2, x3 = [b.input(f"x{i}", ArrayType(FLOAT64, ())) for i in (1, 2, 3)]
    product = b.build({"y": (x1 + x2) * x3})
    inputs = {"x1": np.asarray(2.0), "x2": np.asarray(3.0), "x3": np.asarray(4.0)}
    result = stub.evaluate(Job(product, inputs, Gradient(("x1", "x2", "x3"))))
    assert [float(result.gradients[f"x{i}"]) for i in (1, 2, 3)] == [4.0, 4.0, 5.0]


def test_metrics_of_a_reply(stub: Stub) -> None:
    """The reply says what ran: nodes, adjoints at most n + p, executor, split, digest, times."""
    graph = polynomial()
    metrics = stub.evaluate(Job(graph, {"x": np.asarray(1.0)}, Gradient(("x",)))).metrics
    assert metrics.nodes > 0
    assert 0 < metrics.adjoint_evaluations <= len(graph.nodes) + 1
    assert (metrics.executor, metrics.split, metrics.workers) == ("numpy", "none", 0)
    assert metrics.fused_s > 0.0
    assert metrics.total_s >= metrics.fused_s
    assert "numpy" in metrics.digest


def test_a_graph_and_a_tensor_sent_before(stub: Stub) -> None:
    """PutGraph and PutTensor once, then only names; the metrics count the hits."""
    graph, array = polynomial(), np.asarray(2.0)
    handle = service_pb2.GraphHandle.FromString(
        stub.call("PutGraph", encode_graph(graph).SerializeToString())
    )
    assert handle.fingerprint.hex() == graph.fingerprint
    sha256 = tensor_hash(array)
    header = service_pb2.TensorHeader(
        dtype=tensor_pb2.DTYPE_FLOAT64, size_bytes=8, sha256=bytes.fromhex(sha256)
    )
    data = service_pb2.TensorChunk(data=array.tobytes())
    stub.put_tensor(service_pb2.TensorChunk(header=header), data)
    assert stub.put_tensor(service_pb2.TensorChunk(header=header), data).already_stored
    job = Job(GraphHash(graph.fingerprint), {"x": TensorHash(sha256)}, Gradient(("x",)))
    result = stub.evaluate(job)
    assert result.gradients["x"] == 6.0
    assert result.metrics.graph_cache_hit
    assert result.metrics.tensor_cache_hits == 1


def test_a_job_in_parts(stub: Stub) -> None:
    """An array comes beside the job, its gradient leaves beside the result; others stay inside."""
    x = np.arange(200_000.0)
    builder = Builder()
    graph = builder.build(
        {"y": do.sum(builder.input("x", ArrayType(FLOAT64, x.shape)) ** 2.0, axes=(0,))}
    )
    data = without_data(Job(graph, {}, Gradient(("x",))), x)
    result = stub.in_parts(*parts(data, [x]))
    np.testing.assert_array_equal(result.gradients["x"], 2.0 * x)
    assert result.outputs["y"] == np.sum(x**2)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda sent: sent[:-1], "are missing"),
        (lambda sent: [*sent, sent[-1]], "more data came"),
        (lambda sent: sent[1:], "must be the message"),
        (lambda sent: [], "no part came"),
        (lambda sent: [b"garbage", *sent], "does not parse"),
        (lambda sent: [sent[0], *sent], "must be data"),
    ],
)
def test_parts_that_do_not_fit(stub: Stub, spoil: Any, says: str) -> None:
    """Each is a WireError that says so."""
    x = np.asarray(2.0)
    sent = [*parts(without_data(Job(polynomial(), {}, Gradient(("x",))), x), [x])]
    assert stub.in_parts(*sent).gradients["x"] == 6.0
    with pytest.raises(WireError, match=says):
        stub.in_parts(*spoil(sent))


def test_parts_beyond_the_limits(stub: Stub) -> None:
    """Refused before any of it is sent."""
    kind: Any = tensor_pb2.DTYPE_FLOAT64
    types = [tensor_pb2.TensorType(dtype=kind, shape=[1 << 28])] * 2
    with pytest.raises(LimitExceeded, match="send less at once"):
        stub.in_parts(service_pb2.Part(message=b"", arrays=types).SerializeToString())


def without_data(job: Job, x: NDArray) -> bytes:
    """A serialised job with an input `x` whose elements come apart."""
    message = job_pb2.Job()
    item = message.inputs.add(name="x")
    write_type(item.tensor, x)
    return encode_job(job) + message.SerializeToString()


def test_nan_in_inputs_is_allowed_and_reported(stub: Stub) -> None:
    """NaN goes through, and the metrics name the arrays and count the elements."""
    result = stub.evaluate(Job(polynomial(), {"x": np.asarray(np.nan)}, Gradient(("x",))))
    assert np.isnan(result.outputs["y"])
    assert result.metrics.non_finite["x"] == 1
    assert result.metrics.non_finite["y"] == 1


def test_a_finite_check_refuses_nan(stub: Stub) -> None:
    """With check `finite` the same job fails, naming the array."""
    job = Job(polynomial(), {"x": np.asarray(np.inf)}, Value(), options=Options(check="finite"))
    with pytest.raises(PullbackError, match="'y' holds 1 NaN or infinite"):
        stub.evaluate(job)


def test_a_report_says_where_nan_came_from(stub: Stub) -> None:
    """With check `report` the arrays come back, and the metrics name the first bad node."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    graph = builder.build({"y": do.sqrt(x) * 2.0})
    job = Job(graph, {"x": np.asarray(0.0)}, Gradient(("x",)), options=Options(check="report"))
    bad = stub.evaluate(job).metrics.bad_node
    assert bad is not None
    assert (bad.phase, bad.node, bad.op) == ("adjoint", 0, "sqrt")


def test_a_certificate_and_a_memory_cap_travel(stub: Stub) -> None:
    """The error of the certificate comes back; a cap that cannot be kept is LimitExceeded."""
    x = {"x": np.asarray(3.0)}
    job = Job(polynomial(), x, Gradient(("x",)), options=Options(certificate=True))
    result = stub.evaluate(job)
    assert result.metrics.certificate_error == 0.0
    assert [float(array) for array in result.derivatives.values()] == [8.0]
    with pytest.raises(PullbackError, match="memory_cap_bytes allows 8"):
        stub.evaluate(Job(polynomial(), x, options=Options(memory_cap_bytes=8)))


def test_a_timeline_tells_who_ran_the_job(stub: Stub) -> None:
    """Asked for, it has a span of the front end; unasked, none."""
    job = Job(polynomial(), {"x": np.asarray(3.0)}, Gradient(("x",)))
    assert stub.evaluate(job).metrics.timeline == ()
    metrics = stub.evaluate(replace(job, options=Options(timeline=True))).metrics
    (span,) = metrics.timeline
    assert (span.task, span.phase, span.worker) == (0, "fused", "front end")
    assert 0.0 <= span.start_s <= span.end_s <= metrics.total_s


def test_a_plan_is_told_without_inputs(stub: Stub) -> None:
    """Plan says nodes, split and where it would run, and needs no data."""
    job = Job(polynomial(), {}, Gradient(("x",)))
    reply = plan_pb2.PlanReply.FromString(stub.call("Plan", encode_job(job)))
    assert reply.front_end
    assert (reply.split, len(reply.tasks)) == ("none", 1)
    assert "adjoints" in reply.text
    assert [item.workers for item in reply.predictions] == [1, 2, 4, 8, 16, 32]
    assert all(item.moved_bytes == 0 for item in reply.predictions)
    assert (reply.tasks[0].home, reply.input_bytes) == (-1, 8)


def test_server_info(stub: Stub) -> None:
    """GetServerInfo names versions, the operator table and the limits in force."""
    info = server_info_pb2.ServerInfo.FromString(stub.call("GetServerInfo", b""))
    assert "matmul" in info.ops
    assert info.limits.nodes == MAX_NODES
    assert {"numpy", "xla"} <= {e.name for e in info.executors}
    assert all(e.version for e in info.executors)


def test_health_and_reflection(stub: Stub) -> None:
    """Standard health says SERVING; reflection lists the service and finds its messages."""
    check = health_pb2_grpc.HealthStub(stub.channel).Check
    reply = check(health_pb2.HealthCheckRequest(service="pullback.v1.GradientService"))
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    services = ProtoReflectionDescriptorDatabase(stub.channel).get_services()
    assert "pullback.v1.GradientService" in services


def test_a_stream_isolates_broken_jobs(stub: Stub) -> None:
    """Garbage and wrong jobs fail alone, each at its position, and their neighbours go on."""
    good = encode_job(Job(polynomial(), {"x": np.asarray(3.0)}, Gradient(("x",)), id="good"))
    wrong = encode_job(Job(polynomial(), {}, Gradient(("x",)), id="wrong"))
    jobs = [good, b"\xff garbage", wrong, good] * 30
    batch = job_pb2.JobBatch(jobs=jobs).SerializeToString()
    replies = sorted(stub.stream(batch, batch), key=lambda reply: reply.position)
    assert [reply.position for reply in replies] == list(range(2 * len(jobs)))
    kinds = [reply.WhichOneof("outcome") for reply in replies]
    assert kinds == ["result", "error", "error", "result"] * 60
    assert type(status_to_error(replies[1].error)) is WireError
    assert type(status_to_error(replies[2].error)) is InputError
    assert decode_result(replies[3].result).gradients["x"] == 8.0


# --- what is wrong --------------------------------------------------------------------------------


def test_random_bytes(stub: Stub) -> None:
    """Random bytes, and every truncation of a real request, get a typed error."""
    rng = random.Random(7)
    for size in (0, 1, 2, 10, 100, 10_000):
        with pytest.raises(RequestError):
            stub.call("Evaluate", rng.randbytes(size))
    data = encode_job(Job(polynomial(), {"x": np.asarray(3.0)}, Gradient(("x",))))
    for cut in range(1, len(data) - 1, 7):
        with pytest.raises(RequestError):
            stub.call("Evaluate", data[:cut])


@pytest.mark.parametrize("method", ["PutGraph", "Plan"])
def test_random_bytes_to_the_other_calls(stub: Stub, method: str) -> None:
    """The other RPCs refuse garbage in the same way."""
    with pytest.raises(RequestError):
        stub.call(method, b"\xff" * 50)


def test_a_broken_batch_ends_the_stream_with_a_typed_error(stub: Stub) -> None:
    """A JobBatch that does not parse is the stream's fault, and is named."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.stream(b"\xff" * 20)
    assert type(_typed(caught.value)) is WireError


def _edited(edit: Any) -> bytes:
    """A polynomial job whose graph message was edited behind the builder's back."""
    message = job_pb2.Job.FromString(
        encode_job(Job(polynomial(), {"x": np.asarray(3.0)}, Gradient(("x",))))
    )
    edit(message.graph)
    return message.SerializeToString()


def _cycle(graph: graph_pb2.Graph) -> None:
    graph.nodes[0].operands[0] = 6


def _unknown_op(graph: graph_pb2.Graph) -> None:
    graph.nodes[1].op = "multipy"


def _arity(graph: graph_pb2.Graph) -> None:
    graph.nodes[1].operands.append(0)


def _shapes(graph: graph_pb2.Graph) -> None:
    graph.nodes[1].op = "matmul"


@pytest.mark.parametrize(
    ("edit", "kind", "says"),
    [
        (_cycle, RequestError, "cycle or forward reference"),
        (_unknown_op, UnknownOp, "did you mean multiply"),
        (_arity, RequestError, "takes 2 operand"),
        (_shapes, ShapeError, "node 1 matmul"),
    ],
)
def test_a_malformed_graph(stub: Stub, edit: Any, kind: Any, says: str) -> None:
    """A cycle, an unknown op, a wrong arity and shapes that don't fit name the node."""
    with pytest.raises(kind, match=says) as caught:
        stub.call("Evaluate", _edited(edit))
    assert "nodes[" in caught.value.field


def test_inputs_missing_unknown_and_ill_typed(stub: Stub) -> None:
    """Each names the input and what the graph takes."""
    x = np.asarray(3.0)
    for inputs, says in (
        ({}, "input 'x' is missing"),
        ({"x": x, "z": x}, "no input 'z'"),
        ({"x": np.asarray(3)}, r"int64\[\], the graph takes float64\[\]"),
        ({"x": np.ones(2)}, r"float64\[2\], the graph takes float64\[\]"),
    ):
        with pytest.raises(InputError, match=says):
            stub.evaluate(Job(polynomial(), inputs, Gradient(("x",))))


def test_an_integer_in_wrt(stub: Stub) -> None:
    """Differentiating by an integer is an error, not a zero."""
    b = Builder()
    n = b.input("n", ArrayType(INT64, ()))
    graph = b.build({"y": do.astype(n, dtype="float64")})
    with pytest.raises(NotDifferentiable, match="'n' is int64"):
        stub.evaluate(Job(graph, {"n": np.asarray(3)}, Gradient(("n",))))


def test_too_many_nodes(stub: Stub) -> None:
    """A graph over the node limit says how many there are and how many may be."""
    graph = graph_pb2.Graph(nodes=[graph_pb2.Node(op="sin", operands=[0])] * (MAX_NODES + 1))
    with pytest.raises(LimitExceeded, match=rf"{MAX_NODES + 1} nodes.*{MAX_NODES}"):
        stub.call("PutGraph", graph.SerializeToString())


def test_ten_million_nodes(stub: Stub) -> None:
    """A graph of 10^7 nodes is over the message limit, and is refused without being read."""
    node = graph_pb2.Graph(nodes=[graph_pb2.Node(op="sin", operands=[0])]).SerializeToString()
    with pytest.raises(PullbackError, match="RESOURCE_EXHAUSTED"):
        stub.call("PutGraph", node * 10_000_000)


def test_a_tensor_that_claims_too_much(stub: Stub) -> None:
    """A header claiming 2^62 elements is refused before anything of that size is made."""
    message = job_pb2.Job.FromString(
        encode_job(Job(polynomial(), {"x": np.asarray(3.0)}, Gradient(("x",))))
    )
    message.inputs[0].tensor.shape.extend([1 << 31, 1 << 31])
    with pytest.raises(RequestError):
        stub.call("Evaluate", message.SerializeToString())
    header = service_pb2.TensorHeader(
        dtype=tensor_pb2.DTYPE_FLOAT64, shape=[1 << 62], size_bytes=1 << 62
    )
    with pytest.raises(LimitExceeded):
        stub.put_tensor(service_pb2.TensorChunk(header=header))


def test_uploads_that_go_wrong(stub: Stub) -> None:
    """No header, two headers, too much, too little and another hash are each named."""
    good = service_pb2.TensorHeader(
        dtype=tensor_pb2.DTYPE_FLOAT64, size_bytes=8, sha256=bytes.fromhex(tensor_hash(9.75))
    )
    header, data = service_pb2.TensorChunk(header=good), service_pb2.TensorChunk(data=b"x" * 8)
    for chunks, says in (
        ((), "no chunk came"),
        ((data,), "first chunk must be a header"),
        ((header, header), "must be data"),
        ((header, data, data), "more data came"),
        ((header,), "8 bytes of data are missing"),
        ((header, data), "hashes to"),
    ):
        with pytest.raises(WireError, match=says):
            stub.put_tensor(*chunks)


def test_hashes_that_are_not_stored(stub: Stub) -> None:
    """A graph or a tensor that was never sent is NOT_FOUND: send it again."""
    unknown = "ab" * 32
    with pytest.raises(NotFoundError, match="send it again"):
        stub.evaluate(Job(GraphHash(unknown), {}, Value()))
    with pytest.raises(NotFoundError, match="no tensor"):
        stub.evaluate(Job(polynomial(), {"x": TensorHash(unknown)}, Value()))


def test_options_not_offered(stub: Stub) -> None:
    """An executor or split this server has not is refused, never quietly changed."""
    capped = Options(executor="xla", memory_cap_bytes=1 << 20)
    for options in (Options(executor="abacus"), capped, Options(split=Split("shard", 2))):
        with pytest.raises(UnsupportedError):
            stub.evaluate(Job(polynomial(), {"x": np.asarray(1.0)}, Value(), options=options))


def test_more_memory_than_allowed(stub: Stub) -> None:
    """A job estimated over its memory cap is refused with both numbers."""
    options = Options(memory_cap_bytes=10_000)
    with pytest.raises(LimitExceeded, match="10000"):
        stub.evaluate(Job(heavy(3), {"x": np.ones((300, 300))}, Value(), options=options))


def test_a_deadline_of_a_millisecond(stub: Stub) -> None:
    """The job's own deadline stops it between nodes, long before it would have ended."""
    job = Job(heavy(), {"x": np.ones((300, 300))}, Value(), options=Options(deadline_s=0.001))
    with pytest.raises(DeadlineExceeded):
        stub.evaluate(job)


def test_the_calls_deadline_holds_as_well(stub: Stub) -> None:
    """The gRPC deadline ends the call on the client and frees the server's thread."""
    job = encode_job(Job(heavy(), {"x": np.ones((300, 300))}, Value()))
    with pytest.raises(PullbackError, match="DEADLINE_EXCEEDED"):
        stub.call("Evaluate", job, timeout=0.05)


def _resident_bytes(server: RunningServer) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096


def _set(event: threading.Event, _: Any) -> None:
    event.set()


def test_clients_that_disappear_leave_nothing(server: RunningServer, stub: Stub) -> None:
    """Calls cancelled midway free their threads and their memory."""
    job = encode_job(Job(heavy(), {"x": np.ones((300, 300))}, Value()))
    stub.evaluate(Job(heavy(5), {"x": np.ones((300, 300))}, Value()))
    before_bytes = _resident_bytes(server)
    for _ in range(20):
        with grpc.insecure_channel(server.address) as channel:
            evaluate: Any = channel.unary_unary(SERVICE + "Evaluate")
            call = evaluate.future(job)
            started = threading.Event()
            call.add_done_callback(partial(_set, started))
            started.wait(0.02)
            call.cancel()
    stub.evaluate(Job(heavy(5), {"x": np.ones((300, 300))}, Value()))
    assert _resident_bytes(server) - before_bytes < 50_000_000


def test_a_port_that_is_taken(server: RunningServer) -> None:
    """A second server on the same port says so and names the flag."""
    port = server.address.rsplit(":", 1)[1]
    with (
        pytest.raises(RuntimeError, match="exit status 2"),
        running_server("--workers", "0", "--port", port),
    ):
        pass
