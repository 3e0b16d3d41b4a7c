"""Fingerprints and tensor hashes: equal for equals, different for anything else."""

from __future__ import annotations

import hashlib
from struct import pack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.builder import Builder
from pullback_graph.codec import decode_graph, encode_graph
from pullback_graph.errors import DTypeError
from pullback_graph.fingerprint import DTYPE_NUMBERS, LARGE_BYTES, tensor_hash
from pullback_graph.graph import Graph
from pullback_graph.ref import do
from pullback_graph.text import parse, to_text
from pullback_graph.types import DTYPE_NAMES, DTYPES
from pullback_proto.v1 import tensor_pb2
from tests.graph.random_graphs import graphs, random_graph

BASE = """graph(x: float64[2], y: float64[2]) {
  %2 = constant float64[] 0.0
  %3 = multiply(x, y)
  %4 = add(%3, %2)
  %5 = sum(%4, axes=(0,), keepdims=false)
  return z = %5
}"""
CHANGES = {
    "an input's name": ("graph(x: float64[2], y:", "graph(x: float64[2], v:", "(x, y)", "(x, v)"),
    "an input's dtype": ("float64", "float32"),
    "an input's shape": ("float64[2]", "float64[3]"),
    "the inputs' order": ("x: float64[2], y: float64[2]", "y: float64[2], x: float64[2]"),
    "a constant's value": ("[] 0.0", "[] 1.0"),
    "a constant's sign of zero": ("[] 0.0", "[] -0.0"),
    "a constant's shape": ("float64[] 0.0", "float64[1] [0.0]"),
    "an operator": ("multiply", "subtract"),
    "an operand": ("add(%3, %2)", "add(%3, y)"),
    "the operands' order": ("multiply(x, y)", "multiply(y, x)"),
    "an attribute": ("keepdims=false", "keepdims=true"),
    "an output's name": ("return z", "return v"),
    "an output's value": ("z = %5", "z = %4"),
    "one output more": ("z = %5", "z = %5, v = %4"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_part_counts(change: str) -> None:
    """A graph that differs in any one part has another fingerprint."""
    text, *pairs = BASE, *CHANGES[change]
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    assert parse(text) != parse(BASE)


@given(graphs(special=True))
def test_equal_graphs_print_alike(graph: Graph) -> None:
    """A graph's fingerprint is the same after the wire and after the text form."""
    fingerprint = graph.fingerprint
    assert decode_graph(encode_graph(graph).SerializeToString()).fingerprint == fingerprint
    assert parse(to_text(graph)).fingerprint == fingerprint
    assert len(fingerprint) == 64


@given(st.integers(0, 300), st.integers(0, 300))
def test_graphs_print_alike_only_if_they_are_equal(one: int, other: int) -> None:
    """Fingerprints are equal just where the exact texts are."""
    first, second = random_graph(one), random_graph(other)
    assert (first.fingerprint == second.fingerprint) == (to_text(first) == to_text(second))


@pytest.mark.parametrize("size", [1, LARGE_BYTES])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_one_value_and_zero_has_a_sign(dtype: str, size: int) -> None:
    """NaN of any sign and payload prints alike, -0.0 and 0.0 do not; hashed apart or not."""
    plain = np.full(size, np.nan, dtype)
    other = plain.copy()
    other.view(f"u{other.itemsize}")[:] |= 1 << (8 * other.itemsize - 1) | 5
    assert plain.tobytes() != other.tobytes()
    assert _holding(plain) == _holding(other)
    assert _holding(np.zeros(size, dtype)) != _holding(-np.zeros(size, dtype))


def test_float_attributes_have_one_nan() -> None:
    """NaN attributes of any sign and payload print alike; signs of zero do not."""
    nans = np.array([0x7FF8000000000000, 0xFFF8000000000001], "u8").view("f8")
    first, second = (_shifted(float(nan)) for nan in nans)
    assert first == second
    assert _shifted(0.0) != _shifted(-0.0)


def test_a_large_constant_counts_to_its_last_element() -> None:
    """A constant over the size at which it is hashed apart still counts whole, with its type."""
    array = np.zeros(LARGE_BYTES)
    changed = array.copy()
    changed[-1] = 1
    assert _holding(array) != _holding(changed)
    assert _holding(array) != _holding(array.reshape(2, -1))
    assert _holding(array) != _holding(array.view(np.int64))
    assert _holding(array) == _holding(array.copy())


def test_layout_does_not_count() -> None:
    """Byte order and strides of a constant are not part of the graph."""
    array = np.arange(6.0).reshape(2, 3)
    assert _holding(array) == _holding(array.astype(">f8"))
    assert _holding(array) == _holding(np.asfortranarray(array))


def test_tensor_hash_is_what_the_wire_says() -> None:
    """A tensor's hash is SHA-256 of number, rank, sizes and elements, all little-endian."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    header = pack("<IIQQ", tensor_pb2.DTYPE_FLOAT32, 2, 2, 3)
    assert tensor_hash(array) == hashlib.sha256(header + array.tobytes()).hexdigest()
    assert tensor_hash(array.astype(">f4")) == tensor_hash(array)
    assert tensor_hash(np.asfortranarray(array)) == tensor_hash(array)
    large = np.arange(LARGE_BYTES, dtype=np.int16)[::2]
    header = pack("<IIQ", tensor_pb2.DTYPE_INT16, 1, large.size)
    assert tensor_hash(large) == hashlib.sha256(header + large.tobytes()).hexdigest()


def test_tensor_hashes_tell_bits_apart() -> None:
    """Shape, dtype, sign of zero and NaN payload all count."""
    arrays = [
        np.zeros(2),
        -np.zeros(2),
        np.zeros((2, 1)),
        np.zeros(2, np.int64),
        np.zeros(4, np.float32),
        np.array([np.nan, 0]),
        np.array([-np.nan, 0]),
        np.zeros(0),
        np.zeros(()),
        np.zeros((0, 1)),
    ]
    assert len({tensor_hash(array) for array in arrays}) == len(arrays)


def test_tensor_hash_refuses_foreign_dtypes() -> None:
    """An array of a dtype that the language has not is DTypeError."""
    with pytest.raises(DTypeError, match="float16"):
        tensor_hash(np.zeros(1, np.float16))


def test_dtype_numbers_are_the_wire_s() -> None:
    """The numbers in hashes are those of the wire's DType, one for each dtype of the language."""
    assert set(DTYPE_NUMBERS) == set(DTYPE_NAMES) == set(DTYPES)
    for name, number in DTYPE_NUMBERS.items():
        assert tensor_pb2.DType.Value(f"DTYPE_{name.upper()}") == number


def _holding(array: np.ndarray) -> str:
    builder = Builder()
    return builder.build({"z": builder.constant(array)}).fingerprint


def _shifted(fill: float) -> str:
    builder = Builder()
    x = builder.constant(np.zeros(3))
    return builder.build({"z": do.shift(x, axis=0, offset=1, fill=fill)}).fingerprint


def test_complex_constants_have_one_nan_in_each_part() -> None:
    """NaN is one value in either part, and zeros of either part keep their sign."""

    def of(*values: complex) -> str:
        builder = Builder()
        return builder.build({"z": builder.constant(np.array(values))}).fingerprint

    nan = float("nan")
    assert of(complex(nan, 1)) == of(complex(-nan, 1)) != of(complex(1, nan))
    zeros = {of(complex(a, b)) for a in (0.0, -0.0) for b in (0.0, -0.0)}
    assert len(zeros) == 4
    assert of(*[complex(nan, 1)] * 5000) == of(*[complex(-nan, 1)] * 5000)
