"""Results with large arrays, put together by hand: to whoever parses them the same messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.codec import decode_result, encode_result
from pullback_graph.codec.results import APART_BYTES, encode_standing
from pullback_graph.codec.wire_arrays import varint
from pullback_graph.errors import DTypeError
from pullback_graph.fingerprint import NUMBERS
from pullback_graph.job import Metrics, Result
from pullback_graph.pattern import SparseArray, pattern_of
from pullback_graph.want import DerivativeKey
from pullback_proto.v1 import job_pb2

LARGE = APART_BYTES // 8


def result_of(size: int) -> Result:
    """Values and derivatives, small and of that size, in an order that says nothing."""
    outputs = {"z": np.arange(size, dtype=float), "a": np.asarray(2.5), "m": np.ones(size, bool)}
    matrix = np.arange(2.0 * size).reshape(2, size)
    derivatives = {
        DerivativeKey("z", "y", "", 0): matrix.T,  # not in C order
        DerivativeKey("z", "x", "", 3): np.zeros((0, 3), np.float32),
        DerivativeKey("a", "x", "y", 0): matrix,
    }
    return Result(outputs, derivatives, Metrics(nodes=7, executor="numpy", tasks=3), "")


def same(found: Result, expected: Result) -> None:
    """Names in order, types, shapes, bits and metrics agree."""
    for got, wanted in (
        (found.outputs, expected.outputs),
        (found.derivatives, expected.derivatives),
    ):
        assert [*got] == [*wanted]
        for array, other in zip(got.values(), wanted.values(), strict=True):
            assert (array.dtype, array.shape) == (other.dtype, other.shape)
            assert array.tobytes() == other.tobytes()
    assert found.metrics == expected.metrics


@pytest.mark.parametrize("size", [1, LARGE - 1, LARGE, 3 * LARGE])
def test_a_result_of_any_size_comes_back(size: int):
    """Arrays on both sides of the bound, mixed, in the order they had."""
    result = result_of(size)
    same(decode_result(encode_result(result)), result)


def test_protobuf_writes_the_same_message():
    """What is put together by hand parses, and written by protobuf parses to the same again."""
    data = encode_result(result_of(LARGE))
    message = job_pb2.JobResult.FromString(data)
    same(decode_result(message.SerializeToString()), result_of(LARGE))


def test_metrics_that_are_shared_are_merged():
    """Encoded once for all results of a job, they go with large arrays as with small ones."""
    result = result_of(LARGE)
    data = encode_result(result, encode_standing(result.metrics))
    same(decode_result(data), result)


def test_a_large_sparse_derivative_comes_back():
    """Its pattern goes with it."""
    pattern = pattern_of(np.zeros(LARGE, int), np.arange(LARGE), (1, LARGE))
    sparse: Any = SparseArray(pattern, np.arange(float(LARGE)))
    key = DerivativeKey("z", "x", "", 0)
    found = decode_result(encode_result(Result({}, {key: sparse}, Metrics(), "")))
    own = found.derivatives[key]
    assert isinstance(own, SparseArray)
    np.testing.assert_array_equal(own.values, sparse.values)
    np.testing.assert_array_equal(own.pattern.columns, pattern.columns)


def test_a_large_array_of_no_dtype_of_ours_is_refused():
    """As a small one is."""
    with pytest.raises(DTypeError):
        encode_result(Result({"z": np.zeros(LARGE, "datetime64[s]")}, {}, Metrics(), ""))


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_every_dtype_comes_back(dtype: Any):
    """Also where elements are of one byte."""
    array = np.ones(APART_BYTES // dtype.itemsize, dtype)
    result = Result({"z": array}, {}, Metrics(), "")
    same(decode_result(encode_result(result)), result)


@given(st.integers(0, (1 << 64) - 1))
def test_lengths_are_written_as_protobuf_reads_them(number: int):
    """A number in a field of variable length, read back by protobuf."""
    key = bytes([job_pb2.JobReply.POSITION_FIELD_NUMBER << 3])
    assert job_pb2.JobReply.FromString(key + varint(number)).position == number
