"""Whatever arrives, only errors of the tree come out, soon, and without much memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_graph.codec import (
    decode_graph,
    decode_job,
    decode_result,
    encode_graph,
    encode_job,
    encode_result,
)
from pullback_graph.errors import PullbackError
from pullback_graph.job import Job, Metrics, Options, Result, Split
from pullback_graph.pattern import SparseArray, pattern_of
from pullback_graph.text import parse, to_text
from pullback_graph.want import DerivativeKey, Hvp
from pullback_proto.v1 import job_pb2
from tests.graph.random_graphs import operands, random_graph
from tests.graph.row_graphs import ROW_CASES, graph_of
from tests.graph.wire_mutation import mutate, mutated_bytes

ROUNDS = 150
MEMORY_BYTES = 64 << 20
RANDOM = st.randoms(use_true_random=True)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or None for an error of the tree; any other error is a failure."""
    try:
        return call()
    except PullbackError:
        return None


def sample_job(seed: int) -> Job:
    """A job with a graph, inputs, seeds and options."""
    graph = random_graph(seed, nodes=6, smooth=True, scalar=True)
    arrays = dict(zip(graph.input_names, operands(graph), strict=True))
    names = graph.input_names[:1]
    want = Hvp(names, (names,), "total")
    options = Options(deadline_s=1.0, split=Split("shard", 2), memory_cap_bytes=10)
    return Job(graph, arrays, want, ({names[0]: arrays[names[0]]},), options, id="job")


def sample_result() -> bytes:
    """A serialised result."""
    arrays = {"y": np.arange(3.0)}
    metrics = Metrics(non_finite={"y": 1}, independent_inputs=("x",))
    pattern = pattern_of(np.array([0, 0, 2]), np.array([1, 3, 0]), (3, 4))
    derivatives = {
        DerivativeKey("y", "x"): np.eye(2),
        DerivativeKey("y", "w"): SparseArray(pattern, np.arange(3.0)),
    }
    return encode_result(Result(arrays, derivatives, metrics))


@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    """Random bytes decode or are refused, as whatever message they are taken for."""
    for decode in (decode_graph, decode_job, decode_result):
        outcome(lambda decode=decode: decode(data))  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_changed_bytes(seed: int) -> None:
    """Valid messages with bytes changed, lost or doubled decode or are refused."""
    random = Random(seed)
    job = sample_job(seed)
    for _ in range(5):
        outcome(lambda: decode_job(mutated_bytes(encode_job(job), random)))
        outcome(lambda: decode_result(mutated_bytes(sample_result(), random)))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_changed_fields(seed: int) -> None:
    """Valid jobs with a few fields changed decode or are refused; what decodes is sound."""
    random = Random(seed)
    data = encode_job(sample_job(seed))
    for _ in range(10):
        message = job_pb2.Job.FromString(data)
        for _ in range(random.randint(1, 3)):
            mutate(message, random)
        job = outcome(lambda message=message: decode_job(message))  # type: ignore[misc]
        if job is not None:
            assert decode_job(encode_job(job)).want == job.want


@pytest.mark.parametrize("case", ROW_CASES, ids=str)
def test_every_row_withstands_changed_operands_and_attributes(case: Any) -> None:
    """A row's rules meet any operands and attributes with errors of the tree."""
    random = Random(str(case))
    valid = encode_graph(graph_of(case))
    for _ in range(12):
        message = type(valid).FromString(valid.SerializeToString())
        for _ in range(random.randint(1, 3)):
            mutate(message, random)
        graph = outcome(lambda message=message: decode_graph(message))  # type: ignore[misc]
        if graph is not None:
            for node in graph.nodes:
                node.op.axes([graph.types[i] for i in node.operands], node.types, **node.attributes)
            assert graph.cost.size_bytes >= 0
            assert parse(to_text(graph)) == graph


@settings(max_examples=30)
@given(RANDOM)
def test_memory_stays_small(random: Random) -> None:
    """Refusing a small message takes little memory, whatever sizes it claims."""
    message = job_pb2.Job.FromString(encode_job(sample_job(random.randrange(100))))
    for _ in range(4):
        mutate(message, random)
    data = mutated_bytes(message.SerializeToString(), random)
    tracemalloc.start()
    try:
        outcome(lambda: decode_job(data))
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()
