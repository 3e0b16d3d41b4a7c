"""The second pass, of a job that holds a Graph: one of scalars alone is numbered as a tape is.

Truth values keep apart from numbers here as the rows' type rules keep them: a tape has both as
numbers, a graph that mixes them does not type, and is left to the codec to say so.
"""

from __future__ import annotations

import numpy as np

from pullback_graph.table import OP_TABLE_VERSION
from pullback_graph.tape.rows import NO_ROW, NDArray
from pullback_proto.v1 import graph_pb2
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire import Whole, field, length_tag, varint, varint_tag
from pullback_worker.tape_wire_heads import scan_tensor
from pullback_worker.tape_wire_layout import Packed, RowTable
from pullback_worker.tape_wire_sides import (
    NAME,
    copy_constants,
    gathers_exist,
    row_of,
    scan_input,
    take_name,
)

_GRAPH, _NODE = graph_pb2.Graph, graph_pb2.Node
_INPUTS, _NODES = length_tag(_GRAPH.INPUTS_FIELD_NUMBER), length_tag(_GRAPH.NODES_FIELD_NUMBER)
_CONSTANTS = length_tag(_GRAPH.CONSTANTS_FIELD_NUMBER)
_OUTPUTS = length_tag(_GRAPH.OUTPUTS_FIELD_NUMBER)
_VERSION = varint_tag(_GRAPH.OP_TABLE_VERSION_FIELD_NUMBER)
_VALUE = varint_tag(graph_pb2.Output.VALUE_FIELD_NUMBER)
_OP, _OPERANDS = length_tag(_NODE.OP_FIELD_NUMBER), length_tag(_NODE.OPERANDS_FIELD_NUMBER)


@jit
def scan_graph(
    data: NDArray,
    dtype: int,
    itemsize: int,
    job: NDArray,
    table: RowTable,
    packed: Packed,
    truths: NDArray,
) -> bool:
    """Read the graph of a job; whether it is sound, and of scalars.

    Args:
        truths: scratch of a job's size: per value, whether it is a truth value.
    """
    at, end = job[col.BODY_AT], job[col.BODY_END]
    held, scalars = 0, 0  # inputs and constants; and nodes besides
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag == _NODES:
            row = _scan_node(data, a, b, table, packed, truths, scalars)
            if row == NO_ROW:
                return False
            truths[scalars] = table.truths[row]
            scalars += 1
        elif tag in (_INPUTS, _CONSTANTS):
            known = packed.used[col.INPUTS] - job[col.INPUT_AT]
            if scalars != (known if tag == _INPUTS else held):
                return False  # inputs are numbered before constants, and those before nodes
            if not _scan_held(data, a, b, tag == _INPUTS, dtype, itemsize, job, packed):
                return False
            truths[scalars] = 0
            scalars += 1
            held = scalars
        elif tag == _OUTPUTS:
            if not _scan_output(data, a, b, job, packed, truths, scalars):
                return False
        elif tag != _VERSION or a > OP_TABLE_VERSION:
            return False
    return bool(gathers_exist(job, packed, scalars))


@jit
def _scan_held(
    data: NDArray,
    at: int,
    end: int,
    is_input: bool,
    dtype: int,
    itemsize: int,
    job: NDArray,
    packed: Packed,
) -> bool:
    """An input or constant that is a scalar."""
    if is_input:
        if not scan_input(data, at, end, dtype, job, packed):
            return False
        row = packed.inputs[packed.used[col.INPUTS] - 1]
        return bool(row[col.SHAPE_AT] == row[col.SHAPE_END])
    row = packed.inputs[packed.used[col.INPUTS]]  # the next one: free to write in
    row[:] = 0
    if not scan_tensor(data, at, end, dtype, row) or row[col.SHAPE_AT] != row[col.SHAPE_END]:
        return False
    if row[col.SIZE] - row[col.FIRST] != itemsize:
        return False
    copy_constants(data, row[col.FIRST], row[col.SIZE], packed)
    return True


@jit
def _scan_node(
    data: NDArray,
    at: int,
    end: int,
    table: RowTable,
    packed: Packed,
    truths: NDArray,
    scalars: int,
) -> Whole:
    """A Node without attributes whose operands are what its row takes; its row, or NO_ROW."""
    none = np.int64(NO_ROW)
    row, numbers, last = none, -1, -1
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag == _OP and row == none:
            row = row_of(data, a, b, table)
        elif tag == _OPERANDS and numbers < 0:
            numbers, last = a, b
        else:
            return none
    if row == none or table.as_graph[row] == 0:
        return none
    to = packed.used[col.OPERANDS]
    for k in range(table.operand_counts[row]):
        scalar, numbers = varint(data, numbers, last)
        if numbers < 0 or scalar >= scalars or truths[scalar] != (k < table.takes_truths[row]):
            return none
        packed.operands[to + k] = scalar
    packed.rows[packed.used[col.ROWS]] = row
    packed.used[col.ROWS] += 1
    packed.used[col.OPERANDS] = to + table.operand_counts[row]
    return row if numbers == last else none


@jit
def _scan_output(
    data: NDArray,
    at: int,
    end: int,
    job: NDArray,
    packed: Packed,
    truths: NDArray,
    scalars: int,
) -> bool:
    """An Output: a new name, and a value that exists and is no truth value."""
    number = packed.used[col.OUTPUTS]
    if number - job[col.OUTPUT_AT] == col.MAX_NAMES:
        return False
    row = packed.outputs[number]
    row[:] = 0
    found, value = 0, 0
    while at < end:
        tag, a, b = field(data, at, end)
        at = b
        if tag == NAME and found & 1 == 0:
            found |= 1
            if not take_name(data, a, b, packed.outputs, job[col.OUTPUT_AT], number):
                return False
        elif tag == _VALUE and found & 2 == 0:
            found |= 2
            value = a
        else:
            return False
    if found & 1 == 0 or value >= scalars or truths[value]:
        return False
    row[col.FIRST], row[col.SIZE] = packed.used[col.GATHERS], 1
    packed.gathers[packed.used[col.GATHERS]] = value
    packed.used[col.GATHERS] += 1
    packed.used[col.OUTPUTS] += 1
    return True
