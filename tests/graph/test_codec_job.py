"""Jobs and results over the wire: every want, option and metric, and what must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from pullback_graph.bad_node import BadNode, ValueRange
from pullback_graph.codec import decode_job, decode_result, encode_job, encode_result, encode_tensor
from pullback_graph.errors import (
    DTypeError,
    InputError,
    LimitExceeded,
    PullbackError,
    RequestError,
    UnsupportedError,
    WireError,
)
from pullback_graph.job import GraphHash, Job, Metrics, Options, Result, Split, TensorHash
from pullback_graph.limits import Limits
from pullback_graph.text import parse
from pullback_graph.timeline import TaskSpan
from pullback_graph.want import (
    DerivativeKey,
    Gradient,
    Hessian,
    Hvp,
    Jacobian,
    Jvp,
    Value,
    Vjp,
    Want,
    want_name,
)
from pullback_proto.v1 import graph_pb2, job_pb2, metrics_pb2

GRAPH = parse("graph(x: float64[2]) {\n %1 = multiply(x, x)\n return y = %1\n}")
KEY, OTHER = "ab" * 32, "cd" * 32
X = np.array([1.0, 2.0])
WANTS: tuple[tuple[Want, int], ...] = (
    (Value(), 0),
    (Value(("y", "z")), 0),
    (Gradient(("x",)), 0),
    (Gradient(("x", "w"), "y"), 0),
    (Vjp(("x",), (("y",), ("y", "z"))), 2),
    (Jvp((("x",),)), 1),
    (Jvp(()), 0),
    (Hvp(("x",), (("x",), ("x",), ("x",)), "y"), 3),
    (Jacobian(("x",)), 0),
    (Jacobian(("x",), ("y",)), 0),
    (Jacobian(("x",), ("y",), sparse=True), 0),
    (Hessian(("x",), "y"), 0),
    (Hessian(("x",), sparse=True), 0),
)
OPTIONS = (
    Options(),
    Options(deadline_s=0.0),
    Options(deadline_s=1.5, priority=-3, executor="xla", split=Split("shard", 4)),
    Options(split=Split("none"), reproducible=True, memory_cap_bytes=0, check="finite"),
    Options(timeline=True),
    Options(device="gpu"),
    *[Options(split=Split(kind)) for kind in ("auto", "branch", "stage")],
)


def same(one: Any, other: Any) -> bool:
    """Whether two jobs are equal, arrays by their elements."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Job):
        names = [item.name for item in fields(Job)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


# --- jobs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("want", "seed_count"), WANTS, ids=str)
def test_every_want_travels(want: Want, seed_count: int) -> None:
    """A job of every want comes back the same, its seeds with their names and order."""
    names: tuple[tuple[str, ...], ...] = getattr(want, "seeds", ())
    seeds = tuple(dict.fromkeys(covered, X + k) for k, covered in enumerate(names))
    assert len(seeds) == seed_count
    job = Job(GRAPH, {"x": X}, want, seeds, id="job 1")
    assert same(job, decode_job(encode_job(job)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_travels(options: Options) -> None:
    """Options come back the same, an absent deadline or memory cap apart from zero."""
    job = Job(GraphHash(KEY), {}, options=options)
    assert decode_job(encode_job(job)).options == options


def test_what_was_sent_before_travels_by_hash() -> None:
    """A graph and tensors that the server has are named by their hashes alone."""
    seeds = ({"y": TensorHash(OTHER)},)
    job = Job(GraphHash(KEY), {"x": TensorHash(OTHER)}, Vjp(("x",), (("y",),)), seeds)
    assert same(job, decode_job(encode_job(job)))
    assert len(encode_job(job)) < 150


def test_a_parsed_message_decodes_like_its_bytes() -> None:
    """The front end may hand on the message it has parsed already."""
    data = encode_job(Job(GRAPH, {"x": X}))
    assert same(decode_job(data), decode_job(job_pb2.Job.FromString(data)))


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job(GraphHash("abc"), {}), "not 64 hexadecimal digits"),
        (Job(GraphHash(KEY), {"x": TensorHash("zz" * 32)}), "not 64 hexadecimal digits"),
        (Job(GRAPH, {"x": X}, Vjp(("x",), (("y",),))), "names seeds"),
        (Job(GRAPH, {"x": X}, Vjp(("x",), (("y",),)), ({"z": X},)), "names seeds"),
        (Job(GRAPH, {"x": X}, Value(), ({"y": X},)), "takes no seeds"),
        (Job(GRAPH, {"x": X}, options=Options(check="all")), "'all' is not one of none, finite"),
        (Job(GRAPH, {"x": X}, options=Options(split=Split("half"))), "'half' is not one of auto"),
    ],
)
def test_what_does_not_fit_the_wire_is_refused_on_sending(job: Job, words: str) -> None:
    """A job that cannot be written is RequestError before anything is sent."""
    with pytest.raises(RequestError, match=words):
        encode_job(job)


