"""Inputs that stay on the device from call to call: those that nobody can change, and large ones.

An array is known by being the same object, and taken for unchangeable only if its memory is that of
a `bytes` object, as is every array that came over the wire; a read-only flag alone can be lifted,
and a read-only view may look at what its owner still writes to.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.types import ArrayType
from pullback_worker.executor import NDArray

LEAST_BYTES = 1 << 16
"""Smaller arrays are sent as fast as they are looked up."""


class _Held(NamedTuple):
    array: weakref.ref[NDArray]
    copy: Any


class ResidentArrays:
    """Device copies of arrays, bounded by size, the least recently used out first.

    Args:
        capacity_bytes: what all copies may take together.
        put: makes a copy.
        reads_in_place: whether the device reads an array where it lies, so that it needs none.
    """

    def __init__(
        self,
        capacity_bytes: int,
        put: Callable[[NDArray], Any],
        reads_in_place: Callable[[NDArray], bool],
    ) -> None:
        self._capacity_bytes = capacity_bytes
        self._put = put
        self._reads_in_place = reads_in_place
        self._lock = RLock()  # an array may end, and be dropped, while a thread holds it
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self.size_bytes = 0

    def takes(self, type: ArrayType) -> bool:
        """Whether arrays of a type may be worth keeping."""
        return LEAST_BYTES <= type.size_bytes <= self._capacity_bytes

    def of(self, array: NDArray) -> Any:
        """The array's copy on the device, made now or before; itself where it may change."""
        if array.flags.writeable:
            return array
        key = id(array)
        with self._lock:
            held = self._held.get(key)
            if held is not None and held.array() is array:
                self._held.move_to_end(key)
                return held.copy
        if self._reads_in_place(array) or not _is_unchangeable(array):
            return array
        copy = self._put(array)
        reference = weakref.ref(array, lambda _: self._drop(key, reference))
        with self._lock:
            self._remove(key)
            self._held[key] = _Held(reference, copy)
            self.size_bytes += array.nbytes
            while self.size_bytes > self._capacity_bytes:
                self._remove(next(iter(self._held)))
        return copy

    def _drop(self, key: int, reference: weakref.ref[NDArray]) -> None:
        """An array is gone; its number may be another's by now."""
        with self._lock:
            held = self._held.get(key)
            if held is not None and held.array is reference:
                self._remove(key)

    def _remove(self, key: int) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self.size_bytes -= held.copy.nbytes


def _is_unchangeable(array: NDArray) -> bool:
    """Whether the memory behind a read-only array is a `bytes` object's."""
    base: Any = array.base
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return isinstance(base, bytes)
