"""Where the tape machine's native code is kept; numba is not needed to ask.

In `$NUMBA_CACHE_DIR` where that is set, else in `$XDG_CACHE_HOME/pullback/numba`, else in
`~/.cache/pullback/numba`, in a folder per content of the sources.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

_SOURCES = sorted(Path(__file__).parent.glob("tape_*.py"))


def _digest() -> str:
    """Names the folder: numba looks at the file of a function only, not at those it calls."""
    state = hashlib.sha256()
    for source in _SOURCES:
        state.update(source.read_bytes())
    return state.hexdigest()[:16]


def _folder() -> Path:
    home = os.environ.get("NUMBA_CACHE_DIR")
    if home is None:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        home = os.path.join(root, "pullback", "numba")
    return Path(home) / f"tape-{_digest()}"


def cache_folder() -> Path | None:
    """The folder of this version's native code, made if need be; None where none can be written."""
    folder = _folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


def is_filled() -> bool:
    """Whether some process has compiled the sweeps of a gradient: they load in a second or so."""
    try:
        return any(_folder().glob("*/tape_sweeps.reverse-*.nbc"))
    except OSError:
        return False
