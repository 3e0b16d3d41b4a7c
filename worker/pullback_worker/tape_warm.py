"""Getting the machine's kernels ready: loaded from the cache, or compiled, once a process.

A server does it on a thread while it starts; else the first tape of its kind waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback_graph.types import FLOAT64, DType
from pullback_worker import tape_forward, tape_lanes, tape_linking, tape_sweeps
from pullback_worker.tape_numba import ready
from pullback_worker.tape_wants import Mode

_LOCK = threading.Lock()
_READY: set[tuple[DType, Mode]] = set()


def warm(dtype: DType = FLOAT64, mode: Mode = Mode.REVERSE) -> None:
    """Get ready what tapes of `dtype` need for derivatives by `mode`."""
    if (dtype, mode) in _READY:
        return
    with _LOCK:
        if (dtype, mode) not in _READY:
            _link()
            _KERNELS[mode](dtype)
            _READY.add((dtype, mode))


_MARKS = np.empty(0, np.uint8)
_WORDS = np.empty(0, np.uint32)
_MASK = np.empty(0, np.uint64)
_GIVEN = np.empty(0, np.uint32)  # read-only, as arrays of a message are
_GIVEN.flags.writeable = False


def _link() -> None:
    ready(tape_linking.expand, _MARKS, _GIVEN, 0, 0, _WORDS, _MARKS, _WORDS)
    ready(tape_linking.mark, _MARKS, _WORDS, 0, _GIVEN, _GIVEN, _MARKS, _WORDS)
    ready(tape_linking.compact, _MARKS, _WORDS, _WORDS, 0, _MARKS, _WORDS)


def _values(dtype: DType) -> None:
    ready(tape_forward.evaluate, _MARKS, _WORDS, 0, np.empty(0, dtype))


def _adjoints(dtype: DType) -> None:
    v, lanes = np.empty(0, dtype), np.empty((0, 0), dtype)
    ready(tape_forward.linearise, _MARKS, _WORDS, 0, v, v)
    ready(tape_sweeps.reverse, _MARKS, _WORDS, 0, v, v)
    ready(tape_sweeps.reverse_seeds, _MARKS, _WORDS, 0, v, lanes, _MASK)


def _tangents(dtype: DType) -> None:
    v, lanes = np.empty(0, dtype), np.empty((0, 0), dtype)
    ready(tape_forward.linearise, _MARKS, _WORDS, 0, v, v)
    ready(tape_sweeps.forward_seeds, _MARKS, _WORDS, 0, v, lanes, _MASK)


def _second(dtype: DType) -> None:
    _adjoints(dtype)
    _tangents(dtype)
    v, lanes = np.empty(0, dtype), np.empty((0, 0), dtype)
    ready(tape_forward.linearise_twice, _MARKS, _WORDS, 0, v, v, v)
    ready(tape_sweeps.reverse_twice, _WORDS, _WORDS, 0, v, v, lanes, v, lanes)


def _points(dtype: DType) -> None:
    lanes, table = np.empty((0, tape_lanes.LANES), dtype), np.empty((0, 0), dtype)
    columns = np.empty(0, np.uint32)
    ready(
        tape_lanes.evaluate_points,
        *(_MARKS, _WORDS, 0, columns, table, columns, lanes, table),
    )


_KERNELS: dict[Mode, Callable[[DType], Any]] = {
    Mode.NONE: _values,
    Mode.REVERSE: _adjoints,
    Mode.FORWARD: _tangents,
    Mode.SECOND: _second,
    Mode.POINTS: _points,
}
