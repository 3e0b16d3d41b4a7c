"""A folder that belongs to one process and is removed with it, however the process ends.

The owner holds a lock on a file inside. The lock goes when the owner does, so that whoever comes
next knows which folders nobody owns any more and removes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

LOCK = "owner.lock"
YOUNG_S = 60.0
"""A folder younger than this may be about to be locked."""


class OwnedFolder:
    """A new folder under `parent`, named `prefix` and something random; mode 700."""

    def __init__(self, parent: Path, prefix: str) -> None:
        sweep(parent, prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the folder and all that is in it; again does nothing."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def sweep(parent: Path, prefix: str) -> None:
    """Remove the folders of that prefix whose owners are gone."""
    for path in parent.glob(f"{prefix}*"):
        if _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(path: Path) -> bool:
    """Whether nobody holds the folder's lock; one that cannot be looked at is left alone."""
    try:
        if time.time() - path.stat().st_mtime < YOUNG_S:
            return False
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