def _message() -> job_pb2.Job:
    job = Job(GRAPH, {"x": X}, Vjp(("x",), (("y",),)), ({"y": X},))
    return job_pb2.Job.FromString(encode_job(job))


FAULTS: dict[str, tuple[Callable[[Any], object], type[PullbackError], str, str]] = {
    "no want": (lambda m: m.ClearField("vjp"), InputError, "want", "value, gradient, vjp"),
    "no graph": (lambda m: m.ClearField("graph"), InputError, "graph", "no graph"),
    "an empty tape": (lambda m: m.tape.SetInParent(), DTypeError, "tape.dtype", "UNSPECIFIED"),
    "short fingerprint": (
        lambda m: setattr(m, "fingerprint", b"abc"),
        WireError,
        "fingerprint",
        "32 bytes, got 3",
    ),
    "a fault in the graph": (
        lambda m: setattr(m.graph.nodes[0], "op", ""),
        PullbackError,
        "graph.nodes[0]",
        "unknown operator",
    ),
    "doubled input": (
        lambda m: m.inputs.append(m.inputs[0]),
        InputError,
        "inputs.x",
        "given twice",
    ),
    "input without a source": (
        lambda m: m.inputs[0].ClearField("tensor"),
        InputError,
        "inputs.x",
        "neither a tensor nor a hash",
    ),
    "short hash": (
        lambda m: setattr(m.inputs[0], "sha256", b""),
        WireError,
        "inputs.x",
        "32 bytes, got 0",
    ),
    "short tensor": (
        lambda m: setattr(m.inputs[0].tensor, "data", b""),
        WireError,
        "inputs.x",
        "takes 16 bytes, got 0",
    ),
    "huge tensor": (
        lambda m: m.inputs[0].tensor.shape.append(2**62),
        LimitExceeded,
        "inputs.x",
        "elements",
    ),
    "doubled seed": (
        lambda m: m.vjp.seeds[0].tensors.append(m.vjp.seeds[0].tensors[0]),
        InputError,
        "vjp.seeds[0].y",
        "given twice",
    ),
    "unknown feature": (
        lambda m: m.required_features.append("loops"),
        UnsupportedError,
        "required_features",
        "'loops'",
    ),
    "unknown split": (
        lambda m: setattr(m.options.split, "kind", 9),
        UnsupportedError,
        "options.split.kind",
        "9 is not one of 0",
    ),
    "unknown check": (
        lambda m: setattr(m.options, "check", 9),
        UnsupportedError,
        "options.check",
        "9 is not one of 0",
    ),
    "endless deadline": (
        lambda m: setattr(m.options, "deadline_s", float("nan")),
        RequestError,
        "options.deadline_s",
        "nan",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_typed_and_placed(fault: str) -> None:
    """A malformed job is the error of its kind, its field the part at fault."""
    change, kind, field, words = FAULTS[fault]
    message = _message()
    change(message)
    with pytest.raises(kind, match=words) as caught:
        decode_job(message.SerializeToString())
    assert caught.value.field == field


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_inputs=0),
        Limits(max_seeds=0),
        Limits(max_nodes=0),
        Limits(max_outputs=0),
        Limits(max_elements=1),
    ],
)
def test_limits_hold_for_every_part_of_a_job(limits: Limits) -> None:
    """Inputs, seeds, names, nodes and elements are counted against the limits."""
    with pytest.raises(LimitExceeded, match="allowed"):
        decode_job(_message().SerializeToString(), limits)


def test_bytes_that_are_no_job_are_a_wire_error() -> None:
    """Garbage is WireError naming the message; a value that is no bytes as well."""
    with pytest.raises(WireError, match=r"no pullback\.v1\.Job"):
        decode_job(b"\xff\xff")
    with pytest.raises(WireError, match="expected bytes"):
        decode_job("text")  # type: ignore[arg-type]


