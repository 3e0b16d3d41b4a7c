"""Results of one kind, written without protobuf: they differ in elements and some seconds alone."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from struct import Struct

from pullback_graph.codec.messages import double_tag
from pullback_graph.codec.results import array_pieces, passing_metrics
from pullback_graph.codec.wire_arrays import Piece, length_key, varint
from pullback_graph.job import Metrics, NDArray, Result
from pullback_proto.v1 import job_pb2, metrics_pb2

_DOUBLE_BYTES = 8


class ResultForm:
    """Writes results that have the arrays of one before, and its metrics but for some seconds.

    Args:
        standing: what `encode_standing` gave for its metrics.
    """

    __slots__ = ("_between", "_heads", "_seconds", "_seconds_of")

    def __init__(self, result: Result, standing: bytes) -> None:
        ran = "fused_s" if result.derivatives else "forward_s"
        names = ("queued_s", ran, "total_s")
        others = passing_metrics(result.metrics, leaving_out=names)
        tags = [_tag(name) for name in names]
        size_bytes = sum([len(tag) + _DOUBLE_BYTES for tag in tags])
        key = length_key(job_pb2.JobResult.METRICS_FIELD_NUMBER) + varint(size_bytes)
        self._between = [standing + others + key + tags[0], *tags[1:]]
        self._seconds = Struct("<" + "".join([f"{len(part)}sd" for part in self._between]))
        self._seconds_of = attrgetter(*names)
        self._heads = list(array_pieces(result))[::2]

    def encode(self, arrays: Sequence[NDArray], metrics: Metrics) -> bytes:
        """The bytes of a JobResult: its values, then its derivatives."""
        first, second, third = self._between
        queued_s, ran_s, total_s = self._seconds_of(metrics)
        pieces: list[Piece] = [self._seconds.pack(first, queued_s, second, ran_s, third, total_s)]
        for head, array in zip(self._heads, arrays, strict=True):
            pieces += (head, array.tobytes())
        return b"".join(pieces)


def _tag(name: str) -> bytes:
    return varint(double_tag(metrics_pb2.JobMetrics.DESCRIPTOR.fields_by_name[name].number))
