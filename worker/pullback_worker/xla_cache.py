"""What XLA compiled, kept on disk for the next process: JAX's own cache, in a folder of ours.

One folder a kind of processor, as compiled code is for that alone; the files read least lately go
when there are too many bytes of them. Where the user has set up JAX's cache, that one stands.
"""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

CAPACITY_BYTES = 512 << 20
LEAST_COMPILE_S = 0.05
"""What compiles faster is not worth a file."""


def default_folder() -> Path:
    """The user's: `$XDG_CACHE_HOME/pullback/xla`, or `~/.cache/pullback/xla`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pullback" / "xla"


def keep_compiled(folder: Path, capacity_bytes: int = CAPACITY_BYTES) -> Path | None:
    """Have JAX keep what it compiles under `folder`; where it does, or None if it can't be written.

    To be called before anything is compiled, or other programs are kept from then on only.
    """
    config: Any = jax.config
    if config.jax_compilation_cache_dir:
        return Path(config.jax_compilation_cache_dir)
    own = folder / _processor()
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    prune(own, capacity_bytes)
    config.update("jax_compilation_cache_dir", str(own))
    config.update("jax_persistent_cache_min_compile_time_secs", LEAST_COMPILE_S)
    compilation_cache.reset_cache()
    return own


def prune(folder: Path, capacity_bytes: int) -> None:
    """Remove the files read or written least lately until the rest fits."""
    found = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process may be doing the same
            status = path.stat()
            found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    size_bytes = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if size_bytes <= capacity_bytes:
            return
        with suppress(OSError):
            path.unlink()
        size_bytes -= size


def _processor() -> str:
    """A short name of this kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = [platform.processor()]
    kinds = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    text = "\n".join([platform.machine(), *dict.fromkeys(kinds)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
