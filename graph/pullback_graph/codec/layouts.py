"""Messages that differ from one seen before in a few places alone: compared, not parsed.

A job that comes again differs in the elements of its arrays, its result in those and in seconds.
Where all other bytes are the same, these stand in the same places, and are read from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from struct import Struct
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from pullback_graph.codec.messages import double_tag, fields_within, length_tag
from pullback_graph.codec.results import PLAIN_METRICS, metric_values
from pullback_graph.job import Job, Metrics, NDArray, Result, Tensor, TensorHash
from pullback_graph.types import BOOL, DType, Shape
from pullback_graph.want import DerivativeKey
from pullback_proto.v1 import job_pb2, metrics_pb2, tensor_pb2

HEAD_BYTES = 34
"""Of a message, from its first byte: where a fingerprint comes first, these hold it."""
MOST_BYTES = 1 << 16
"""Larger messages are parsed: that is the least of what they take."""
KEPT = 1024
"""Heads and sizes of messages that layouts are kept for; all are dropped when there are more."""
KEPT_BYTES = 16 << 20
"""Of the messages that were laid out; all are dropped when they are more."""
KEPT_ALIKE = 4
"""Layouts of one head and size."""

Span = tuple[int, int]
Read = TypeVar("Read")
ReadAs = TypeVar("ReadAs", covariant=True)
Note = TypeVar("Note")


class Layout(Protocol[ReadAs]):
    """How messages of one kind are laid out."""

    def read(self, data: bytes) -> ReadAs | None:
        """What a message says; None where it is laid out in another way."""


class Layouts(Generic[Read, Note]):
    """Layouts of messages that came more than once, each with a note; safe from several threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, int], list[tuple[Layout[Read], Note]]] = {}
        self._bytes = 0

    def find(self, data: bytes) -> tuple[Read, Note] | None:
        """What a message says, and the note of those like it; None where it is to be parsed."""
        for layout, note in self._known.get((data[:HEAD_BYTES], len(data)), ()):
            read = layout.read(data)
            if read is not None:
                return read, note
        return None

    def add(self, data: bytes, make: Callable[[], tuple[Layout[Read], Note] | None]) -> None:
        """Keep a message's layout, if one of its head and size came before.

        Args:
            make: makes it, with its note; None where the message has none.
        """
        if len(data) > MOST_BYTES:
            return
        if len(self._known) >= KEPT or self._bytes > KEPT_BYTES:
            self._known.clear()
            self._bytes = 0
        key = data[:HEAD_BYTES], len(data)
        known = self._known.get(key)
        if known is None:
            self._known[key] = []
            return
        try:
            made = make()
        except LookupError:  # a field of a kind that only protobuf knows
            made = None
        if made is not None:
            self._bytes += len(data)
            self._known[key] = [made, *known[: KEPT_ALIKE - 1]]


class JobLayout:
    """Where the elements of a job's inputs stand."""

    __slots__ = ("_fixed", "_inputs")

    def __init__(self, data: bytes, job: Job, spans: list[Span]) -> None:
        self._fixed = _fixed(data, spans)
        places = iter(spans)
        self._inputs: list[TensorHash | _Elements] = [
            x if isinstance(x, TensorHash) else _Elements.of(x, next(places))
            for x in job.inputs.values()
        ]

    @classmethod
    def of(cls, data: bytes, job: Job) -> JobLayout | None:
        """The layout of a serialised job.

        None where more than its arrays changes from one to the next (an id, seeds), elements are to
        be looked at (bools), or it is spelt in a way that no encoder has.
        """
        arrays = [x for x in job.inputs.values() if not isinstance(x, TensorHash)]
        spans = list(_spans(data, (0, len(data)), _JOB_ELEMENTS))
        if job.id or job.seeds or not _are_elements(spans, arrays):
            return None
        return cls(data, job, spans)

    def read(self, data: bytes) -> list[Tensor] | None:
        """The inputs in order, arrays as views of the bytes; all else is as in the first job."""
        if not _agrees(data, self._fixed):
            return None
        return [x if isinstance(x, TensorHash) else x.view(data) for x in self._inputs]


