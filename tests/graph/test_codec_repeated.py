"""Jobs that come again: what is not decoded or encoded anew comes out the same as if it were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pullback_graph.codec import (
    decode_job,
    decode_like,
    decode_result,
    encode_job,
    encode_result,
    encode_standing,
    job_head,
)
from pullback_graph.errors import InputError
from pullback_graph.job import GraphHash, Job, Metrics, Options, Result, Split
from pullback_graph.limits import DEFAULT_LIMITS
from pullback_graph.want import DerivativeKey, Gradient, Hessian, Jvp, Value, Want
from pullback_proto.v1 import job_pb2

GRAPH = GraphHash("ab" * 32)


def _message(job: Job) -> job_pb2.Job:
    return job_pb2.Job.FromString(encode_job(job))


@pytest.mark.parametrize("want", [Value(), Value(("y",)), Gradient(("x",)), Hessian(("x", "z"))])
@pytest.mark.parametrize("options", [Options(), Options(split=Split("shard", 3), check="finite")])
def test_a_job_like_a_known_one_decodes_the_same(want: Want, options: Options) -> None:
    """Of one head, with other inputs and id, a job decodes as it would by itself."""
    known = _message(Job(GRAPH, {"x": np.asarray(1.0)}, want, options=options, id="1"))
    again = _message(Job(GRAPH, {"x": np.asarray(2.0)}, want, options=options, id="2"))
    assert job_head(known) == job_head(again)
    found, whole = decode_like(again, decode_job(known), DEFAULT_LIMITS), decode_job(again)
    assert found.inputs["x"] == whole.inputs["x"] == 2.0
    assert replace(found, inputs={}) == replace(whole, inputs={})


def test_heads_tell_apart_what_differs() -> None:
    """Another graph, want, name or option is another head."""
    jobs = [
        Job(GRAPH, {}, Gradient(("x",))),
        Job(GraphHash("cd" * 32), {}, Gradient(("x",))),
        Job(GRAPH, {}, Hessian(("x",))),
        Job(GRAPH, {}, Gradient(("z",))),
        Job(GRAPH, {}, Gradient(("x",), "y")),
        Job(GRAPH, {}, Gradient(("x",)), options=Options(check="finite")),
    ]
    assert len({job_head(_message(job)) for job in jobs}) == len(jobs)


def test_jobs_with_seeds_or_features_have_no_head() -> None:
    """What must be looked at every time is left to decode_job."""
    seeded = Job(GRAPH, {}, Jvp((("x",),)), seeds=({"x": np.asarray(1.0)},))
    assert job_head(_message(seeded)) is None
    message = _message(Job(GRAPH, {}, Value()))
    message.required_features.append("warp")
    assert job_head(message) is None
    assert job_head(job_pb2.Job()) is None


def test_inputs_are_checked_every_time() -> None:
    """A doubled name is refused in a job of a known head too."""
    message = _message(Job(GRAPH, {"x": np.asarray(1.0)}, Value()))
    known = decode_job(message)
    message.inputs.append(message.inputs[0])
    with pytest.raises(InputError, match="twice"):
        decode_like(message, known, DEFAULT_LIMITS)


def test_metrics_encoded_in_two_parts_merge() -> None:
    """What jobs of a kind share, encoded once, and the rest come out as one JobMetrics."""
    metrics = Metrics(
        queued_s=0.5,
        fused_s=1.5,
        total_s=2.5,
        nodes=7,
        adjoint_evaluations=3,
        flops=1e9,
        peak_bytes=123,
        tasks=1,
        tensor_cache_hits=2,
        executor="numpy",
        split="none",
        split_reason="small",
        program_cache_hit=True,
        graph_cache_hit=True,
        digest="d",
        independent_inputs=("z",),
        non_finite={"y": 4},
    )
    result = Result({"y": np.ones(2)}, {DerivativeKey("y", "x"): np.zeros(3)}, metrics)
    found = decode_result(encode_result(result, encode_standing(metrics)))
    assert found.metrics == metrics
    assert list(found.outputs) == ["y"]
    assert list(found.derivatives) == [DerivativeKey("y", "x")]
