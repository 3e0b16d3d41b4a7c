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
from pullback_worker.tape_wire_binding import bind
from pullback_worker.tape_wire_graphs import scan_graphs
from pullback_worker.tape_wire_heads import scan_heads
from pullback_worker.tape_wire_layout import Packed, room_for, row_table
from pullback_worker.tape_wire_tapes import scan_tapes

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
    scan_tapes(data, number, itemsize, _TABLE, packed)
    truths = np.empty(int(np.diff(bounds).max(initial=0)) + 1, np.uint8)
    scan_graphs(data, number, itemsize, _TABLE, packed, truths)
    bind(data, itemsize, packed)
    return packed
