"""How the dispatcher ends: when its parent goes, nothing of either is left.

The front end holds the other end of the dispatcher's standard input and never writes to it. End of
file means that the front end is gone, however it went. The dispatcher leads a session of its own,
which Ray's processes stay in, so that whoever outlives the others can find and end them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path


def watch_parent(on_end: Callable[[], None]) -> None:
    """Call `on_end`, from a thread, when standard input ends."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        on_end()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def leave_nothing(folders: Sequence[str]) -> None:
    """End every other process of this session, remove the folders, and end this process.

    Its main thread may be starting Ray meanwhile: what came up since is ended at the last.
    """
    session, own = os.getsid(0), os.getpid()
    end_session(session, spare=own)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    end_session(session, spare=own)
    os._exit(0)


def end_session(session: int, spare: int = 0) -> None:
    """Kill the processes of a session until there are none, but for one that is spared.

    A session whose leader lives and is not the one spared is another's: the number was reused.
    """
    for _ in range(10):
        found = [process for process in session_processes(session) if process != spare]
        if not found or session in found:
            return
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def session_processes(session: int) -> list[int]:
    """The processes of a session that run; those that only wait to be reaped do not count."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(int(path.name))
    return found
