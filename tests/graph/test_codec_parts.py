"""Messages in parts: what was sent comes back, and what does not belong there is a typed error."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pullback_graph.codec import (
    PartsReader,
    decode_job,
    decode_result,
    encode_job,
    encode_result_apart,
    parts,
)
from pullback_graph.codec.elements import MESSAGE_BYTES
from pullback_graph.codec.tensors import write_type
from pullback_graph.errors import DTypeError, LimitExceeded, PullbackError, WireError
from pullback_graph.fingerprint import NUMBERS
from pullback_graph.job import GraphHash, Job, NDArray
from pullback_graph.limits import Limits
from pullback_graph.want import Value
from pullback_proto.v1 import job_pb2, service_pb2, tensor_pb2
from tests.graph.test_codec_large import LARGE, result_of, same

Part = service_pb2.Part
MANY_BYTES = 1 << 30
FLOAT64: Any = tensor_pb2.DTYPE_FLOAT64


def read(*sent: bytes | Part, limits: Limits | None = None, most_bytes: int = MANY_BYTES) -> Any:
    """What a reader makes of parts."""
    reader = PartsReader(limits or Limits(), most_bytes)
    for part in sent:
        reader.take(part if isinstance(part, bytes) else part.SerializeToString())
    reader.finish()
    return reader


def vectors(*sizes: int) -> Part:
    """A first part with vectors to come."""
    types = [tensor_pb2.TensorType(dtype=FLOAT64, shape=[size]) for size in sizes]
    return Part(message=b"job", arrays=types)


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_arrays_come_back(dtype: Any):
    """Of any dtype, order and size: none, one element, and more than a part holds."""
    size = MESSAGE_BYTES // dtype.itemsize
    sent = [
        np.ones((0, 3), dtype),
        np.asarray(1, dtype),
        np.arange(2 * (size + 3)).reshape(2, -1).astype(dtype).T,
        np.arange(size).astype(dtype),
    ]
    reader = read(*parts(b"message", sent))
    assert reader.message == b"message"
    for found, own in zip(reader.arrays, sent, strict=True):
        assert (found.dtype, found.shape) == (own.dtype, own.shape)
        assert found.tobytes() == own.tobytes()


def test_parts_may_be_cut_anywhere():
    """Another client need not cut between arrays, nor write its parts as ours does."""
    x, y = np.arange(5.0), np.arange(7.0)
    data = x.tobytes() + y.tobytes()
    cuts = [0, 3, 3, 41, len(data)]
    pieces = [Part(data=data[a:b]) for a, b in pairwise(cuts)]
    reader = read(vectors(5, 7), *pieces)
    assert [array.tolist() for array in reader.arrays] == [x.tolist(), y.tolist()]


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ([], "no part came"),
        ([b"\xff"], "does not parse"),
        ([Part(data=b"x")], "must be the message"),
        ([vectors(1), vectors(1)], "must be data"),
        ([vectors(1), b"\x1a\x05x"], "does not parse"),
        ([vectors(2), Part(data=bytes(8))], "8 bytes of data are missing"),
        ([vectors(1), Part(data=bytes(9))], "more data came"),
        ([vectors(-1)], "not negative"),
    ],
)
def test_parts_that_do_not_fit_are_refused(sent: Any, says: str):
    """Too little, too much, or in the wrong place."""
    with pytest.raises(WireError, match=says):
        read(*sent)


def test_a_bool_is_0_or_1():
    """As in any other tensor."""
    types = [tensor_pb2.TensorType(dtype=tensor_pb2.DTYPE_BOOL, shape=[2])]
    with pytest.raises(WireError, match="neither 0 nor 1"):
        read(Part(message=b"job", arrays=types), Part(data=b"\x01\x02"))


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (vectors(1 << 40), LimitExceeded),
        (vectors(600, 600), LimitExceeded),
        (vectors(*[0] * 11), LimitExceeded),
        (Part(arrays=[tensor_pb2.TensorType(dtype=FLOAT64, shape=[1] * 99)]), LimitExceeded),
        (Part(arrays=[tensor_pb2.TensorType(shape=[1])]), DTypeError),
    ],
    ids=["elements", "bytes", "arrays", "axes", "dtype"],
)
def test_what_is_over_a_limit_is_refused_at_once(first: Part, kind: type[PullbackError]):
    """Before any of it has come, and nothing is made of it."""
    reader = PartsReader(Limits(max_inputs=10), 8 * 1000)
    with pytest.raises(kind):
        reader.take(first.SerializeToString())
    assert not reader.arrays


# --- what is in the message -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, LARGE])
def test_a_result_comes_back(size: int):
    """Large arrays beside it, in the order they had."""
    message, apart = encode_result_apart(result_of(size))
    reader = read(*parts(message, apart))
    assert len(reader.arrays) == (4 if size > 1 else 0) - (size > 1)
    same(decode_result(reader.message, apart=reader.arrays), result_of(size))


def job_without(**arrays: NDArray) -> bytes:
    """A serialised job whose inputs have no data."""
    message = job_pb2.Job()
    for name, array in arrays.items():
        item = message.inputs.add(name=name)
        write_type(item.tensor, array)
    inside = encode_job(Job(GraphHash("ab" * 32), {"s": np.asarray(2.0)}, Value()))
    return inside + message.SerializeToString()


def test_a_job_takes_what_came_apart():
    """In the order of its inputs; what is empty anyway takes nothing."""
    x, y, none = np.arange(3.0), np.ones((2, 2), np.float32), np.zeros((0, 2))
    job = decode_job(job_without(x=x, none=none, y=y), apart=[x, y])
    assert job.inputs["x"] is x
    assert job.inputs["y"] is y
    assert np.shape(job.inputs["none"]) == (0, 2)
    assert job.inputs["s"] == 2.0


@pytest.mark.parametrize(
    "apart",
    [[], [np.zeros(4)], [np.zeros(3, np.float32)], [np.zeros(3), np.zeros(3)]],
    ids=["none", "another shape", "another dtype", "one more"],
)
def test_arrays_and_message_must_agree(apart: list[NDArray]):
    """A tensor without data takes the next array of its type, and all must be taken."""
    with pytest.raises(WireError):
        decode_job(job_without(x=np.zeros(3)), apart=apart)
