"""The second pass, of a job that holds a Tape: its packed columns copied, every node checked."""

from __future__ import annotations

import numpy as np

from pullback_graph.table import OP_TABLE_VERSION
from pullback_graph.tape.rows import NO_ROW, NDArray
from pullback_graph.types import MAX_RANK
from pullback_proto.v1 import tape_pb2
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import Whole, field, length_tag, shape_size, varint_tag, word
from pullback_worker.tape_wire_layout import MAX_OPS, Packed, RowTable
from pullback_worker.tape_wire_sides import (
    MAX_ELEMENTS,
    NAME,
    copy_constants,
    gathers_exist,
    input_scalars,
    row_of,
    scan_input,
    take_name,
)

_TAPE = tape_pb2.Tape
_DTYPE = varint_tag(_TAPE.DTYPE_FIELD_NUMBER)
_VERSION = varint_tag(_TAPE.OP_TABLE_VERSION_FIELD_NUMBER)
_INPUTS, _OPS = length_tag(_TAPE.INPUTS_FIELD_NUMBER), length_tag(_TAPE.OPS_FIELD_NUMBER)
_OUTPUTS = length_tag(_TAPE.OUTPUTS_FIELD_NUMBER)
_CONSTANTS = length_tag(_TAPE.CONSTANTS_FIELD_NUMBER)
_OPCODES = length_tag(_TAPE.OPCODES_FIELD_NUMBER)
_OPERANDS = length_tag(_TAPE.OPERANDS_FIELD_NUMBER)
_VALUES = length_tag(tape_pb2.TapeOutput.VALUES_FIELD_NUMBER)
_SHAPE = length_tag(tape_pb2.TapeOutput.SHAPE_FIELD_NUMBER)
COLUMNS = 16
"""Beyond the numbers of a Tape's fields; those that are packed columns keep their bounds by it."""


@jit
def scan_tape(
    data: NDArray,
    dtype: int,
    itemsize: int,
    job: NDArray,
    table: RowTable,
    packed: Packed,
    columns: NDArray,
) -> bool:
    """Read the tape of a job; whether it is sound.

    Args:
        columns: `(2, COLUMNS)` int64, scratch: where packed columns start and end.
    """
    ops = np.zeros(MAX_OPS, np.uint8)
    columns[:] = 0
    starts, ends = columns[0], columns[1]
    count = _scan_parts(data, dtype, job, table, packed, ops, starts, ends)
    if count < 0:
        return False
    return bool(_copy(data, itemsize, job, table, packed, ops[:count], starts, ends))


@jit
def _scan_parts(
    data: NDArray,
    dtype: int,
    job: NDArray,
    table: RowTable,
    packed: Packed,
    ops: NDArray,
    starts: NDArray,
    ends: NDArray,
) -> Whole:
    """Read all but the packed columns, whose bounds are noted; how many rows it names, or -1."""
    at, end = job[col.BODY_AT], job[col.BODY_END]
    count, sound, seen = 0, True, 0
    while at < end and sound:
        tag, a, b = field(data, at, end)
        at = b
        if tag == _OPS:
            row = row_of(data, a, b, table)
            sound = row != NO_ROW and count < MAX_OPS
            if sound:
                ops[count] = row
                count += 1
        elif tag == _INPUTS:
            sound = scan_input(data, a, b, dtype, job, packed)
        elif tag == _OUTPUTS:
            sound = _scan_output(data, a, b, job, packed)
        else:
            number = tag >> 3
            sound = tag >= 0 and number < COLUMNS and seen >> number & 1 == 0
            if sound:
                seen |= 1 << number
                starts[number], ends[number] = a, b
                sound = _is_known(tag, a, dtype)
    return count if sound and seen >> (_DTYPE >> 3) & 1 else -1


@jit
def _is_known(tag: int, value: int, dtype: int) -> bool:
    """Whether a field is a packed column, that dtype, or a version that is known."""
    if tag == _DTYPE:
        return bool(value == dtype)
    if tag == _VERSION:
        return bool(value <= OP_TABLE_VERSION)
    return tag in (_CONSTANTS, _OPCODES, _OPERANDS)


@jit
def _scan_output(data: NDArray, at: int, end: int, job: NDArray, packed: Packed) -> bool:
    """A TapeOutput: a new name, and as many numbers as its shape has elements."""
    number = packed.used[col.OUTPUTS]
    if number - job[col.OUTPUT_AT] == col.MAX_NAMES:
        return False
    row = packed.outputs[number]
    row[:] = 0
    found, start, stop = 0, 0, 0
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag < 0 or tag >> 3 > 3 or found >> (tag >> 3) & 1:
            return False
        found |= 1 << (tag >> 3)
        if tag == NAME:
            if not take_name(data, a, b, packed.outputs, job[col.OUTPUT_AT], number):
                return False
        elif tag == _SHAPE:
            row[col.SHAPE_AT], row[col.SHAPE_END] = a, b
        elif tag == _VALUES:
            start, stop = a, b
        else:
            return False
    size = shape_size(data, row[col.SHAPE_AT], row[col.SHAPE_END], MAX_RANK, MAX_ELEMENTS)
    if found & 2 == 0 or size < 0 or stop - start != 4 * size:
        return False
    to = packed.used[col.GATHERS]
    row[col.FIRST], row[col.SIZE] = to, size
    for k in range(size):
        packed.gathers[to + k] = word(data, start + 4 * k)
    packed.used[col.GATHERS] = to + size
    packed.used[col.OUTPUTS] += 1
    return True


@jit
def _copy(
    data: NDArray,
    itemsize: int,
    job: NDArray,
    table: RowTable,
    packed: Packed,
    ops: NDArray,
    starts: NDArray,
    ends: NDArray,
) -> bool:
    """Copy the packed columns; whether all their numbers are sound."""
    at, end = starts[_CONSTANTS >> 3], ends[_CONSTANTS >> 3]
    if (end - at) % itemsize:
        return False
    copy_constants(data, at, end, packed)
    first = input_scalars(job, packed) + (end - at) // itemsize
    codes, codes_end = starts[_OPCODES >> 3], ends[_OPCODES >> 3]
    if (codes_end - codes) % 2:
        return False
    nodes = (codes_end - codes) // 2
    at, end = starts[_OPERANDS >> 3], ends[_OPERANDS >> 3]
    node, operand = packed.used[col.ROWS], packed.used[col.OPERANDS]
    for k in range(nodes):
        code = np.int64(data[codes + 2 * k]) | np.int64(data[codes + 2 * k + 1]) << 8
        if code >= len(ops):
            return False
        row = ops[code]
        packed.rows[node + k] = row
        for _ in range(table.operand_counts[row]):
            if end - at < 4:
                return False
            scalar = word(data, at)
            if scalar >= first + k:
                return False
            packed.operands[operand] = scalar
            operand += 1
            at += 4
    packed.used[col.ROWS], packed.used[col.OPERANDS] = node + nodes, operand
    return bool(at == end) and gathers_exist(job, packed, first + nodes)
