"""Sparse derivatives over the wire: they come back as they were; hostile patterns are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback_graph.codec import (
    JobLayout,
    decode_job,
    decode_result,
    encode_job,
    encode_result,
    encode_tensor,
)
from pullback_graph.errors import UnsupportedError, WireError
from pullback_graph.job import GraphHash, Job, Metrics, Result
from pullback_graph.pattern import Pattern, SparseArray, pattern_of
from pullback_graph.want import DerivativeKey, Hessian, Jacobian
from pullback_proto.v1 import job_pb2

KEY = DerivativeKey("y", "x")
HASH = GraphHash("ab" * 32)
EMPTY = np.zeros(0, np.int64)


def result_of(pattern: Pattern) -> Result:
    """A result with one sparse derivative, values 1, 2, ..."""
    return Result({}, {KEY: SparseArray(pattern, np.arange(1.0, pattern.count + 1))}, Metrics())


def small() -> Pattern:
    """Three rows, the second one empty."""
    return pattern_of(np.array([0, 0, 2]), np.array([1, 3, 0]), (3, 4))


@pytest.mark.parametrize(
    "pattern",
    [small(), pattern_of(EMPTY, EMPTY, (0, 0)), pattern_of(EMPTY, EMPTY, (5, 1 << 40))],
    ids=["small", "nothing", "wide"],
)
def test_sparse_derivatives_travel(pattern: Pattern) -> None:
    """Shape, places, values and dtypes are those that were sent."""
    found = decode_result(encode_result(result_of(pattern))).derivatives[KEY]
    assert type(found) is SparseArray
    assert (found.shape, found.pattern.count) == (pattern.shape, pattern.count)
    assert found.pattern.columns.dtype == pattern.columns.dtype
    np.testing.assert_array_equal(found.pattern.starts, pattern.starts)
    np.testing.assert_array_equal(found.pattern.columns, pattern.columns)
    np.testing.assert_array_equal(found.values, np.arange(1.0, pattern.count + 1))


def integers(*numbers: int) -> Any:
    """A tensor of int64."""
    return encode_tensor(np.array(numbers, np.int64))


def set_part(name: str, tensor: Any) -> Callable[[Any], None]:
    """A change of one of the pattern's tensors, or of the values."""

    def change(item: Any) -> None:
        target = item.value if name == "value" else getattr(item.pattern, name)
        target.CopyFrom(tensor)

    return change


def set_size(name: str, size: int) -> Callable[[Any], None]:
    """A change of the number of rows or columns."""
    return lambda item: setattr(item.pattern, name, size)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_size("rows", 2), "4 row starts for 2 rows"),
        (set_size("rows", (1 << 64) - 1), "row starts for"),
        (set_size("columns", 3), "not within 0 to 2"),
        (set_size("columns", (1 << 64) - 1), "row starts for"),
        (set_part("row_starts", integers(0, 2, 3)), "3 row starts for 3 rows"),
        (set_part("row_starts", integers(1, 2, 2, 3)), "do not run from 0 to 3"),
        (set_part("row_starts", integers(0, 3, 2, 3)), "do not run from 0 to 3"),
        (set_part("row_starts", integers(0, 2, 2, 4)), "do not run from 0 to 3"),
        (set_part("row_starts", integers(0, -(1 << 63), 2, 3)), "do not run"),
        (set_part("row_starts", encode_tensor(np.zeros(4))), "no vector of int32 or int64"),
        (set_part("row_starts", encode_tensor(np.zeros((2, 2), np.int64))), "no vector"),
        (set_part("column_indices", integers(3, 1, 0)), "not ascending"),
        (set_part("column_indices", integers(1, 1, 0)), "not ascending"),
        (set_part("column_indices", integers(-1, 3, 0)), "not within 0 to 3"),
        (set_part("column_indices", integers(1, 4, 0)), "not within 0 to 3"),
        (set_part("column_indices", integers(1, 3)), "do not run from 0 to 2"),
        (set_part("value", encode_tensor(np.zeros(2))), "3 places comes with values of shape"),
        (set_part("value", encode_tensor(np.zeros((3, 4)))), "comes with values of shape"),
    ],
)
def test_a_pattern_that_is_none_is_refused(change: Callable[[Any], None], says: str) -> None:
    """Sizes, starts, columns and values that do not agree are WireError, which says how."""
    message = job_pb2.JobResult.FromString(encode_result(result_of(small())))
    change(message.derivatives[0])
    with pytest.raises(WireError, match=says):
        decode_result(message)


@pytest.mark.parametrize("want", [Jacobian(("x",), sparse=True), Hessian(("x",), "", sparse=True)])
def test_a_sparse_want_names_its_feature(want: Any) -> None:
    """A server that is older refuses it, rather than answering with dense arrays."""
    message = job_pb2.Job.FromString(encode_job(Job(HASH, {}, want)))
    assert list(message.required_features) == ["sparse"]
    assert decode_job(message).want == want
    dense = type(want)(want.wrt)
    assert not job_pb2.Job.FromString(encode_job(Job(HASH, {}, dense))).required_features


def test_the_layout_of_a_sparse_job_is_its_own() -> None:
    """Sparse jobs are known again by their bytes, dense ones apart; unknown features are not."""
    want = Jacobian(("x",), sparse=True)
    sparse, dense = encode_job(Job(HASH, {}, want)), encode_job(Job(HASH, {}, Jacobian(("x",))))
    layout = JobLayout.of(sparse, decode_job(sparse))
    assert layout is not None
    assert layout.read(dense) is None
    assert layout.read(sparse) == []
    message = job_pb2.Job.FromString(sparse)
    message.required_features.append("levitation")
    assert layout.read(message.SerializeToString()) is None
    with pytest.raises(UnsupportedError, match="levitation"):
        decode_job(message)
