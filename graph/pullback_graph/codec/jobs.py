"""Jobs: bytes to a Job and back. A oneof that decides what is computed must be set."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from pullback_graph.codec.graphs import decode_graph, write_graph
from pullback_graph.codec.messages import parsed
from pullback_graph.codec.tapes import decode_tape, write_tape
from pullback_graph.codec.tensors import (
    check_all_read,
    decode_hex,
    decode_named,
    encode_hex,
    encode_named,
)
from pullback_graph.codec.wants import decode_want, encode_want
from pullback_graph.errors import InputError, RequestError, UnsupportedError
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, NDArray, Options, Split
from pullback_graph.limits import DEFAULT_LIMITS, Limits
from pullback_graph.tape import Tape
from pullback_graph.want import SPARSE
from pullback_proto.v1 import job_pb2

FEATURES: frozenset[str] = frozenset({SPARSE})
"""What Job.required_features may name: features added after the wire's first version."""

_AUTO = "auto"
_SPLITS = {_AUTO: 0, "none": 1, "shard": 2, "branch": 3, "stage": 4}
_SPLIT_NAMES = {number: name for name, number in _SPLITS.items()}
_CHECKS = {"none": 0, "finite": 1, "report": 2}
_CHECK_NAMES = {number: name for name, number in _CHECKS.items()}
_DEFAULT_OPTIONS = Options()


def encode_job(job: Job) -> bytes:
    """The bytes of a job.

    Raises:
        RequestError: something in it does not fit the wire.
    """
    message = job_pb2.Job(id=job.id)
    if isinstance(job.graph, GraphHash):
        message.fingerprint = decode_hex(job.graph.fingerprint, "fingerprint")
    elif isinstance(job.graph, Tape):
        message.tape.SetInParent()
        write_tape(message.tape, job.graph)
    else:
        message.graph.SetInParent()
        write_graph(message.graph, job.graph)
    for name, tensor in job.inputs.items():
        encode_named(message.inputs.add(), name, tensor)
    encode_want(message, job.want, job.seeds)
    message.required_features.extend(job.want.features)
    if job.options != _DEFAULT_OPTIONS:
        message.options.SetInParent()
        _encode_options(message.options, job.options)
    return message.SerializeToString()


def decode_job(
    data: bytes | job_pb2.Job, limits: Limits | None = None, apart: Sequence[NDArray] = ()
) -> Job:
    """The job of a message or its bytes.

    Args:
        apart: arrays that came beside the message: of inputs without data, in their order.

    Raises:
        WireError: the bytes are no Job, or a tensor's do not decode.
        InputError: no graph or no want is set, or a name is given twice.
        UnsupportedError: it asks for what this version does not offer.
        GraphError, ShapeError, DTypeError, LimitExceeded: as `decode_graph` and `decode_tape` say.
    """
    limits = limits or DEFAULT_LIMITS
    message = parsed(job_pb2.Job, data, "job", limits)
    if message.required_features:
        _check_features(message.required_features)
    limits.check("max_inputs", len(message.inputs), "inputs", "inputs")
    want, seeds = decode_want(message, limits)
    coming = iter(apart)
    inputs = decode_named(message.inputs, limits, "inputs", coming)
    check_all_read(coming)
    return Job(
        graph=_decode_computation(message, limits),
        inputs=inputs,
        want=want,
        seeds=seeds,
        options=_decode_options(message.options)
        if message.HasField("options")
        else _DEFAULT_OPTIONS,
        id=message.id,
    )


def _decode_computation(message: Any, limits: Limits) -> Graph | Tape | GraphHash:
    which = message.WhichOneof("computation")
    if which == "fingerprint":
        return GraphHash(encode_hex(message.fingerprint, "fingerprint"))
    if which == "graph":
        return decode_graph(message.graph, limits)
    if which == "tape":
        return decode_tape(message.tape, limits)
    raise InputError("the job has no graph; set graph, tape or fingerprint", field="graph")


def _check_features(names: Any) -> None:
    for name in names:
        if name not in FEATURES:
            raise UnsupportedError(
                f"feature {name[:80]!r} is not known here; update the server, or do without",
                field="required_features",
            )


def _encode_options(message: Any, options: Options) -> None:
    if options.deadline_s is not None:
        message.deadline_s = options.deadline_s
    if options.memory_cap_bytes is not None:
        message.memory_cap_bytes = options.memory_cap_bytes
    message.priority = options.priority
    message.executor = "" if options.executor == _AUTO else options.executor
    message.device = "" if options.device == _AUTO else options.device
    message.reproducible = options.reproducible
    message.check = _number(_CHECKS, options.check, "options.check")
    message.certificate = options.certificate
    message.timeline = options.timeline
    message.split.kind = _number(_SPLITS, options.split.kind, "options.split.kind")
    message.split.count = options.split.count


def _decode_options(message: Any) -> Options:
    deadline_s = message.deadline_s if message.HasField("deadline_s") else None
    if deadline_s is not None and not isfinite(deadline_s):
        raise RequestError(
            f"a deadline of {deadline_s} s; give a number of seconds", field="options.deadline_s"
        )
    cap_bytes = message.memory_cap_bytes if message.HasField("memory_cap_bytes") else None
    split = message.split
    return Options(
        deadline_s=deadline_s,
        priority=message.priority,
        executor=message.executor or _AUTO,
        device=message.device or _AUTO,
        split=Split(_name(_SPLIT_NAMES, split.kind, "options.split.kind"), split.count),
        reproducible=message.reproducible,
        memory_cap_bytes=cap_bytes,
        check=_name(_CHECK_NAMES, message.check, "options.check"),
        certificate=message.certificate,
        timeline=message.timeline,
    )


def _number(numbers: dict[str, int], name: str, field: str) -> int:
    if name not in numbers:
        raise RequestError(f"{name!r} is not one of {', '.join(numbers)}", field=field)
    return numbers[name]


def _name(names: dict[int, str], number: int, field: str) -> str:
    if number not in names:
        known = ", ".join(f"{key} ({name})" for key, name in names.items())
        raise UnsupportedError(f"{number} is not one of {known}; update the server", field=field)
    return names[number]
