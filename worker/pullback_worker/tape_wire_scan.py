"""Reads many serialised jobs at once: from the wire to packed arrays, without the interpreter.

It takes what it knows all about: sound scalar graphs and tapes with their inputs, of which the
value or a gradient is wanted. Whatever else a job holds, and whatever is wrong with it, the job is
left (TAKEN stays 0) to the codec, which says what. So nothing here words an error.
"""

from __future__ import annotations

import numpy as np

from pullback_graph.fingerprint import NUMBERS
from pullback_graph.tape.rows import NDArray
from pullback_graph.types import DType
from pullback_worker import tape_wire_layout as col
from pullback_worker.tape_numba import jit
from pullback_worker.tape_wire_binding import bind
from pullback_worker.tape_wire_graphs import scan_graph
from pullback_worker.tape_wire_heads import scan_heads
from pullback_worker.tape_wire_layout import Packed, RowTable, room_for, row_table
from pullback_worker.tape_wire_sides import begin, finish, give_back
from pullback_worker.tape_wire_tapes import COLUMNS, scan_tape

_TABLE = row_table()


def scan_jobs(data: NDArray, bounds: NDArray, dtype: DType) -> Packed:
    """The jobs of joined bytes, packed; those of another dtype are left.

    Args:
        data: uint8.
        bounds: int64, where each job starts, and where the last ends.
    """
    number, itemsize = NUMBERS[dtype], dtype.itemsize
    packed = room_for(len(data), len(bounds) - 1, itemsize)
    scan_heads(data, bounds, number, packed)
    truths = np.empty(int(np.diff(bounds).max(initial=0)) + 1, np.uint8)
    columns = np.empty((2, COLUMNS), np.int64)
    _scan_bodies(data, number, itemsize, _TABLE, packed, truths, columns)
    bind(data, itemsize, packed)
    return packed


@jit
def _scan_bodies(
    data: NDArray,
    dtype: int,
    itemsize: int,
    table: RowTable,
    packed: Packed,
    truths: NDArray,
    columns: NDArray,
) -> None:
    """Read the graphs and tapes of the jobs taken; those that are not sound are left."""
    for j in range(len(packed.jobs)):
        job = packed.jobs[j]
        if not job[col.TAKEN]:
            continue
        begin(job, packed.used)
        if job[col.IS_TAPE]:
            sound = scan_tape(data, dtype, itemsize, job, table, packed, columns)
        else:
            sound = scan_graph(data, dtype, itemsize, job, table, packed, truths)
        if sound:
            finish(job, packed.used)
        else:
            give_back(job, packed.used)
