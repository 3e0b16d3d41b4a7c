"""Writing protobuf's wire form in compiled code. `put_*` give the position after what they put.

Room is the caller's to see to: `*_size` say how much each takes.
"""

from __future__ import annotations

import numpy as np

from pullback_graph.tape.rows import NDArray
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import Whole


@jit
def varint_size(number: int) -> Whole:
    """Bytes of a number."""
    size = 1
    while number > 127:
        number >>= 7
        size += 1
    return size


@jit
def framed_size(tag: int, size: int) -> Whole:
    """Bytes of a field with a length: tag, length and content."""
    return varint_size(tag) + varint_size(size) + size


@jit
def text_size(tag: int, size: int) -> Whole:
    """Bytes of a text or of bytes, which are left out where they are empty."""
    return framed_size(tag, size) if size else 0


@jit
def number_size(tag: int, number: int) -> Whole:
    """Bytes of a number's field, which is left out where it is zero."""
    return varint_size(tag) + varint_size(number) if number else 0


@jit
def put_varint(out: NDArray, at: int, number: int) -> Whole:
    """A number, seven bits a byte, the lowest first."""
    while number > 127:
        out[at] = number & 127 | 128
        number >>= 7
        at += 1
    out[at] = number
    return at + 1


@jit
def put_head(out: NDArray, at: int, tag: int, size: int) -> Whole:
    """Tag and length of a field whose content comes next."""
    return put_varint(out, put_varint(out, at, tag), size)


@jit
def put_number(out: NDArray, at: int, tag: int, number: int) -> Whole:
    """A number's field."""
    return put_varint(out, put_varint(out, at, tag), number) if number else at


@jit
def put_bytes(out: NDArray, at: int, source: NDArray, first: int, last: int) -> Whole:
    """A run of bytes."""
    for k in range(last - first):
        out[at + k] = source[first + k]
    return at + last - first


@jit
def put_text(out: NDArray, at: int, tag: int, source: NDArray, first: int, last: int) -> Whole:
    """A field whose content is a run of bytes."""
    if first == last:
        return at
    return put_bytes(out, put_head(out, at, tag, last - first), source, first, last)


@jit
def put_double(out: NDArray, at: int, tag: int, number: float) -> Whole:
    """A double's field."""
    at = put_varint(out, at, tag)
    bits = np.float64(number).view(np.uint64)
    for k in range(8):
        out[at + k] = bits >> np.uint64(8 * k) & np.uint64(255)
    return at + 8
