"""Fingerprints: SHA-256 over canonical bytes of our own. Equal graphs, and only they, print alike.

A graph's canonical bytes are ASCII lines, one a part, with the bytes of constants between them.
NaN is one value, whatever its sign and payload; -0.0 is not 0.0; a constant over LARGE_BYTES stands
for itself by its own hash. Tensors are hashed apart and by the bit: see `tensor_hash`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from struct import pack
from typing import Any

import numpy as np

from pullback_graph.graph import Graph, Node
from pullback_graph.types import DTYPES, DType, as_dtype, real_dtype

VERSION_TAG = b"pullback graph 1\n"
LARGE_BYTES = 1 << 16

DTYPE_NUMBERS: dict[str, int] = {
    "bool": 1,
    "int8": 2,
    "int16": 3,
    "int32": 4,
    "int64": 5,
    "uint8": 6,
    "uint16": 7,
    "uint32": 8,
    "uint64": 9,
    "float32": 11,
    "float64": 12,
    "complex64": 13,
    "complex128": 14,
}
"""The dtypes' numbers on the wire and in tensor hashes; they never change."""
NUMBERS: dict[DType, int] = {DTYPES[name]: number for name, number in DTYPE_NUMBERS.items()}
"""The same by dtype: a look-up of its own, since NumPy takes its time to say a dtype's name."""
_NAMES: dict[DType, str] = {dtype: name for name, dtype in DTYPES.items()}


def fingerprint(graph: Graph) -> str:
    """SHA-256 of the graph's canonical bytes, 64 hexadecimal digits."""
    return hashlib.sha256(b"".join(_canonical(graph))).hexdigest()


def tensor_hash(array: Any) -> str:
    """SHA-256 that names a tensor on the wire, 64 hexadecimal digits; equal hashes, equal bits.

    Over, with every integer little-endian: the dtype's number (uint32), the rank (uint32), each
    size (uint64), then the elements in C order.
    """
    array = little_endian(array)
    shape = array.shape
    header = pack(f"<II{len(shape)}Q", NUMBERS[array.dtype], len(shape), *shape)
    state = hashlib.sha256(header)
    state.update(raw_bytes(array))
    return state.hexdigest()


def little_endian(value: Any) -> np.ndarray[Any, Any]:
    """The array with little-endian elements of a dtype of the language, in C order.

    Raises:
        DTypeError: its dtype is not one of the language.
    """
    array: np.ndarray[Any, Any] = np.asarray(value)
    if array.dtype not in NUMBERS:
        array = array.astype(as_dtype(array.dtype))
    return array if array.flags.c_contiguous else array.copy(order="C")


def raw_bytes(array: np.ndarray[Any, Any]) -> memoryview | bytes:
    """The bytes of a C-ordered array, without a copy where they are many."""
    return array.tobytes() if array.nbytes <= LARGE_BYTES else array.reshape(-1).view(np.uint8).data


# --- the parts ------------------------------------------------------------------------------------


def _canonical(graph: Graph) -> Iterator[bytes]:
    yield VERSION_TAG
    for name, type in graph.inputs:
        shape = tuple([int(size) for size in type.shape])
        yield f"input {name!a} {_NAMES[type.dtype]} {shape}\n".encode()
    for array in graph.constants:
        array = little_endian(array)
        yield f"constant {_NAMES[array.dtype]} {array.shape} ".encode()
        yield _constant_bytes(array)
    yield "".join(map(_node_line, graph.nodes)).encode()
    for name, value in graph.outputs:
        yield f"output {name!a} {value}\n".encode()


def _node_line(node: Node) -> str:
    """`add (0, 1)`, then name and value of each attribute; dtypes print as words."""
    attributes = node.attributes
    if not attributes:
        return f"{node.op.name} {node.operands}\n"
    listed = [f"{name}={_value_text(value)}" for name, value in attributes.items()]
    return f"{node.op.name} {node.operands} {' '.join(listed)}\n"


def _value_text(value: Any) -> str:
    """The value in words: a dtype's name, a subgraph's fingerprint, else as Python writes it."""
    if isinstance(value, Graph):
        return f"graph:{value.fingerprint}"
    if isinstance(value, tuple) and value and isinstance(value[0], Graph):
        return f"({','.join([_value_text(item) for item in value])})"
    return _NAMES[value] if isinstance(value, np.dtype) else ascii(value)


def _constant_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """The elements with one NaN (in each part), or, of a large array, their hash."""
    if array.dtype.kind in "fc":
        parts = array.reshape(-1).view(real_dtype(array.dtype))
        nan = np.isnan(parts)
        if nan.any():
            array = np.where(nan, parts.dtype.type(np.nan), parts)
    if array.nbytes > LARGE_BYTES:
        return b"sha256 " + hashlib.sha256(raw_bytes(array)).digest()
    return b"raw " + array.tobytes()
