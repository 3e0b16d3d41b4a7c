"""Tensors over the wire: exact both ways, and checked before anything is allocated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pullback_graph.codec import decode_tensor, encode_tensor
from pullback_graph.errors import DTypeError, LimitExceeded, WireError
from pullback_graph.limits import Limits
from pullback_graph.types import DTYPE_NAMES
from pullback_proto.v1 import tensor_pb2

FLOAT64 = tensor_pb2.DTYPE_FLOAT64
ARRAYS = hnp.arrays(
    st.sampled_from([np.dtype(name) for name in DTYPE_NAMES]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@given(ARRAYS)
def test_round_trip_keeps_every_bit(array: np.ndarray) -> None:
    """An array comes back with its dtype, shape and bits; it is read-only."""
    found = decode_tensor(encode_tensor(array))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert not found.flags.writeable


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "broadcast", "swapped"])
def test_any_layout_is_sent_in_order(layout: str) -> None:
    """Strides and byte order are undone before sending."""
    base = np.arange(12.0).reshape(3, 4)
    array = {
        "fortran": np.asfortranarray(base),
        "strided": base[::2, 1::2],
        "reversed": base[::-1],
        "broadcast": np.broadcast_to(base[0], (2, 4)),
        "swapped": base.astype(">f8"),
    }[layout]
    found = decode_tensor(encode_tensor(array))
    assert np.array_equal(found, array)
    assert found.dtype == np.dtype("<f8")


def test_decoding_shares_the_bytes() -> None:
    """A decoded array is a view, not a copy."""
    assert not decode_tensor(encode_tensor(np.arange(3.0))).flags.owndata


@pytest.mark.parametrize(
    ("shape", "size_bytes"),
    [
        ([3], 8),
        ([], 16),
        ([], 0),
        ([2, 2], 33),
        ([0], 8),
        ([-1], 8),
        ([-1, -2], 16),
        ([0, -1], 0),
    ],
)
def test_sizes_and_bytes_must_agree(shape: list[int], size_bytes: int) -> None:
    """Bytes that are not just the shape's elements are WireError."""
    message = tensor_pb2.Tensor(dtype=FLOAT64, shape=shape, data=b"\0" * size_bytes)
    with pytest.raises(WireError):
        decode_tensor(message)


@pytest.mark.parametrize("shape", [[2**62], [2**40, 2**40], [0, 2**62, 2**62], [1] * 33])
def test_huge_claims_allocate_nothing(shape: list[int]) -> None:
    """A header that claims more than allowed is refused, however few its bytes."""
    with pytest.raises(LimitExceeded, match="allowed"):
        decode_tensor(tensor_pb2.Tensor(dtype=FLOAT64, shape=shape, data=b"\0" * 8))


def test_a_huge_claim_is_a_wire_error_where_no_limit_stops_it() -> None:
    """Without a limit on elements, 2^62 of them in eight bytes are refused all the same."""
    message = tensor_pb2.Tensor(dtype=FLOAT64, shape=[2**62], data=b"\0" * 8)
    with pytest.raises(WireError, match="got 8"):
        decode_tensor(message, Limits(max_elements=2**70))


def test_limits_hold_for_honest_tensors() -> None:
    """A tensor of more elements than allowed is refused; of as many, taken."""
    message = encode_tensor(np.zeros(10))
    assert decode_tensor(message, Limits(max_elements=10)).size == 10
    with pytest.raises(LimitExceeded, match="10 elements in one array, where at most 9"):
        decode_tensor(message, Limits(max_elements=9))


@pytest.mark.parametrize("dtype", [0, tensor_pb2.DTYPE_FLOAT16, tensor_pb2.DTYPE_BFLOAT16, 77])
def test_unknown_dtypes_are_named(dtype: Any) -> None:
    """A dtype that is not taken, known to the wire or not, is DTypeError listing those that are."""
    with pytest.raises(DTypeError, match="use one of bool"):
        decode_tensor(tensor_pb2.Tensor(dtype=dtype, data=b"\0"))


def test_bools_are_zero_or_one() -> None:
    """A bool byte of another value is WireError."""
    message = tensor_pb2.Tensor(dtype=tensor_pb2.DTYPE_BOOL, shape=[2], data=b"\1\2")
    with pytest.raises(WireError, match="neither 0 nor 1"):
        decode_tensor(message)