class ResultLayout:
    """Where the elements of a result's arrays, and the seconds of its metrics, stand."""

    __slots__ = ("_derivatives", "_fixed", "_metrics", "_outputs", "_seconds")

    def __init__(
        self, data: bytes, result: Result, spans: list[Span], seconds: list[tuple[int, Span]]
    ) -> None:
        self._fixed = _fixed(data, sorted([*spans, *[span for _, span in seconds]]))
        self._seconds = [(number, start) for number, (start, _) in seconds]
        self._metrics = metric_values(result.metrics)
        places = iter(spans)
        self._outputs: dict[str, _Elements] = {
            name: _Elements.of(array, next(places)) for name, array in result.outputs.items()
        }
        self._derivatives: dict[DerivativeKey, _Elements] = {
            key: _Elements.of(array, next(places)) for key, array in result.derivatives.items()
        }

    @classmethod
    def of(cls, data: bytes, result: Result) -> ResultLayout | None:
        """The layout of a serialised result.

        None where it holds what differs from one to the next, or is for others to check.
        """
        metrics, whole = result.metrics, (0, len(data))
        arrays = [*result.outputs.values(), *result.derivatives.values()]
        if metrics != Metrics(*metric_values(metrics)):
            return None  # checks found something, or there is a timeline
        if result.id or not all([isinstance(array, np.ndarray) for array in arrays]):
            return None
        spans = [*_spans(data, whole, _OUTPUT_ELEMENTS), *_spans(data, whole, _OTHER_ELEMENTS)]
        seconds = list(_seconds(data))
        is_once = len(dict(seconds)) == len(seconds)
        in_order = sorted(spans) == spans
        if not (is_once and in_order and _are_elements(spans, arrays)):
            return None
        return cls(data, result, spans, seconds)

    def read(self, data: bytes) -> Result | None:
        """The result, its arrays its own."""
        if not _agrees(data, self._fixed):
            return None
        values = self._metrics.copy()
        for number, start in self._seconds:
            (values[number],) = _DOUBLE.unpack_from(data, start)
        return Result(
            {name: place.owned(data) for name, place in self._outputs.items()},
            {key: place.owned(data) for key, place in self._derivatives.items()},
            Metrics(*values),
        )


class _Elements(NamedTuple):
    """Where the elements of an array stand, and what array they are."""

    dtype: DType
    size: int
    start: int
    shape: Shape

    @classmethod
    def of(cls, array: NDArray, span: Span) -> _Elements:
        return cls(array.dtype, array.size, span[0], array.shape)

    def view(self, data: bytes) -> NDArray:
        """The array in a message: a view of its bytes, but where they are not aligned."""
        array = np.frombuffer(data, self.dtype, self.size, self.start)
        if not array.flags.aligned:
            array = array.copy()
            array.flags.writeable = False
        return array if len(self.shape) == 1 else array.reshape(self.shape)

    def owned(self, data: bytes) -> NDArray:
        """The array, not the message's."""
        array = np.frombuffer(data, self.dtype, self.size, self.start).copy()
        return array if len(self.shape) == 1 else array.reshape(self.shape)


_DATA = (
    length_tag(tensor_pb2.NamedTensor.TENSOR_FIELD_NUMBER),
    length_tag(tensor_pb2.Tensor.DATA_FIELD_NUMBER),
)
_JOB_ELEMENTS = (length_tag(job_pb2.Job.INPUTS_FIELD_NUMBER), *_DATA)
"""The way from a job to the elements of an input, by tags; and from a result to those of its."""
_OUTPUT_ELEMENTS = (length_tag(job_pb2.JobResult.OUTPUTS_FIELD_NUMBER), *_DATA)
_OTHER_ELEMENTS = (
    length_tag(job_pb2.JobResult.DERIVATIVES_FIELD_NUMBER),
    length_tag(job_pb2.Derivative.VALUE_FIELD_NUMBER),
    length_tag(tensor_pb2.Tensor.DATA_FIELD_NUMBER),
)
_METRICS = (length_tag(job_pb2.JobResult.METRICS_FIELD_NUMBER),)
_DOUBLE = Struct("<d")
_PLACES = {name: place for place, name in enumerate(PLAIN_METRICS)}
_SECONDS = {
    double_tag(field.number): _PLACES[field.name]
    for field in metrics_pb2.JobMetrics.DESCRIPTOR.fields
    if field.name.endswith("_s") and field.name in _PLACES
}
"""By tag of the metrics, the place of its value among theirs."""


def _spans(data: bytes, within: Span, way: tuple[int, ...]) -> Iterator[Span]:
    """The fields at the end of a way through messages, each from its start to its end."""
    for tag, start, end in fields_within(data, *within):
        if tag == way[0] and len(way) > 1:
            yield from _spans(data, (start, end), way[1:])
        elif tag == way[0]:
            yield start, end


def _seconds(data: bytes) -> Iterator[tuple[int, Span]]:
    """Seconds among the metrics of a serialised result: which, and where they stand."""
    for within in _spans(data, (0, len(data)), _METRICS):
        for tag, start, end in fields_within(data, *within):
            if tag in _SECONDS:
                yield _SECONDS[tag], (start, end)


def _are_elements(spans: Sequence[Span], arrays: Sequence[Any]) -> bool:
    """Whether the spans hold the elements of these arrays, and could hold any others."""
    sizes = [end - start for start, end in spans]
    is_plain = all([x.size and x.dtype != BOOL for x in arrays])
    return is_plain and sizes == [x.nbytes for x in arrays]


def _fixed(data: bytes, spans: Iterable[Span]) -> list[tuple[int, int, bytes]]:
    """The bytes between spans, and where they stand."""
    spans = [(0, 0), *spans, (len(data), len(data))]
    between = [(end, start) for (_, end), (start, _) in pairwise(spans)]
    return [(start, end, data[start:end]) for start, end in between if end > start]


def _agrees(data: bytes, fixed: Iterable[tuple[int, int, bytes]]) -> bool:
    """Whether a message has the same bytes there."""
    return all([data[start:end] == expected for start, end, expected in fixed])
