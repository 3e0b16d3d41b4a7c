"""Watches this process's own memory against a cap, so that a task fails before the system kills it.

Only private memory counts: arrays in shared memory belong to the node.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pullback_worker.executor import CancelFlag

INTERVAL_S = 0.02
GIVE_WAY_S = 1.0
"""How long a task that needs the memory waits for the one beside it to stop."""
LIBRARIES_BYTES = 64 << 20
"""What libraries take of their own when they are first used, such as the buffers of a BLAS."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PrivateBytes:
    """Resident memory of this process that it shares with no other, as a function."""

    def __init__(self) -> None:
        self._file = open("/proc/self/statm", "rb", buffering=0)  # noqa: SIM115  (kept open)

    def __call__(self) -> int:
        """The bytes now."""
        _, resident, shared, *_ = os.pread(self._file.fileno(), 128, 0).split()
        return (int(resident) - int(shared)) * _PAGE_BYTES

    def __del__(self) -> None:
        self._file.close()


def machine_bytes() -> int:
    """Memory of this machine, or of the container it is cut down to."""
    total_bytes = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total_bytes
    return min(total_bytes, int(limit)) if limit.isdecimal() else total_bytes


def give_back() -> None:
    """Have the C library return freed memory to the system, where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@dataclass(slots=True)
class Watched:
    """What was seen while something ran; `peak_bytes` is over what the process had at its start."""

    flag: CancelFlag
    peak_bytes: int = 0
    exceeded: bool = False


class MemoryWatch:
    """Looks at the memory every few milliseconds while something runs.

    Args:
        cap_bytes: the most private memory the process may have; 0 for no cap.
        own_bytes: in the place of a cap, what arrays may take; 0 for no such cap.
        read: how much it has now; by default, what the system says.
    """

    def __init__(
        self, cap_bytes: int = 0, read: Callable[[], int] | None = None, *, own_bytes: int = 0
    ) -> None:
        self._read = read or PrivateBytes()
        self._floor_bytes = self._read()
        self.cap_bytes = self._floor_bytes + LIBRARIES_BYTES + own_bytes if own_bytes else cap_bytes
        self._watched: dict[bool, Watched] = {}
        self._lock = threading.Lock()
        self._busy, self._alone = threading.Event(), threading.Event()
        self._alone.set()

    def start(self) -> None:
        """Look from a thread of its own; without it, only `look` does."""
        threading.Thread(target=self._loop, name="memory watch", daemon=True).start()

    @property
    def room_bytes(self) -> int:
        """What the cap leaves for arrays, beside the process and its libraries; 0 without a cap."""
        left_bytes = self.cap_bytes - self._floor_bytes - LIBRARIES_BYTES
        return max(1, left_bytes) if self.cap_bytes else 0

    @contextmanager
    def over(self, flag: CancelFlag, express: bool = False) -> Iterator[Watched]:
        """Watch until the block ends; the flag is set when the cap is crossed.

        Args:
            express: whether it runs beside another, and is the first to give way.
        """
        watched = Watched(flag)
        with self._lock:
            self._watched[express] = watched
            self._busy.set()
            if express:
                self._alone.clear()
        self.look()
        try:
            yield watched
        finally:
            self.look()
            with self._lock:
                del self._watched[express]
                if express:
                    self._alone.set()
                if not self._watched:
                    self._busy.clear()

    def room_for(self, size_bytes: int, express: bool = False) -> bool:
        """Whether so much more would stay under the cap, once what was freed is given back.

        What an express task takes is given back first, where it stops in time.
        """
        if self._fits(size_bytes):
            return True
        if not express and not self._alone.is_set():
            with self._lock:
                self._exceed(self._watched.get(True))
            self._alone.wait(GIVE_WAY_S)
        give_back()
        return self._fits(size_bytes)

    @staticmethod
    def _exceed(watched: Watched | None) -> None:
        if watched is not None:
            watched.exceeded = True
            watched.flag.set()

    def _fits(self, size_bytes: int) -> bool:
        return not self.cap_bytes or self._read() + size_bytes <= self.cap_bytes

    def look(self) -> None:
        """Look once."""
        now_bytes = self._read()
        with self._lock:
            for watched in self._watched.values():
                watched.peak_bytes = max(watched.peak_bytes, now_bytes - self._floor_bytes)
            if self.cap_bytes and now_bytes > self.cap_bytes:
                self._exceed(self._watched.get(True, self._watched.get(False)))

    def _loop(self) -> None:
        pause = threading.Event()
        while True:
            self._busy.wait()
            self.look()
            pause.wait(INTERVAL_S)
