"""A thread's arrays for the machine, kept from run to run: fresh pages cost as much as a sweep."""

from __future__ import annotations

import threading

import numpy as np

from pullback_graph.tape.rows import NDArray
from pullback_graph.types import DType

_KEPT_BYTES = 1 << 28
"""Arrays up to this size are kept for a thread's next run."""


class Scratch(threading.local):
    """Arrays by name. What holds more than others must not be held over a call that takes."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, DType], NDArray] = {}

    def take(self, name: str, size: int, dtype: DType) -> NDArray:
        """An array of `size` with any content; a name's last one is no longer valid."""
        kept = self._kept.get((name, dtype))
        if kept is None or len(kept) < size:
            kept = np.empty(size, dtype)
            if kept.nbytes <= _KEPT_BYTES:
                self._kept[(name, dtype)] = kept
        part: NDArray = kept[:size]
        return part


SCRATCH = Scratch()
