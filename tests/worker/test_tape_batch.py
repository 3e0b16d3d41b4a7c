"""Batches from wire to wire: each reply what the job gives alone, each fault left to the codec."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pullback_graph.codec import decode_job, decode_result, encode_job
from pullback_graph.derivative import lower
from pullback_graph.errors import PullbackError
from pullback_graph.graph import Graph, Input
from pullback_graph.job import GraphHash, Job, Options, Result
from pullback_graph.tape import Tape, TapeOutput
from pullback_graph.types import FLOAT32, FLOAT64, ArrayType, DType
from pullback_graph.want import Gradient, Hessian, Value
from pullback_proto.v1 import job_pb2
from pullback_worker.numpy_executor import NumpyExecutor
from tests.worker.scalar_jobs import numbered_graph, scalar_job

pytest.importorskip("numba")
from pullback_worker.tape_batch import run_batch


def replies(jobs: Sequence[bytes], dtype: DType = FLOAT64) -> list[job_pb2.JobReply | None]:
    """The replies of a batch, parsed; positions count from 5."""
    count = len(jobs)
    positions, never = np.arange(5, 5 + count), np.full(count, np.inf)
    done = run_batch(jobs, positions, never, np.zeros(count), lambda *_: (b"", b""), "test", dtype)
    return [None if data is None else job_pb2.JobReply.FromString(data) for data in done.replies]


def alone(job: Job) -> Result:
    """What the job gives by the usual way: lowered, on the NumPy executor."""
    graph = numbered_graph(job.graph) if isinstance(job.graph, Tape) else job.graph
    assert isinstance(graph, Graph)
    lowered = lower(graph, job.want)
    program = NumpyExecutor().compile(lowered.graph)
    found = program([np.asarray(job.inputs[name]) for name in lowered.graph.input_names])
    names, count = lowered.graph.output_names, lowered.value_count
    result = decode_result(b"")
    result.outputs.update(zip(names[:count], found[:count], strict=True))
    result.derivatives.update(zip(lowered.derivatives, found[count:], strict=True))
    arrays: list[tuple[str, Any]] = [*job.inputs.items(), *zip(names, found, strict=True)]
    bad = {name: int(np.size(a) - np.isfinite(a).sum()) for name, a in arrays}
    result.metrics.non_finite = {name: count for name, count in bad.items() if count}
    return result


@pytest.mark.parametrize("as_tape", [True, False], ids=["tapes", "graphs"])
@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_a_packed_job_gives_what_it_gives_alone(as_tape: bool, dtype: DType) -> None:
    """Values, derivatives, their names and order, NaN counts, id and position, job by job."""
    jobs = [scalar_job(seed, as_tape=as_tape, dtype=dtype) for seed in range(150)]
    for number, reply in enumerate(replies([encode_job(job) for job in jobs], dtype)):
        job = jobs[number]
        assert reply is not None, job.id
        assert (reply.id, reply.position) == (job.id, 5 + number)
        found, expected = decode_result(reply.result), alone(job)
        assert list(found.outputs) == list(expected.outputs)
        assert list(found.derivatives) == list(expected.derivatives)
        tolerance = 1e-11 if dtype == FLOAT64 else 2e-4
        arrays = [(found.outputs[k], v) for k, v in expected.outputs.items()]
        arrays += [(found.derivatives[k], v) for k, v in expected.derivatives.items()]
        for got, array in arrays:
            assert (got.dtype, got.shape) == (array.dtype, array.shape)
            np.testing.assert_allclose(got, array, tolerance, tolerance, err_msg=job.id)
        assert set(found.metrics.non_finite) == set(expected.metrics.non_finite), job.id


def test_names_of_inputs_that_nothing_depends_on_are_listed() -> None:
    """As `Lowered.independent` has them; their derivatives are zeros."""
    for seed in range(0, 60, 2):
        job = scalar_job(seed, as_tape=False)
        assert isinstance(job.graph, Graph)
        (reply,) = replies([encode_job(job)])
        assert reply is not None
        listed = set(reply.result.metrics.independent_inputs)
        assert listed >= set(lower(job.graph, job.want).independent) - {"x0", "x1", "x2"}
        for item in reply.result.derivatives:
            if item.input in listed:
                assert not np.frombuffer(item.value.data).any()


def _vectors() -> Job:
    """Vector inputs and outputs: v = (x1 x2, x0), y = x1 x2 + m00."""
    vector, matrix = ArrayType(FLOAT64, (3,)), ArrayType(FLOAT64, (1, 2))
    tape = Tape(
        FLOAT64,
        (Input("x", vector), Input("m", matrix), Input("none", ArrayType(FLOAT64, (0,)))),
        np.empty(0),
        ("multiply", "add"),
        np.array([0, 1], np.uint16),
        np.array([1, 2, 5, 3], np.uint32),
        (
            TapeOutput("v", (2, 1), np.array([5, 0], np.uint32)),
            TapeOutput("y", (), np.array([6], np.uint32)),
            TapeOutput("empty", (0, 2), np.empty(0, np.uint32)),
        ),
    )
    inputs = {"x": np.arange(3.0) + 2, "m": np.array([[10.0, 20.0]]), "none": np.empty(0)}
    return Job(tape, inputs, Gradient(("m", "x"), "y"))


def test_arrays_of_any_shape_go_in_and_come_out() -> None:
    """Inputs of several shapes, an empty one among them; outputs that are gathered from scalars."""
    (reply,) = replies([encode_job(_vectors())])
    assert reply is not None
    result = decode_result(reply.result)
    assert result.outputs["v"].tolist() == [[12.0], [2.0]]
    assert result.outputs["y"] == 22.0
    assert result.outputs["empty"].shape == (0, 2)
    assert result.gradients["m"].tolist() == [[1.0, 0.0]]
    assert result.gradients["x"].tolist() == [0.0, 4.0, 3.0]
    assert (result.metrics.nodes, result.metrics.adjoint_evaluations) == (2, 2)


LEFT: dict[str, Job] = {
    "a graph by name": Job(GraphHash("ab" * 32), {}),
    "another want": replace(_vectors(), want=Hessian(("x",), "y")),
    "a named output": replace(_vectors(), want=Value(("y",))),
    "a vector's gradient": replace(_vectors(), want=Gradient(("x",), "v")),
    "no such input": replace(_vectors(), want=Gradient(("z",), "y")),
    "no such output": replace(_vectors(), want=Gradient(("x",), "z")),
    "an input too few": replace(_vectors(), inputs={"x": np.zeros(3), "m": np.zeros((1, 2))}),
    "an input too many": replace(_vectors(), inputs={**_vectors().inputs, "z": np.zeros(3)}),
    "another shape": replace(_vectors(), inputs={**_vectors().inputs, "m": np.zeros(2)}),
    "another dtype": replace(_vectors(), inputs={**_vectors().inputs, "x": np.zeros(3, "f4")}),
    "another executor": replace(_vectors(), options=Options(executor="numpy")),
    "a memory cap": replace(_vectors(), options=Options(memory_cap_bytes=1)),
    "not to be batched": replace(_vectors(), options=Options(reproducible=True)),
    "a deadline passed": replace(_vectors(), options=Options(deadline_s=0.0)),
    "NaN where none may be": replace(
        _vectors(),
        inputs={**_vectors().inputs, "m": np.array([[np.nan, 0.0]])},
        options=Options(check="finite"),
    ),
}


def test_what_is_not_for_a_batch_is_left_and_its_neighbours_are_not() -> None:
    """Each such job gets no reply here; those between them are answered as ever."""
    sound = encode_job(_vectors())
    jobs = [encode_job(job) for job in LEFT.values()] + [b"", b"\xff\xff", b"\x1a\x7f"]
    mixed = [item for job in jobs for item in (job, sound)]
    found = replies(mixed)
    assert found[::2] == [None] * len(jobs)
    good = found[1::2]
    assert all(reply is not None and reply.result == good[0].result for reply in good if good[0])


def test_deadlines_and_checks_that_hold_keep_a_job_in_the_batch() -> None:
    """A deadline in the future, a check that finds nothing, a priority."""
    job = replace(_vectors(), options=Options(deadline_s=60.0, priority=3, check="finite"))
    assert replies([encode_job(job)])[0] is not None


def damaged(seed: int) -> bytes:
    """A sound job with bytes changed, cut out or cut off."""
    draw = random.Random(seed)
    data = bytearray(encode_job(scalar_job(seed, as_tape=seed % 3 > 0, nodes=5)))
    for _ in range(draw.randint(1, 3)):
        data[draw.randrange(len(data))] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
    if draw.random() < 0.3:
        del data[draw.randrange(len(data)) :]
    return bytes(data)


def test_damaged_bytes_are_left_or_run_as_the_codec_reads_them() -> None:
    """What the scan takes, the codec takes too; and what the codec refuses, the scan has left."""
    jobs = [damaged(seed) for seed in range(1500)]
    for data, reply in zip(jobs, replies(jobs), strict=True):
        try:
            job = decode_job(data)
        except PullbackError:
            assert reply is None
            continue
        if reply is not None:
            assert reply.id == job.id
            assert isinstance(job.graph, Graph | Tape)
            found = decode_result(reply.result)
            assert list(found.outputs) == list(job.graph.output_names)


_INTERPRETED = """
import numpy as np
from tests.worker.test_tape_batch import damaged
from pullback_worker.tape_wire_scan import scan_jobs
for seed in range(120):
    data = damaged(seed)
    scan_jobs(np.frombuffer(data, np.uint8), np.array([0, len(data)]), np.dtype("float64"))
"""


def test_nothing_is_read_or_written_out_of_bounds() -> None:
    """The same code, interpreted, where an index beyond an array raises: over damaged jobs."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _INTERPRETED],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