# --- results --------------------------------------------------------------------------------------


def _metrics() -> Metrics:
    """Metrics with every field set, each to something of its own."""
    values: dict[str, Any] = {}
    for number, item in enumerate(fields(Metrics), 1):
        kind = str(item.type)
        values[item.name] = {"float": number / 8, "int": number, "str": f"s{number}"}.get(
            kind, True
        )
    values.update(independent_inputs=("a", "b"), non_finite={"x": 3, "y": 1})
    ranges = (ValueRange("float64[3]", -2.0, float("inf")), ValueRange("bool[]", 0.0, 1.0))
    values.update(
        bad_node=BadNode("adjoint", 7, "log", "divide", ranges, "step 2"), certificate_error=0.0
    )
    spans = (
        TaskSpan(0, "forward", "3", 0.25, 1.5, 2, "numpy-2", 0.125, 0.0625),
        TaskSpan(1, "reduce", "", 0, 0),
    )
    values.update(timeline=spans)
    return Metrics(**values)


@pytest.mark.parametrize("metrics", [Metrics(), _metrics()])
def test_results_travel(metrics: Metrics) -> None:
    """Values, derivatives by key and every metric come back; the id is the reply's."""
    keys = [DerivativeKey("y", "x"), DerivativeKey("y", "x", "w"), DerivativeKey("y", seed=2)]
    result = Result({"y": X, "z": np.array(True)}, dict.fromkeys(keys, X * 2), metrics, "job 1")
    found = decode_result(encode_result(result), "job 1")
    assert same(found.outputs, result.outputs)
    assert same(found.derivatives, result.derivatives)
    assert all(isinstance(key, DerivativeKey) for key in found.derivatives)
    assert (found.metrics, found.id) == (metrics, "job 1")


def test_a_newer_phase_of_a_timeline_is_shown_as_its_number() -> None:
    """A client goes on with what it has no name for."""
    message = metrics_pb2.JobMetrics()
    message.timeline.add(task=1, phase=77)
    found = decode_result(job_pb2.JobResult(metrics=message))
    assert found.metrics.timeline[0].phase == "77"


def test_metrics_are_the_wire_s() -> None:
    """JobMetrics and Metrics have the same fields: none is lost, none is left behind."""
    assert {item.name for item in fields(Metrics)} == {
        item.name for item in metrics_pb2.JobMetrics.DESCRIPTOR.fields
    }


def test_wants_are_the_wire_s() -> None:
    """The members of Job.want and of each want's message are those of the language."""
    oneof: Any = job_pb2.Job.DESCRIPTOR.oneofs_by_name["want"]
    members = {item.name: item.message_type for item in oneof.fields}
    kinds = {want_name(want): type(want) for want, _ in WANTS}
    assert set(members) == set(kinds)
    for name, kind in kinds.items():
        assert {item.name for item in members[name].fields} == {item.name for item in fields(kind)}


def test_a_reply_that_does_not_decode_is_a_wire_error() -> None:
    """Garbage, or an output named by hash, is WireError."""
    with pytest.raises(WireError, match="JobResult"):
        decode_result(b"\xff")
    message = job_pb2.JobResult()
    message.outputs.add(name="y", sha256=b"\0" * 32)
    with pytest.raises(WireError, match="not inline"):
        decode_result(message)


def test_scalars_may_be_numpy_s() -> None:
    """Inputs and results may be NumPy scalars; they travel as 0-d arrays."""
    scalar: Any = np.float32(0.1)
    found: Any = decode_job(encode_job(Job(GraphHash(KEY), {"x": scalar}))).inputs["x"]
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype, found[()]) == ((), scalar.dtype, scalar)
    assert encode_tensor(scalar).data == found.tobytes()


def test_an_inline_graph_may_be_empty_of_nodes() -> None:
    """A graph that only hands an input through is a graph, told apart from none at all."""
    job = Job(parse("graph(x: float64[]) {\n return x = x\n}"), {"x": np.ones(())})
    assert decode_job(encode_job(job)).graph == job.graph
    assert graph_pb2.Graph.DESCRIPTOR.full_name == "pullback.v1.Graph"
