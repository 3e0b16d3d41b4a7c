"""Jobs packed: where each part of many serialised jobs lies, in flat arrays compiled code fills.

A job is a row of columns; its inputs, outputs, nodes and numbers stand in arrays that all jobs
share, each job's own in one run. Every position is one of the joined bytes of the jobs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pullback_graph.tape.rows import LOGIC, NO_ROW, ROW_OPERANDS, TAPE_ROWS, TRUTHS, NDArray

MAX_NAMES = 64
"""Inputs, outputs or names of `wrt` of a job that is packed."""
MAX_OPS = 256


# Columns of a job. `*_AT` and `*_END` bound a run: of the bytes, or of a shared array.
(
    TAKEN,  # 1 where the job can be run packed; else nothing else of it counts
    ID_AT,
    ID_END,
    BODY_AT,  # the message of its graph or tape
    BODY_END,
    WANT_AT,  # the message of its want
    WANT_END,
    IS_TAPE,
    GRADIENT,  # 1: the gradient of output OUTPUT by WRT_AT..WRT_END; 0: the value
    OUTPUT,
    GIVEN_AT,  # rows of `given`
    GIVEN_END,
    INPUT_AT,  # rows of `inputs`
    INPUT_END,
    OUTPUT_AT,  # rows of `outputs`
    OUTPUT_END,
    WRT_AT,  # entries of `wrt`
    WRT_END,
    ELEMENT_AT,  # bytes of `elements`: those of all inputs
    ELEMENT_END,
    CONSTANT_AT,  # bytes of `constants`
    CONSTANT_END,
    NODE_AT,
    NODE_END,
    OPERAND_AT,
    OPERAND_END,
    GATHER_AT,  # entries of `gathers`: the scalars that outputs are made of
    GATHER_END,
    FINITE,  # 1: a NaN or infinity in a result fails the job
    JOB_COLUMNS,
) = range(30)

# Columns of an input or output: its name, its shape as sent, its elements.
(
    NAME_AT,
    NAME_END,
    SHAPE_AT,
    SHAPE_END,
    FIRST,  # of an input, its first scalar's number; of an output, its first entry of `gathers`
    SIZE,  # of a given tensor, FIRST and SIZE are where its elements start and end
    SIDE_COLUMNS,
) = range(7)


# Cursors: how much of each shared array is filled.
GIVEN, INPUTS, OUTPUTS, WRTS, ROWS, OPERANDS, GATHERS, ELEMENTS, CONSTANTS, CURSORS = range(10)


class Packed(NamedTuple):
    """What the scan fills: a row or a run per job.

    Attributes:
        jobs: `(J, JOB_COLUMNS)` int64.
        given, inputs, outputs: `(.., SIDE_COLUMNS)` int64; the tensors that came, in their order,
            and the sides of the graph or tape.
        wrt: int64 positions of inputs in their job.
        rows: uint8, the row of each node.
        operands: uint32, numbers of scalars within the job.
        gathers: uint32, as operands.
        elements, constants: raw bytes of the dtype's elements.
        deadlines_s: `(J,)` float64, from the job's arrival; infinite without one.
        used: how much of each shared array is filled, by the names of cursors.
    """

    jobs: NDArray
    given: NDArray
    inputs: NDArray
    outputs: NDArray
    wrt: NDArray
    rows: NDArray
    operands: NDArray
    gathers: NDArray
    elements: NDArray
    constants: NDArray
    deadlines_s: NDArray
    used: NDArray


class RowTable(NamedTuple):
    """The rows by name, for compiled code: an open hash table over the names' bytes.

    Attributes:
        text, bounds: the names on end, and where each starts.
        slots: the row in each slot of the hash table, NO_ROW in empty ones.
        operand_counts: per row.
        truths: per row, 1 where its result is a truth value.
        takes_truths: per row, how many of its leading operands are truth values.
        as_graph: per row, 1 where it takes and gives the same in a graph as in a tape.
    """

    text: NDArray
    bounds: NDArray
    slots: NDArray
    operand_counts: NDArray
    truths: NDArray
    takes_truths: NDArray
    as_graph: NDArray


HASH_SLOTS = 512
HASH_FACTOR = 31


def name_hash(name: bytes) -> int:
    """The slot where the search for a row's name starts."""
    value = 0
    for byte in name:
        value = (value * HASH_FACTOR + byte) & 0xFFFF
    return value & (HASH_SLOTS - 1)


def row_table() -> RowTable:
    """The table of a tape's rows."""
    names = [name.encode() for name in TAPE_ROWS]
    slots = np.full(HASH_SLOTS, NO_ROW, np.uint8)
    for row, name in enumerate(names):
        slot = name_hash(name)
        while slots[slot] != NO_ROW:
            slot = (slot + 1) & (HASH_SLOTS - 1)
        slots[slot] = row
    leading = [_leading_truths(name) for name in TAPE_ROWS]
    return RowTable(
        text=np.frombuffer(b"".join(names), np.uint8),
        bounds=np.cumsum([0, *map(len, names)]),
        slots=slots,
        operand_counts=ROW_OPERANDS.astype(np.int64),
        truths=np.array([name in TRUTHS for name in TAPE_ROWS], np.uint8),
        takes_truths=np.array(leading, np.int64),
        as_graph=np.ones(len(names), np.uint8),
    )


def _leading_truths(name: str) -> int:
    if name in LOGIC:
        return int(ROW_OPERANDS[TAPE_ROWS.index(name)])
    return int(name == "where")


def room_for(size_bytes: int, jobs: int, itemsize: int) -> Packed:
    """Empty arrays that jobs of so many bytes together cannot overflow.

    A node takes at least two bytes on the wire, an operand one, a named side three.
    """

    def empty(count: int, dtype: Any = np.int64) -> NDArray:
        return np.empty(count, dtype)

    sides = size_bytes // 3 + 1
    words = size_bytes // itemsize + 1
    return Packed(
        jobs=np.zeros((jobs, JOB_COLUMNS), np.int64),
        given=np.empty((sides, SIDE_COLUMNS), np.int64),
        inputs=np.empty((sides, SIDE_COLUMNS), np.int64),
        outputs=np.empty((sides, SIDE_COLUMNS), np.int64),
        wrt=empty(sides),
        rows=empty(size_bytes // 2 + 1, np.uint8),
        operands=empty(size_bytes + 1, np.uint32),
        gathers=empty(size_bytes + 1, np.uint32),
        elements=empty(words, np.float64 if itemsize == 8 else np.float32).view(np.uint8),
        constants=empty(words, np.float64 if itemsize == 8 else np.float32).view(np.uint8),
        deadlines_s=np.full(jobs, np.inf),
        used=np.zeros(CURSORS, np.int64),
    )
