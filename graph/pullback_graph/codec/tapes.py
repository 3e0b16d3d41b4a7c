"""Tapes: packed arrays, read and written whole. No step here walks over single scalars or nodes.

Lengths and limits are checked before anything is made; `pullback_graph.tape.check` sees to numbers,
operators and names.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from pullback_graph.codec.messages import parsed
from pullback_graph.codec.tensors import decode_dtype
from pullback_graph.codec.wants import want_bytes
from pullback_graph.errors import GraphError, UnsupportedError, WireError
from pullback_graph.fingerprint import NUMBERS
from pullback_graph.graph import Input
from pullback_graph.job import NDArray
from pullback_graph.limits import DEFAULT_LIMITS, Limits
from pullback_graph.table import OP_TABLE_VERSION
from pullback_graph.tape import Tape, TapeOutput, check
from pullback_graph.types import ArrayType, DType, Shape
from pullback_graph.want import Want
from pullback_proto.v1 import tape_pb2

OPCODE, NUMBER = np.dtype("<u2"), np.dtype("<u4")
"""Elements of the packed columns: an index into the tape's `ops`, and the number of a scalar."""
NAMED_BYTES = 1 << 16
"""A tape of this many bytes is kept by a server, and named when it comes again."""
DIGEST_DIGITS = 16


def encode_tape(tape: Tape) -> tape_pb2.Tape:
    """The message of a tape.

    Raises:
        GraphError: a name or a size does not fit the wire.
    """
    message = tape_pb2.Tape()
    write_tape(message, tape)
    return message


def write_tape(message: tape_pb2.Tape, tape: Tape) -> None:
    """Fill an empty message with a tape."""
    dtype: Any = NUMBERS[tape.dtype]
    message.dtype = dtype
    message.op_table_version = OP_TABLE_VERSION
    try:
        for name, type in tape.inputs:
            message.inputs.add(name=name, type={"dtype": NUMBERS[type.dtype], "shape": type.shape})
        message.ops.extend(tape.ops)
        for name, shape, values in tape.outputs:
            data = np.ascontiguousarray(values, NUMBER).tobytes()
            message.outputs.add(name=name, shape=shape, values=data)
        message.constants = np.ascontiguousarray(tape.constants, _little(tape.dtype)).tobytes()
        message.opcodes = np.ascontiguousarray(tape.opcodes, OPCODE).tobytes()
        message.operands = np.ascontiguousarray(tape.operands, NUMBER).tobytes()
    except ValueError as error:
        raise GraphError(f"a name or size does not fit the wire: {error}") from None


def decode_tape(
    data: bytes | tape_pb2.Tape, limits: Limits | None = None, field: str = "tape"
) -> Tape:
    """The tape of a message or its bytes, checked; its arrays are read-only views of the bytes.

    Raises:
        WireError: the bytes are no Tape, or a packed column is cut within an element.
        GraphError: a forward reference, a bad number, a name that is empty or doubled; or one of
            its kinds, UnknownOp and ArityError.
        DTypeError: the dtype is none that tapes compute in.
        LimitExceeded: more is asked than `limits` (by default, the usual ones) allow.
        UnsupportedError: it was made with a newer operator table, or a row is not for scalars.
    """
    limits = limits or DEFAULT_LIMITS
    message = parsed(tape_pb2.Tape, data, field, limits)
    _check_counts(message, limits, field)
    dtype = decode_dtype(message.dtype, f"{field}.dtype")
    tape = Tape(
        dtype=dtype,
        inputs=_inputs(message, limits, field),
        constants=_column(message.constants, _little(dtype), f"{field}.constants"),
        ops=tuple(message.ops),
        opcodes=_column(message.opcodes, OPCODE, f"{field}.opcodes"),
        operands=_column(message.operands, NUMBER, f"{field}.operands"),
        outputs=_outputs(message, limits, field),
    )
    check(tape)
    return tape


def tape_digest(tape: Tape, want: Want) -> str:
    """Sixteen hexadecimal digits that name a tape, as sent, and a want without seeds' arrays."""
    parts = encode_tape(tape).SerializeToString(), want_bytes(want)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:DIGEST_DIGITS]


# --- parts ----------------------------------------------------------------------------------------


def _check_counts(message: Any, limits: Limits, field: str) -> None:
    version = message.op_table_version
    if version > OP_TABLE_VERSION:
        raise UnsupportedError(
            f"the tape was made with operator table {version}, this is {OP_TABLE_VERSION}; "
            "update the server, or send from an older client",
            field=f"{field}.op_table_version",
        )
    nodes = len(message.opcodes) // OPCODE.itemsize
    limits.check("max_tape_nodes", nodes, "nodes in a tape", f"{field}.opcodes")
    limits.check("max_inputs", len(message.inputs), "inputs", f"{field}.inputs")
    limits.check("max_outputs", len(message.outputs), "outputs", f"{field}.outputs")
    size_bytes = len(message.constants)
    limits.check("max_constants_bytes", size_bytes, "bytes of constants", f"{field}.constants")


def _inputs(message: Any, limits: Limits, field: str) -> tuple[Input, ...]:
    inputs = []
    for position, item in enumerate(message.inputs):
        place = f"{field}.inputs[{position}]"
        limits.check("max_text_length", len(item.name), "characters in a name", place)
        type = item.type
        dtype, shape = decode_dtype(type.dtype, place), tuple(type.shape)
        limits.check_tensor(shape, place)
        inputs.append(Input(item.name, ArrayType(dtype, shape)))
    return tuple(inputs)


def _outputs(message: Any, limits: Limits, field: str) -> tuple[TapeOutput, ...]:
    outputs = []
    for position, item in enumerate(message.outputs):
        place = f"{field}.outputs[{position}]"
        limits.check("max_text_length", len(item.name), "characters in a name", place)
        shape: Shape = tuple(item.shape)
        limits.check_tensor(shape, place)
        outputs.append(TapeOutput(item.name, shape, _column(item.values, NUMBER, place)))
    return tuple(outputs)


def _column(data: bytes, dtype: DType, field: str) -> NDArray:
    """A packed column as an array: a view of its bytes.

    Raises:
        WireError: the bytes are no whole number of elements.
    """
    if len(data) % dtype.itemsize:
        raise WireError(
            f"{len(data)} bytes are no whole number of elements of {dtype.itemsize} bytes",
            field=field,
        )
    array = np.frombuffer(data, dtype)
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array


def _little(dtype: DType) -> DType:
    return dtype.newbyteorder("<")
