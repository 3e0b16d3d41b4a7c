"""Tapes over the wire: what is sent arrives to the bit, and what is no tape is a typed error."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.codec import decode_job, decode_tape, encode_job, encode_tape
from pullback_graph.errors import (
    DTypeError,
    GraphError,
    LimitExceeded,
    PullbackError,
    UnknownOp,
    UnsupportedError,
    WireError,
)
from pullback_graph.graph import Input
from pullback_graph.job import Job
from pullback_graph.limits import Limits
from pullback_graph.tape import Tape, TapeOutput
from pullback_graph.types import FLOAT32, FLOAT64, ArrayType
from pullback_graph.want import Gradient, Value, Vjp
from pullback_proto.v1 import tape_pb2


def a_tape(dtype: Any = FLOAT64) -> Tape:
    """y = sin(x0) * 2 + x1 and its operands as a vector, of an input x of two elements."""
    return Tape(
        dtype=dtype,
        inputs=(Input("x", ArrayType(dtype, (2,))),),
        constants=np.array([2.0], dtype),
        ops=("sin", "multiply", "add"),
        opcodes=np.array([0, 1, 2], np.uint16),
        operands=np.array([0, 3, 2, 4, 1], np.uint32),
        outputs=(
            TapeOutput("y", (), np.array([5], np.uint32)),
            TapeOutput("v", (1, 2), np.array([4, 1], np.uint32)),
        ),
    )


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_a_tape_arrives_as_it_was_sent(dtype: Any) -> None:
    """Every column, name and shape; through a message, through bytes, and inside a job."""
    tape = a_tape(dtype)
    data = encode_tape(tape).SerializeToString()
    for made in (decode_tape(encode_tape(tape)), decode_tape(data)):
        assert made == tape
        assert made.fingerprint == tape.fingerprint
        assert [tuple(item)[:2] for item in made.outputs] == [("y", ()), ("v", (1, 2))]
    for want in (Value(), Gradient(("x",), "y"), Vjp(("x",), (("y",),))):
        seeds = ({"y": np.ones((), dtype)},) if isinstance(want, Vjp) else ()
        job = Job(tape, {"x": np.zeros(2, dtype)}, want, seeds, id="7")
        back = decode_job(encode_job(job))
        assert isinstance(back.graph, Tape)
        assert (back.graph, back.want, back.id) == (tape, want, "7")


def test_packed_columns_are_views_of_the_bytes() -> None:
    """A tape of many nodes is not copied column by column, nor can its arrays be written to."""
    tape = decode_tape(encode_tape(a_tape()))
    assert not tape.opcodes.flags.writeable
    assert tape.opcodes.base is not None


def _changed(**fields: Any) -> tape_pb2.Tape:
    message = encode_tape(a_tape())
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(message, name)[:]
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message


def _words(*numbers: int) -> bytes:
    return np.array(numbers, "<u4").tobytes()


FAULTS: tuple[tuple[str, dict[str, Any], Any, str], ...] = (
    ("an opcode cut in two", {"opcodes": b"\0\0\1"}, WireError, "3 bytes are no whole number"),
    ("operands cut", {"operands": b"\0" * 19}, WireError, "tape.operands"),
    ("constants cut", {"constants": b"\0" * 7}, WireError, "tape.constants"),
    ("a forward reference", {"operands": _words(0, 3, 2, 5, 1)}, GraphError, "node 2 add"),
    ("far beyond the end", {"operands": _words(0, 3, 2, 4, 2**32 - 1)}, GraphError, "node 2"),
    ("too few operands", {"operands": _words(0, 3, 2, 4)}, GraphError, r"5 operand\(s\), got 4"),
    ("too many operands", {"operands": _words(0, 3, 2, 4, 1, 1)}, GraphError, "got 6"),
    ("no such opcode", {"opcodes": b"\0\0\3\0\2\0"}, GraphError, "opcode 3"),
    ("an unknown row", {"ops": ["sin", "multiply", "frobnicate"]}, UnknownOp, "frobnicate"),
    ("a row of arrays", {"ops": ["sin", "multiply", "matmul"]}, UnsupportedError, "matmul"),
    ("integers", {"dtype": 5}, DTypeError, "int64"),
    ("no dtype", {"dtype": 0}, DTypeError, "dtype"),
    ("a dtype of tomorrow", {"dtype": 999}, DTypeError, "999"),
    ("another dtype than its input's", {"dtype": 11}, (DTypeError, WireError), ""),
    ("a newer table", {"op_table_version": 10**6}, UnsupportedError, "operator table 1000000"),
    ("no outputs", {"outputs": []}, GraphError, "at least one output"),
)


@pytest.mark.parametrize(
    ("fields", "error", "words"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_what_is_no_tape_is_refused(fields: dict[str, Any], error: Any, words: str) -> None:
    """Each fault has its own class, and its message or field names it."""
    with pytest.raises(error) as caught:
        decode_tape(_changed(**fields))
    assert re.search(words, f"{caught.value.message} {caught.value.field}")


def test_names_are_distinct_and_not_empty() -> None:
    """Of inputs and of outputs; and an output's numbers fill its shape and exist."""
    doubled, unnamed, short, beyond, negative = [encode_tape(a_tape()) for _ in range(5)]
    doubled.outputs[1].name = "y"
    unnamed.inputs[0].name = ""
    short.outputs[1].values = _words(4)
    beyond.outputs[0].values = _words(6)
    negative.inputs[0].type.shape[0] = -2
    for message in (doubled, unnamed, short, beyond):
        with pytest.raises(GraphError):
            decode_tape(message)
    with pytest.raises((GraphError, WireError)):
        decode_tape(negative)


def test_sizes_are_limited_before_anything_is_made() -> None:
    """Nodes, inputs, constants, names; a shape of 2^60 elements is refused by its size."""
    for limits in (
        Limits(max_tape_nodes=2),
        Limits(max_inputs=0),
        Limits(max_outputs=1),
        Limits(max_constants_bytes=7),
        Limits(max_text_length=0),
    ):
        with pytest.raises(LimitExceeded):
            decode_tape(encode_tape(a_tape()), limits)
    vast = encode_tape(a_tape())
    vast.inputs[0].type.shape[0] = 1 << 60
    with pytest.raises(LimitExceeded):
        decode_tape(vast)
    many = _changed(ops=["sin"] * 70_000)
    with pytest.raises(LimitExceeded):
        decode_tape(many)


@given(st.data())
def test_damaged_bytes_are_a_typed_error_or_a_sound_tape(data: st.DataObject) -> None:
    """Whatever a byte is changed to, decoding raises one of our errors or gives a checked tape."""
    sent = bytearray(encode_tape(a_tape()).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    try:
        tape = decode_tape(bytes(sent))
    except PullbackError:
        return
    assert len(tape.opcodes) == 0 or int(tape.operands.max()) < tape.size
