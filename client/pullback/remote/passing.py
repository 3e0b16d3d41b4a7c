"""Which arrays go with a job rather than to the service's store, and which results come in parts.

Parameters change from call to call, and storing one takes longer than sending it. That one was not
sent before shows in microseconds, from some of its bytes; a hash of all takes milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pullback.remote.sent import Sent
from pullback_graph.fingerprint import little_endian
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, NDArray
from pullback_graph.want import Want

LARGE_BYTES = 256 * 1024
"""Inputs from this size on are stored with the service once and then named by their hash."""
PARTS_BYTES = 1 << 20
"""Arrays that take this much together travel beside the messages."""
BLOCKS = 64
BLOCK_BYTES = 512
MOST_KINDS = 4096


@dataclass(frozen=True, slots=True)
class Passed:
    """Inputs of a job that travel with it and are not stored, and their sampled hashes."""

    arrays: Mapping[str, NDArray] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    @property
    def apart(self) -> tuple[NDArray, ...]:
        """Those that travel beside the job: all of them, or none."""
        arrays = self.arrays.values()
        return tuple(arrays) if sum([array.nbytes for array in arrays]) >= PARTS_BYTES else ()


NOTHING = Passed()


class Passing:
    """Parameters that went with jobs over one connection.

    Attributes:
        takes_parts: whether the service takes jobs in parts.
    """

    def __init__(self) -> None:
        self.takes_parts = True
        self._passed = Sent()

    def new(self, job: Job) -> Passed:
        """The large inputs that a job differentiates by and that did not travel before.

        Raises:
            DTypeError: one has a dtype that is not of the language.
        """
        arrays: dict[str, NDArray] = {}
        keys: list[str] = []
        for name in getattr(job.want, "wrt", ()):
            value = job.inputs.get(name)
            if type(value) is np.ndarray and value.nbytes >= LARGE_BYTES:
                array = little_endian(value)
                key = sampled_hash(array)
                if self._passed.get(key) is None:
                    arrays[name] = array
                    keys.append(key)
        if not arrays:
            return NOTHING
        passed = Passed(arrays, tuple(keys))
        return NOTHING if passed.apart and not self.takes_parts else passed

    def has_passed(self, array: NDArray) -> bool:
        """Whether an array went with a job before, by its sample."""
        return self._passed.get(sampled_hash(array)) is not None

    def arrived(self, passed: Passed) -> None:
        """Note that they came with a job: sent again, they are worth storing."""
        for key in passed.keys:
            self._passed.note(key, key)


class LargeReplies:
    """Kinds of job, by graph and want, whose results were large when they last came."""

    def __init__(self) -> None:
        self._kinds: set[tuple[str, Want]] = set()

    def note(self, job: Job, size_bytes: int) -> None:
        """A result came, of that size."""
        if size_bytes >= PARTS_BYTES and isinstance(job.graph, Graph | GraphHash):
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds.add((job.graph.fingerprint, job.want))

    def __contains__(self, job: Job) -> bool:
        is_known = bool(self._kinds) and isinstance(job.graph, Graph | GraphHash)
        return is_known and (job.graph.fingerprint, job.want) in self._kinds


def sampled_hash(array: NDArray) -> str:
    """Hexadecimal digits over dtype, shape and evenly spaced blocks of an array of any size.

    Raises:
        DTypeError: the dtype is not one of the language.
    """
    array = little_endian(array)
    state = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    data = array.reshape(-1).view(np.uint8)
    stride = data.size // BLOCKS
    if stride <= BLOCK_BYTES:
        state.update(data.data)
        return state.hexdigest()
    state.update(data[: BLOCKS * stride].reshape(BLOCKS, stride)[:, :BLOCK_BYTES].tobytes())
    state.update(data[-BLOCK_BYTES:].data)
    return state.hexdigest()
