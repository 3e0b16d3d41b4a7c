"""Jobs to bytes, fast: what repeats is encoded once. Serialised messages join by concatenation.

A job is its head (graph, want, options: the same call after call, kept whole) and its arrays.
Everything else goes through the codec, whose bytes these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback.remote.passing import NOTHING, Passed
from pullback.remote.remote_tensor import RemoteTensor
from pullback.remote.sent import Entry
from pullback_graph.codec import encode_job
from pullback_graph.codec.tensors import encode_named, write_type
from pullback_graph.codec.wire_arrays import Piece, named_pieces
from pullback_graph.errors import InputError, PullbackError
from pullback_graph.fingerprint import little_endian
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, NDArray, TensorHash
from pullback_graph.tape import Tape
from pullback_graph.types import DType
from pullback_proto.v1 import job_pb2


class Apart(NamedTuple):
    """An input whose elements travel beside the job."""

    array: NDArray


Prepared: TypeAlias = "NDArray | TensorHash | Apart"
"""An input as it travels: whole, by name, or its type alone."""

_WITHOUT_ELEMENTS = (TensorHash, Apart)
_KEPT = 4096
"""Heads kept; all are dropped when there are more."""


class Request(NamedTuple):
    """A serialised job, and what the service must hold to understand it.

    Attributes:
        entries: what it names rather than carries.
        carries: fingerprint of the graph it carries, or empty.
        passing: inputs that travel with it and are not stored.
    """

    data: bytes
    entries: tuple[Entry, ...] = ()
    carries: str = ""
    passing: Passed = NOTHING


def as_passed(passed: Passed) -> dict[str, Prepared]:
    """Inputs as they travel with a job."""
    beside = bool(passed.apart)
    return {key: Apart(array) if beside else array for key, array in passed.arrays.items()}


class JobEncoder:
    """Encodes jobs whose arrays are `Prepared`. Thread-safe: what it keeps is never changed."""

    def __init__(self) -> None:
        self._heads: dict[Any, bytes] = {}

    def named(self, name: str, job: Job, inputs: Mapping[str, Prepared]) -> bytes:
        """A job whose graph is named, not carried.

        Raises:
            RequestError: something does not fit the wire.
        """
        if job.seeds:
            return self._whole(GraphHash(name), job, inputs)
        parts: list[Piece] = [self._head(name, job)]
        for key, value in inputs.items():
            parts += _pieces(key, value)
        if job.id:
            parts.append(job_pb2.Job(id=job.id).SerializeToString())
        return b"".join(parts)

    def carrying(self, graph: Graph | Tape, job: Job, inputs: Mapping[str, Prepared]) -> bytes:
        """A job with its graph inside.

        Raises:
            RequestError: something does not fit the wire.
        """
        return self._whole(graph, job, inputs)

    def _whole(
        self, graph: Graph | Tape | GraphHash, job: Job, inputs: Mapping[str, Prepared]
    ) -> bytes:
        inside = {key: value for key, value in inputs.items() if not isinstance(value, Apart)}
        data = encode_job(Job(graph, inside, job.want, job.seeds, job.options, job.id))
        apart = [(key, value) for key, value in inputs.items() if isinstance(value, Apart)]
        return data + b"".join([_without_elements(key, value) for key, value in apart])

    def _head(self, name: str, job: Job) -> bytes:
        key = (name, job.want, job.options)
        head = self._heads.get(key)
        if head is None:
            head = encode_job(Job(GraphHash(name), {}, job.want, (), job.options))
            _keep(self._heads, key, head)
        return head


def as_tensor(
    name: str, value: Any, graph: Graph | Tape | GraphHash, *, of_output: bool = False
) -> NDArray | TensorHash | RemoteTensor:
    """An input or seed as an array or a handle; Python's numbers and lists take the graph's dtype.

    Args:
        of_output: whether `name` is an output's, as the names of a vjp's seeds are.

    Raises:
        InputError: it is no array of numbers.
    """
    if type(value) is np.ndarray or isinstance(value, TensorHash | RemoteTensor):
        return value
    if not isinstance(value, bool | int | float | complex | list | tuple):
        return as_array(name, value)
    dtype = None if isinstance(graph, GraphHash) else _dtype_of(name, graph, of_output)
    if type(value) is float and dtype is not None and dtype.kind == "f":
        return np.asarray(value, dtype)
    return as_array(name, value, dtype)


def _dtype_of(name: str, graph: Graph | Tape, of_output: bool) -> DType | None:
    if isinstance(graph, Tape):
        return graph.dtype
    if of_output:
        for output in graph.outputs:
            if output.name == name:
                return graph.types[output.value].dtype
    for item in graph.inputs:
        if item.name == name:
            return item.type.dtype
    return None


def as_array(name: str, value: Any, dtype: DType | None = None) -> NDArray:
    """The array of numbers that `value` is, of that dtype where no kind of number is lost.

    Raises:
        InputError: it is none.
    """
    try:
        array = np.asarray(value)
        if dtype is not None and np.can_cast(array.dtype, dtype, "same_kind"):
            array = np.asarray(value, dtype)
    except PullbackError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name!r} is no array: {error}; pass numbers or arrays", field=f"inputs.{name}"
        ) from None
    if array.dtype.kind in "OSUV":
        raise InputError(
            f"{name!r} is a {type(value).__name__} and no array of numbers; pass numbers or arrays",
            field=f"inputs.{name}",
        )
    return array


def _pieces(name: str, value: Prepared) -> Sequence[Piece]:
    """The bytes of an input, to be joined."""
    if isinstance(value, _WITHOUT_ELEMENTS):
        return (_without_elements(name, value),)
    try:
        return named_pieces(job_pb2.Job.INPUTS_FIELD_NUMBER, name, value)
    except ValueError as error:
        raise _unfit_name(name, error) from None


def _without_elements(name: str, value: TensorHash | Apart) -> bytes:
    """An input that is named, or whose elements travel beside the job."""
    message = job_pb2.Job()
    try:
        item = message.inputs.add()
        if isinstance(value, Apart):
            item.name = name
            write_type(item.tensor, little_endian(value.array))
        else:
            encode_named(item, name, value)
    except ValueError as error:
        raise _unfit_name(name, error) from None
    return message.SerializeToString()


def _unfit_name(name: str, error: ValueError) -> InputError:
    return InputError(f"the input name {name!r} does not fit the wire: {error}")


def _keep(kept: dict[Any, bytes], key: Any, value: bytes) -> None:
    if len(kept) >= _KEPT:
        kept.clear()
    kept[key] = value
