"""Results: values, derivatives and metrics. Metrics have the same field names on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from pullback_graph.bad_node import BadNode, ValueRange
from pullback_graph.codec.messages import parsed
from pullback_graph.codec.patterns import decode_pattern, encode_pattern
from pullback_graph.codec.tensors import (
    check_all_read,
    decode_arrays,
    decode_tensor,
    write_tensor,
    write_type,
)
from pullback_graph.codec.wire_arrays import (
    KEPT,
    Piece,
    head,
    length_key,
    named_pieces,
    varint,
)
from pullback_graph.errors import WireError
from pullback_graph.fingerprint import little_endian, raw_bytes
from pullback_graph.job import Metrics, NDArray, Result
from pullback_graph.limits import DEFAULT_LIMITS
from pullback_graph.pattern import SparseArray
from pullback_graph.timeline import TaskSpan
from pullback_graph.types import DType, Shape
from pullback_graph.want import DerivativeKey
from pullback_proto.v1 import job_pb2, metrics_pb2, plan_pb2

_SEQUENCES = ("independent_inputs", "non_finite", "bad_node", "certificate_error", "timeline")
_PHASES: dict[str, Any] = {
    name.removeprefix("PHASE_").lower(): number for name, number in plan_pb2.Phase.items()
}
_PHASE_NAMES = {number: name for name, number in _PHASES.items()}
PLAIN_METRICS = tuple(item.name for item in fields(Metrics) if item.name not in _SEQUENCES)
_plain_values = attrgetter(*PLAIN_METRICS)
_STANDING = (
    "nodes",
    "adjoint_evaluations",
    "flops",
    "peak_bytes",
    "tasks",
    "executor",
    "executor_reason",
    "split",
    "split_reason",
    "mode",
    "mode_reason",
    "program_cache_hit",
    "graph_cache_hit",
    "digest",
    "recompute_factor",
)
"""Metrics that all runs of one prepared job share, `independent_inputs` besides."""
_PASSING = tuple(name for name in PLAIN_METRICS if name not in _STANDING)
_passing_values = attrgetter(*_PASSING)


APART_BYTES = 1 << 20
"""Arrays from this size on leave beside the result, where they may."""
_RESULT_KEY = length_key(job_pb2.JobReply.RESULT_FIELD_NUMBER)


def encode_result(result: Result, standing: bytes = b"") -> bytes:
    """The bytes of a JobResult.

    Args:
        standing: what `encode_standing` gave for metrics that share those of this result; they are
            then not encoded again. A message that comes twice is merged by whoever parses it.
    """
    message = job_pb2.JobResult()
    _write_metrics_beside(message.metrics, result.metrics, standing)
    return b"".join([standing, message.SerializeToString(), *array_pieces(result)])


def encode_result_apart(result: Result, standing: bytes = b"") -> tuple[bytes, list[NDArray]]:
    """The bytes of a JobResult without the elements of its large arrays, and those arrays.

    Args:
        standing: as `encode_result` says.
    """
    message, apart = job_pb2.JobResult(), []
    for name, array in result.outputs.items():
        named = message.outputs.add(name=name)
        apart += _written(named.tensor, array)
    for key, array in result.derivatives.items():
        item = message.derivatives.add()
        _write_derivative(item, key, array)
        apart += _written(item.value, _values(array))
    _write_metrics_beside(message.metrics, result.metrics, standing)
    return standing + message.SerializeToString(), apart


def _written(target: Any, array: Any) -> list[NDArray]:
    """Fill a Tensor; the array, where it is large and its elements are not in there."""
    if array.nbytes < APART_BYTES:
        write_tensor(target, array)
        return []
    write_type(target, array)
    return [array]


def _write_metrics_beside(
    target: metrics_pb2.JobMetrics, metrics: Metrics, standing: bytes
) -> None:
    """Fill in what others of this job do not share, if theirs are there already."""
    if not standing:
        write_metrics(target, metrics)
        return
    _write_passing(target, metrics)
    _write_findings(target, metrics)


def _write_passing(target: metrics_pb2.JobMetrics, metrics: Metrics) -> None:
    for name, value in zip(_PASSING, _passing_values(metrics), strict=True):
        if value:
            setattr(target, name, value)


def passing_metrics(metrics: Metrics, leaving_out: Iterable[str]) -> bytes:
    """The bytes of a JobResult with the metrics that runs of one job do not share, but for some."""
    message = job_pb2.JobResult()
    _write_passing(message.metrics, metrics)
    for name in leaving_out:
        message.metrics.ClearField(name)
    data: bytes = message.SerializeToString()
    return data


def _write_derivative(item: job_pb2.Derivative, key: DerivativeKey, array: Any) -> None:
    """Fill in which derivative it is, and of a sparse one its pattern."""
    item.output, item.input, item.second_input, item.seed = key
    if isinstance(array, SparseArray):
        item.pattern.CopyFrom(encode_pattern(array.pattern))


def _values(array: Any) -> Any:
    return array.values if isinstance(array, SparseArray) else array


def array_pieces(result: Result) -> Iterator[Piece]:
    """The arrays of a JobResult, in order; none that is large is copied."""
    for name, array in result.outputs.items():
        yield from named_pieces(_OUTPUTS, name, array)
    for key, array in result.derivatives.items():
        values = little_endian(_values(array))
        if isinstance(array, SparseArray):
            item = job_pb2.Derivative()
            _write_derivative(item, key, array)
            yield head(_DERIVATIVES, item, _VALUE, values.dtype, values.shape)
        else:
            yield _derivative_head(key, values.dtype, values.shape)
        yield raw_bytes(values)


@lru_cache(KEPT)
def _derivative_head(key: DerivativeKey, dtype: DType, shape: Shape) -> bytes:
    """What stands before the elements of a dense derivative."""
    item = job_pb2.Derivative()
    _write_derivative(item, key, None)
    return head(_DERIVATIVES, item, _VALUE, dtype, shape)


_OUTPUTS = job_pb2.JobResult.OUTPUTS_FIELD_NUMBER
_DERIVATIVES = job_pb2.JobResult.DERIVATIVES_FIELD_NUMBER
_VALUE = job_pb2.Derivative.VALUE_FIELD_NUMBER


def encode_standing(metrics: Metrics) -> bytes:
    """The bytes of a JobResult that holds only the metrics which runs of one job share."""
    message = job_pb2.JobResult()
    for name in _STANDING:
        setattr(message.metrics, name, getattr(metrics, name))
    message.metrics.independent_inputs.extend(metrics.independent_inputs)
    return message.SerializeToString()


def encode_reply(id: str, position: int, result: bytes) -> bytes:
    """The bytes of a JobReply that holds a serialised JobResult, which is not parsed again.

    Fields of a message may come in any order, so the result is put behind the others.
    """
    head = job_pb2.JobReply(id=id, position=position).SerializeToString()
    return b"".join((head, _RESULT_KEY, varint(len(result)), result))


def decode_result(
    data: bytes | job_pb2.JobResult, id: str = "", apart: Sequence[NDArray] = ()
) -> Result:
    """The result of a message or its bytes; the id is the reply's.

    Args:
        apart: arrays that came beside the message: of those without data, in their order.

    Raises:
        WireError: the bytes are no JobResult, or an array's do not decode.
    """
    message, coming = parsed(job_pb2.JobResult, data, "result", DEFAULT_LIMITS), iter(apart)
    outputs = decode_arrays(message.outputs, "outputs", coming)
    derivatives = {
        DerivativeKey(item.output, item.input, item.second_input, item.seed): _derivative(
            item, coming
        )
        for item in message.derivatives
    }
    check_all_read(coming)
    return Result(outputs, derivatives, read_metrics(message.metrics), id)


def _derivative(item: job_pb2.Derivative, apart: Iterator[NDArray]) -> Any:
    """The array of a derivative, or its sparse matrix."""
    value = decode_tensor(item.value, None, "derivatives", apart)
    if not item.HasField("pattern"):
        return value
    pattern = decode_pattern(item.pattern, "derivatives.pattern")
    if value.shape != (pattern.count,):
        raise WireError(
            f"a pattern of {pattern.count} places comes with values of shape {value.shape}",
            field="derivatives.value",
        )
    return SparseArray(pattern, value)


def write_metrics(message: metrics_pb2.JobMetrics, metrics: Metrics) -> None:
    """Fill an empty JobMetrics."""
    for name, value in zip(PLAIN_METRICS, _plain_values(metrics), strict=True):
        if value:
            setattr(message, name, value)
    message.SetInParent()
    if metrics.independent_inputs:
        message.independent_inputs.extend(metrics.independent_inputs)
    _write_findings(message, metrics)


def _write_findings(message: metrics_pb2.JobMetrics, metrics: Metrics) -> None:
    """Fill in what the checks found."""
    for name, count in metrics.non_finite.items():
        message.non_finite.add(name=name, count=count)
    if metrics.certificate_error is not None:
        message.certificate_error = metrics.certificate_error
    if metrics.bad_node is not None:
        phase, node, op, ran, operands, inside = metrics.bad_node
        ranges = [metrics_pb2.ValueRange(type=t, low=low, high=high) for t, low, high in operands]
        found = metrics_pb2.BadNode(
            phase=phase, node=node, op=op, ran=ran, operands=ranges, inside=inside
        )
        message.bad_node.CopyFrom(found)
    for span in metrics.timeline:
        message.timeline.add(**{**span._asdict(), "phase": _PHASES[span.phase]})


def _read_bad_node(message: metrics_pb2.JobMetrics) -> BadNode | None:
    if not message.HasField("bad_node"):
        return None
    found = message.bad_node
    ranges = [ValueRange(item.type, item.low, item.high) for item in found.operands]
    return BadNode(found.phase, found.node, found.op, found.ran, tuple(ranges), found.inside)


def _read_span(message: metrics_pb2.TaskSpan) -> TaskSpan:
    """A span; a phase without a name is a newer server's, and shown as its number."""
    phase = _PHASE_NAMES.get(message.phase, str(message.phase))
    return TaskSpan(
        message.task,
        phase,
        message.worker,
        message.start_s,
        message.end_s,
        message.attempts,
        message.executor,
        message.compiling_s,
        message.transferring_s,
    )


def encode_metrics(metrics: Metrics) -> bytes:
    """The bytes of a JobMetrics."""
    message = metrics_pb2.JobMetrics()
    write_metrics(message, metrics)
    data: bytes = message.SerializeToString()
    return data


def metric_values(metrics: Metrics) -> list[Any]:
    """What metrics are made of, in order, but for what the checks found."""
    return [*_plain_values(metrics), metrics.independent_inputs]


def read_metrics(message: metrics_pb2.JobMetrics) -> Metrics:
    """The metrics of a message."""
    values: list[Any] = [*_plain_values(message)]  # in the order of Metrics' own fields
    values.append(tuple(message.independent_inputs))
    values.append({item.name: item.count for item in message.non_finite})
    values.append(_read_bad_node(message))
    has_error = message.HasField("certificate_error")
    values.append(message.certificate_error if has_error else None)
    values.append(tuple([_read_span(span) for span in message.timeline]))
    return Metrics(*values)
