"""Replies to results, plans and server descriptions. What does not parse is the service's fault."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from pullback.remote.failure import garbled
from pullback.sparse_matrix import as_users_matrix
from pullback_graph.codec import decode_result
from pullback_graph.errors import PullbackError, ServiceError
from pullback_graph.job import NDArray, Result
from pullback_graph.pattern import SparseArray
from pullback_proto.v1 import job_pb2, service_pb2


def parse_result(
    data: bytes | job_pb2.JobResult, id: str, address: str, apart: Sequence[NDArray] = ()
) -> Result:
    """The result in a JobResult, its arrays and sparse matrices the caller's own.

    Args:
        apart: arrays that came beside it, and are the caller's.

    Raises:
        ServiceError: it does not parse.
    """
    try:
        result = decode_result(data, id, apart)
    except PullbackError as error:
        raise garbled("result", address, error) from None
    for name, array in result.outputs.items():
        result.outputs[name] = _owned(array)
    for key, array in result.derivatives.items():
        sparse = isinstance(array, SparseArray)
        result.derivatives[key] = as_users_matrix(array) if sparse else _owned(array)
    return result


def _owned(array: NDArray) -> NDArray:
    """The array, or a copy where it shares the reply's bytes."""
    return array if array.flags.writeable else array.copy()


def parse_graph_handle(data: bytes, address: str) -> str:
    """The service's name of a graph, 64 hexadecimal digits.

    Raises:
        ServiceError: it does not parse, or names nothing.
    """
    try:
        fingerprint = service_pb2.GraphHandle.FromString(data).fingerprint
    except DecodeError as error:
        raise garbled("graph handle", address, error) from None
    if len(fingerprint) != 32:
        raise ServiceError(
            f"{address} stored a graph under a name of {len(fingerprint)} bytes, not 32; is it a "
            "Pullback server of this version?"
        )
    return fingerprint.hex()
