"""Protobuf's wire form for compiled code: one field at a time, never a byte beyond the end.

Nothing is made of the bytes; what is malformed, or of a kind that no field here has, is tag -1.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pullback_graph.tape.rows import NDArray
from pullback_worker.tape_numba import jit

LENGTH, VARINT, FIXED64 = 2, 0, 1
Whole: TypeAlias = Any
"""An int64, which compiled code makes of Python's and NumPy's whole numbers alike."""


@jit
def varint(data: NDArray, at: int, end: int) -> tuple[Whole, Whole]:
    """The number at a position and the position after it; both -1 where there is none."""
    value, shift = np.int64(0), 0
    while at < end and shift < 63:
        byte = np.int64(data[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    return np.int64(-1), -1


@jit
def field(data: NDArray, at: int, end: int) -> tuple[Whole, Whole, Whole]:
    """Tag, then start and end of a field's content; of a number, the number and where it ends.

    The next field starts at the third. The tag is -1 where no field ends by `end`.
    """
    tag, at = varint(data, at, end)
    if at < 0:
        return np.int64(-1), 0, end
    kind = tag & 7
    if kind == LENGTH:
        size, at = varint(data, at, end)
        if at >= 0 and size <= end - at:
            return tag, at, at + size
    elif kind == VARINT:
        value, at = varint(data, at, end)
        if at >= 0:
            return tag, value, at
    elif kind == FIXED64 and end - at >= 8:
        return tag, at, at + 8
    return np.int64(-1), 0, end


@jit
def word(data: NDArray, at: int) -> Whole:
    """The little-endian uint32 at a position."""
    low = np.int64(data[at]) | np.int64(data[at + 1]) << 8
    return low | np.int64(data[at + 2]) << 16 | np.int64(data[at + 3]) << 24


@jit
def same(data: NDArray, at: int, end: int, other: int, other_end: int) -> bool:
    """Whether two runs of bytes are equal."""
    if end - at != other_end - other:
        return False
    k = 0
    while at + k < end and data[at + k] == data[other + k]:
        k += 1
    return bool(at + k == end)


@jit
def is_ascii(data: NDArray, at: int, end: int) -> bool:
    """Whether all bytes of a run are below 128, so that it is UTF-8 whatever it says."""
    above = np.uint8(0)
    for k in range(at, end):
        above |= data[k]
    return bool(above < 128)


@jit
def shape_size(data: NDArray, at: int, end: int, max_rank: int, max_size: int) -> Whole:
    """How many elements a packed shape has; -1 where it is none, or over the limits."""
    size, rank = np.int64(1), 0
    while at < end:
        length, at = varint(data, at, end)
        if at < 0 or rank == max_rank or length > max_size:
            return np.int64(-1)
        rank += 1
        size *= length
        if size > max_size:
            return np.int64(-1)
    return size


def length_tag(number: int) -> Whole:
    """The tag of a field of that number that has a length: a message, a string, packed numbers.

    Tags are NumPy's int64: for each of Python's own numbers among a function's operands, numba
    would compile it again.
    """
    return np.int64(number << 3 | LENGTH)


def varint_tag(number: int) -> Whole:
    """The tag of a field of that number that is a number."""
    return np.int64(number << 3 | VARINT)


def fixed_tag(number: int) -> Whole:
    """The tag of a field of that number that is a double."""
    return np.int64(number << 3 | FIXED64)
