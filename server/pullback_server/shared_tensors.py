"""Arrays that cross between two processes of one machine as files in shared memory.

Whoever reads a file removes it as soon as it is mapped; what nobody read goes with its folder.
"""

from __future__ import annotations

import mmap
import os
from itertools import count
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.errors import ServiceError
from pullback_graph.job import NDArray
from pullback_graph.types import DType, Shape

LEAST_BYTES = 1 << 17
"""Smaller arrays travel in the message: a file costs more than copying them, 0.1 ms."""


class SharedArray(NamedTuple):
    """An array in a file: its name in the shared folder, and its type."""

    name: str
    dtype: DType
    shape: Shape

    @property
    def size_bytes(self) -> int:
        """Bytes of the array."""
        return prod(self.shape) * self.dtype.itemsize


class SharedTensors:
    """Writes arrays into a folder of shared memory and takes them out of it.

    Args:
        folder: on a file system in memory; both processes know it.
        prefix: tells this writer's files from the other's.
        least_bytes: arrays smaller than this are not placed.
    """

    def __init__(self, folder: Path, prefix: str, least_bytes: int = LEAST_BYTES) -> None:
        self._folder = folder
        self._prefix = prefix
        self._least_bytes = max(least_bytes, 1)
        self._numbers = count()

    def place(self, array: NDArray) -> SharedArray | None:
        """Write an array; None where it is small or shared memory has no room: send it inline."""
        if array.nbytes < self._least_bytes:
            return None
        array = np.asarray(array, order="C")
        shared = SharedArray(f"{self._prefix}-{next(self._numbers)}", array.dtype, array.shape)
        path = self._folder / shared.name
        try:
            _write(path, array)
        except OSError:
            path.unlink(missing_ok=True)
            return None
        return shared

    def take(self, shared: SharedArray) -> NDArray:
        """Map an array read-only and remove its file; the memory goes with the array.

        Raises:
            ServiceError: the file is not there, or not of the size it should be.
        """
        path = self._folder / Path(shared.name).name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ServiceError(f"an array in shared memory is gone: {error}; try again") from None
        try:
            path.unlink(missing_ok=True)
            if os.fstat(descriptor).st_size != shared.size_bytes:
                raise ServiceError(f"an array in shared memory is cut short: {path}; try again")
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            memory = mmap.mmap(descriptor, shared.size_bytes, flags=flags, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        return np.frombuffer(memory, shared.dtype).reshape(shared.shape)

    def discard(self, shared: SharedArray) -> None:
        """Remove the file of an array that will not be taken, if it is still there."""
        (self._folder / shared.name).unlink(missing_ok=True)


def _write(path: Path, array: NDArray) -> None:
    """Write the array's bytes to a new file.

    Raises:
        OSError: no room, among others.
    """
    rest: memoryview[Any] = array.data.cast("B")
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
