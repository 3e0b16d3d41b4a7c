"""What graphs and tapes have in common on the wire: named inputs, named outputs, names of rows."""

from __future__ import annotations

import numpy as np

from pullback_graph.tape.rows import NO_ROW, NDArray
from pullback_graph.types import MAX_RANK
from pullback_proto.v1 import graph_pb2
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import Whole, field, is_ascii, length_tag, same, shape_size
from pullback_worker.tape_wire_heads import scan_tensor
from pullback_worker.tape_wire_layout import HASH_FACTOR, HASH_SLOTS, Packed, RowTable

MAX_NAME_BYTES = 256
MAX_ELEMENTS = 1 << 24

NAME = length_tag(graph_pb2.Input.NAME_FIELD_NUMBER)  # of outputs too
_TYPE = length_tag(graph_pb2.Input.TYPE_FIELD_NUMBER)


@jit
def begin(job: NDArray, used: NDArray) -> None:
    """Note where a job's runs of the shared arrays start."""
    job[col.INPUT_AT], job[col.OUTPUT_AT] = used[col.INPUTS], used[col.OUTPUTS]
    job[col.NODE_AT], job[col.OPERAND_AT] = used[col.ROWS], used[col.OPERANDS]
    job[col.GATHER_AT], job[col.CONSTANT_AT] = used[col.GATHERS], used[col.CONSTANTS]


@jit
def finish(job: NDArray, used: NDArray) -> None:
    """Note where they end."""
    job[col.INPUT_END], job[col.OUTPUT_END] = used[col.INPUTS], used[col.OUTPUTS]
    job[col.NODE_END], job[col.OPERAND_END] = used[col.ROWS], used[col.OPERANDS]
    job[col.GATHER_END], job[col.CONSTANT_END] = used[col.GATHERS], used[col.CONSTANTS]


@jit
def give_back(job: NDArray, used: NDArray) -> None:
    """Leave a job whose runs were begun: what they took is free again."""
    job[col.TAKEN] = 0
    used[col.INPUTS], used[col.OUTPUTS] = job[col.INPUT_AT], job[col.OUTPUT_AT]
    used[col.ROWS], used[col.OPERANDS] = job[col.NODE_AT], job[col.OPERAND_AT]
    used[col.GATHERS], used[col.CONSTANTS] = job[col.GATHER_AT], job[col.CONSTANT_AT]


@jit
def find(data: NDArray, at: int, end: int, sides: NDArray, first: int, last: int) -> Whole:
    """The row of the input or output of that name; -1 where there is none."""
    for k in range(first, last):
        if same(data, at, end, sides[k, col.NAME_AT], sides[k, col.NAME_END]):
            return k
    return -1


@jit
def take_name(data: NDArray, at: int, end: int, sides: NDArray, first: int, number: int) -> bool:
    """Note the name of row `number`; whether it is one that those from `first` on have not."""
    if at == end or end - at > MAX_NAME_BYTES or not is_ascii(data, at, end):
        return False
    sides[number, col.NAME_AT], sides[number, col.NAME_END] = at, end
    return bool(find(data, at, end, sides, first, number) < 0)


@jit
def scan_input(data: NDArray, at: int, end: int, dtype: int, job: NDArray, packed: Packed) -> bool:
    """An Input: a new name, and a type of that dtype; its scalars are numbered."""
    number, first = packed.used[col.INPUTS], job[col.INPUT_AT]
    if number - first == col.MAX_NAMES:
        return False
    row = packed.inputs[number]
    row[:] = 0
    found = 0
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag == NAME and found & 1 == 0:
            found |= 1
            if not take_name(data, a, b, packed.inputs, first, number):
                return False
        elif tag == _TYPE and found & 2 == 0:
            found |= 2
            if not scan_tensor(data, a, b, dtype, row) or row[col.SIZE] != 0:
                return False
        else:
            return False
    size = shape_size(data, row[col.SHAPE_AT], row[col.SHAPE_END], MAX_RANK, MAX_ELEMENTS)
    if found != 3 or size < 0:
        return False
    before = packed.inputs[number - 1]
    row[col.FIRST] = 0 if number == first else before[col.FIRST] + before[col.SIZE]
    row[col.SIZE] = size
    packed.used[col.INPUTS] += 1
    return True


@jit
def input_scalars(job: NDArray, packed: Packed) -> Whole:
    """How many scalars the inputs of a job have that is being read."""
    last = packed.used[col.INPUTS]
    if last == job[col.INPUT_AT]:
        return 0
    row = packed.inputs[last - 1]
    return int(row[col.FIRST] + row[col.SIZE])


@jit
def copy_constants(data: NDArray, at: int, end: int, packed: Packed) -> None:
    """Copy a run of bytes behind the constants."""
    to = packed.used[col.CONSTANTS]
    for k in range(end - at):
        packed.constants[to + k] = data[at + k]
    packed.used[col.CONSTANTS] = to + end - at


@jit
def row_of(data: NDArray, at: int, end: int, table: RowTable) -> Whole:
    """The row of that name, or NO_ROW."""
    value = np.int64(0)
    for k in range(at, end):
        value = (value * HASH_FACTOR + np.int64(data[k])) & 0xFFFF
    slot = value & (HASH_SLOTS - 1)
    while table.slots[slot] != NO_ROW:
        row = np.int64(table.slots[slot])
        start = table.bounds[row]
        size = table.bounds[row + 1] - start
        if size == end - at:
            k = 0
            while k < size and table.text[start + k] == data[at + k]:
                k += 1
            if k == size:
                return row
        slot = (slot + 1) & (HASH_SLOTS - 1)
    return np.int64(NO_ROW)


@jit
def gathers_exist(job: NDArray, packed: Packed, scalars: int) -> bool:
    """Whether there are outputs, and all are gathered from scalars that exist."""
    for k in range(job[col.GATHER_AT], packed.used[col.GATHERS]):
        if packed.gathers[k] >= scalars:
            return False
    return bool(packed.used[col.OUTPUTS] > job[col.OUTPUT_AT])
