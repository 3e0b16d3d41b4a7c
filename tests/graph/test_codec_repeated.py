"""Jobs that come again: what is not decoded or encoded anew comes out the same as if it were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pullback_graph.codec import (
    JobLayout,
    Layouts,
    ResultForm,
    ResultLayout,
    decode_job,
    decode_result,
    encode_job,
    encode_result,
    encode_standing,
)
from pullback_graph.codec.layouts import KEPT, KEPT_BYTES
from pullback_graph.job import (
    GraphHash,
    Job,
    Metrics,
    Options,
    Result,
    Split,
    Tensor,
    TensorHash,
)
from pullback_graph.want import DerivativeKey, Gradient, Hessian, Jvp, Value, Want
from pullback_proto.v1 import job_pb2, tensor_pb2

GRAPH = GraphHash("ab" * 32)


wants: st.SearchStrategy[Want] = st.sampled_from(
    [Value(), Value(("y",)), Gradient(("x",)), Gradient(("x", "z"), "y"), Hessian(("x",), "", True)]
)
jobs = st.builds(
    Job,
    st.just(GRAPH),
    st.dictionaries(
        st.sampled_from(["x", "z", "naïve"]),
        st.sampled_from(["float64", "int8", "complex64"]).flatmap(
            lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_side=3))
        )
        | st.just(TensorHash("cd" * 32)),
        max_size=3,
    ),
    want=wants,
    options=st.sampled_from([Options(), Options(deadline_s=2.5, split=Split("shard", 3))]),
)


def _changed(tensor: Any) -> Any:
    """An array of the same type with other elements; a hash as it is."""
    return tensor if isinstance(tensor, TensorHash) else np.asarray(tensor + tensor.dtype.type(3))


def _assert_same(found: Job, expected: Job) -> None:
    assert replace(found, inputs={}) == replace(expected, inputs={})
    assert list(found.inputs) == list(expected.inputs)
    for name, own in found.inputs.items():
        other = expected.inputs[name]
        if isinstance(own, TensorHash) or isinstance(other, TensorHash):
            assert own == other
            continue
        assert (own.dtype, own.shape, own.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert own.flags.aligned
        assert not own.flags.writeable


def _read(layout: JobLayout, known: Job, data: bytes) -> Job | None:
    tensors = layout.read(data)
    if tensors is None:
        return None
    return replace(known, inputs=dict(zip(known.inputs, tensors, strict=True)))


@given(jobs)
def test_a_job_laid_out_like_a_known_one_decodes_the_same(known: Job) -> None:
    """With other elements it is read from its bytes as it would be parsed."""
    layout = _layout(known)
    assert layout is not None
    inputs = {name: _changed(tensor) for name, tensor in known.inputs.items()}
    again = encode_job(replace(known, inputs=inputs))
    found = _read(layout, known, again)
    assert found is not None
    _assert_same(found, decode_job(again))


@given(jobs, jobs)
def test_a_layout_takes_no_job_of_another_kind(known: Job, other: Job) -> None:
    """Another graph, want, name, type, hash or option is another layout."""
    layout = _layout(known)
    assert layout is not None
    data = encode_job(other)
    found = _read(layout, known, data)
    if found is not None:
        _assert_same(found, decode_job(data))


@given(jobs, st.data())
def test_a_layout_never_reads_changed_bytes_another_way(known: Job, drawn: st.DataObject) -> None:
    """Whatever byte is changed, the job is read as it would be parsed, or left to be parsed."""
    layout = _layout(known)
    data = bytearray(encode_job(known))
    assert layout is not None
    data[drawn.draw(st.integers(0, len(data) - 1))] ^= drawn.draw(st.integers(1, 255))
    found = _read(layout, known, bytes(data))
    if found is not None:
        _assert_same(found, decode_job(bytes(data)))


@pytest.mark.parametrize(
    "job",
    [
        Job(GRAPH, {}, Jvp((("x",),)), seeds=({"x": np.asarray(1.0)},)),
        Job(GRAPH, {"x": np.asarray([True])}, Value()),
        Job(GRAPH, {"x": np.zeros(0)}, Value()),
    ],
)
def test_what_must_be_looked_at_every_time_has_no_layout(job: Job) -> None:
    """Seeds, and elements that not every byte is, are left to decode_job."""
    assert _layout(job) is None


def test_an_input_spelt_in_a_way_of_its_own_has_no_layout() -> None:
    """A tensor whose data come twice, of which the last holds, is left to decode_job."""
    job = Job(GRAPH, {"x": np.asarray([1.0])}, Value())
    message = job_pb2.Job.FromString(encode_job(job))
    tensor = message.inputs[0].tensor.SerializeToString()
    twice = tensor + tensor_pb2.Tensor(data=b"8 bytes!").SerializeToString()
    named = tensor_pb2.NamedTensor(name="x").SerializeToString() + bytes([0x12, len(twice)]) + twice
    del message.inputs[:]
    data = message.SerializeToString() + bytes([0x2A, len(named)]) + named
    found = decode_job(data)
    assert np.asarray(found.inputs["x"]).tobytes() == b"8 bytes!"
    assert JobLayout.of(data, found) is None


def _layout(job: Job) -> JobLayout | None:
    data = encode_job(job)
    return JobLayout.of(data, decode_job(data))


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


elements = st.sampled_from(["float64", "int8", "complex64"]).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_side=3))
)
results = st.builds(
    Result,
    st.dictionaries(st.sampled_from(["y", "naïve"]), elements, max_size=2),
    st.dictionaries(
        st.sampled_from([DerivativeKey("y", "x"), DerivativeKey("y", "x", "z", 1)]),
        elements,
        max_size=2,
    ),
    st.builds(
        Metrics,
        queued_s=st.sampled_from([0.0, 0.5]),
        total_s=st.floats(1e-6, 2.0),
        nodes=st.sampled_from([3, 5]),
        executor=st.sampled_from(["numpy", "tape"]),
        independent_inputs=st.sampled_from([(), ("z",)]),
    ),
)


def _assert_same_result(found: Result, expected: Result, *, writeable: bool = True) -> None:
    assert found.metrics == expected.metrics
    _assert_same_arrays(found.outputs, expected.outputs, writeable)
    _assert_same_arrays(found.derivatives, expected.derivatives, writeable)


def _assert_same_arrays(
    found: Mapping[Any, Any], expected: Mapping[Any, Any], writeable: bool
) -> None:
    assert list(found) == list(expected)
    for own, other in zip(found.values(), expected.values(), strict=True):
        assert (own.dtype, own.shape, own.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert not writeable or own.flags.writeable


@given(results, st.floats(1e-6, 2.0), st.booleans())
def test_a_result_laid_out_like_a_known_one_is_the_same(
    known: Result, total_s: float, has_standing: bool
) -> None:
    """With other elements and seconds it is read as it would be parsed; its arrays are its own."""
    standing = encode_standing(known.metrics) if has_standing else b""
    data = encode_result(known, standing)
    layout = ResultLayout.of(data, decode_result(data))
    assert layout is not None
    again = replace(
        known,
        outputs={name: _changed(x) for name, x in known.outputs.items()},
        derivatives={key: _changed(x) for key, x in known.derivatives.items()},
        metrics=replace(known.metrics, total_s=total_s),
    )
    data = encode_result(again, standing)
    found = layout.read(data)
    assert found is not None
    _assert_same_result(found, decode_result(data))


@given(results, st.floats(0.0, 2.0), st.floats(0.0, 2.0))
def test_a_result_written_by_form_is_the_same(known: Result, queued_s: float, ran_s: float) -> None:
    """With other elements and seconds it reads as if it had been encoded."""
    standing = encode_standing(known.metrics)
    form = ResultForm(known, standing)
    metrics = replace(known.metrics, queued_s=queued_s, total_s=queued_s + ran_s)
    metrics.note_run(ran_s, is_derivative=bool(known.derivatives))
    outputs = {name: _changed(x) for name, x in known.outputs.items()}
    derivatives = {key: _changed(x) for key, x in known.derivatives.items()}
    data = form.encode([*outputs.values(), *derivatives.values()], metrics)
    found, again = decode_result(data), Result(outputs, derivatives, metrics)
    _assert_same_result(found, decode_result(encode_result(again, standing)), writeable=False)


@given(results, st.data())
def test_changed_bytes_of_a_result_are_never_read_another_way(
    known: Result, drawn: st.DataObject
) -> None:
    """Whatever byte is changed, the result is read as it would be parsed, or left to be parsed."""
    data = bytearray(encode_result(known, encode_standing(known.metrics)))
    layout = ResultLayout.of(bytes(data), decode_result(bytes(data)))
    assert layout is not None
    data[drawn.draw(st.integers(0, len(data) - 1))] ^= drawn.draw(st.integers(1, 255))
    found = layout.read(bytes(data))
    if found is not None and found.metrics == found.metrics:  # not so where one is NaN
        _assert_same_result(found, decode_result(bytes(data)))


@pytest.mark.parametrize(
    "result",
    [
        Result({"y": np.ones(1)}, {}, Metrics(non_finite={"y": 1})),
        Result({"y": np.ones(1)}, {}, Metrics(certificate_error=1e-9)),
        Result({"y": np.ones(1, bool)}, {}, Metrics()),
    ],
)
def test_a_result_with_findings_or_bools_has_no_layout(result: Result) -> None:
    """What checks found changes from one to the next, and bools are checked."""
    data = encode_result(result)
    assert ResultLayout.of(data, decode_result(data)) is None


def _laid_out(data: bytes, job: Job, note: Any) -> tuple[JobLayout, Any] | None:
    layout = JobLayout.of(data, job)
    return None if layout is None else (layout, note)


def test_layouts_are_kept_from_the_second_message_on_and_bounded() -> None:
    """What comes once is not laid out; kinds of one size are told apart; there are not too many."""
    layouts: Layouts[list[Tensor], str] = Layouts()
    kinds = {name: Job(GRAPH, {name: np.ones(2)}, Value((name,))) for name in "abcdef"}
    for _ in range(2):
        for name, job in kinds.items():
            data = encode_job(job)
            if layouts.find(data) is None:
                layouts.add(data, partial(_laid_out, data, job, name))
    notes = [layouts.find(encode_job(job)) for job in kinds.values()]
    assert [found[1] if found else None for found in notes] == [None, None, *"cdef"]
    for number in range(5000):
        data = number.to_bytes(4, "big")
        layouts.add(data, lambda: None)
    assert len(layouts._known) <= KEPT
    data = encode_job(Job(GRAPH, {"x": np.zeros(4000)}, Value()))
    made = _laid_out(data, decode_job(data), "")
    for _ in range(2 * KEPT_BYTES // len(data)):
        layouts.add(data, lambda: made)
        assert layouts._bytes <= KEPT_BYTES + len(data)


def test_a_field_of_a_kind_that_only_protobuf_knows_has_no_layout() -> None:
    """A group among the fields, which protobuf skips, is left to it."""
    layouts: Layouts[list[Tensor], None] = Layouts()
    job = Job(GRAPH, {"x": np.ones(2)}, Value())
    data = encode_job(job) + bytes([0x9B, 0x06, 0x9C, 0x06])
    assert decode_job(data).want == Value()
    for _ in range(3):
        layouts.add(data, partial(_laid_out, data, job, None))
    assert layouts.find(data) is None
