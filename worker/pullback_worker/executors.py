"""The executors there are, by name. Each is loaded when a program first needs it, and not before.

A table of names, so that whoever imports this imports none of them but the reference: JAX takes a
second and tens of megabytes.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from pullback_graph.errors import NotFoundError, UnsupportedError
from pullback_graph.job import Options
from pullback_worker.executor import Executor
from pullback_worker.numpy_executor import NumpyExecutor


class Row(NamedTuple):
    """An executor: where its class is, the library it needs, and the extra that brings it."""

    module: str
    class_name: str
    library: str
    extra: str


TABLE: dict[str, Row] = {
    "numpy": Row("pullback_worker.numpy_executor", "NumpyExecutor", "numpy", ""),
    "xla": Row("pullback_worker.xla_executor", "XlaExecutor", "jax", "xla"),
    "tape": Row("pullback_worker.tape_executor", "TapeExecutor", "numba", "tape"),
}
NAMES = ("auto", *TABLE)
"""What a job may ask for."""


@dataclass(frozen=True, slots=True)
class XlaSettings:
    """How this process runs XLA.

    Attributes:
        device: `cpu`, `gpu`, `gpu:1`, or empty for JAX's first.
        threads: of one program on a CPU: 1, or 0 for as many as there are cores.
        keep_compiled: whether compiled programs are kept on disk; not where JAX was loaded before
            by someone else, whose settings these are then.
        alone: whether nobody else in this process uses JAX, so that all of its settings are ours.
    """

    device: str = ""
    threads: int = 0
    keep_compiled: bool = True
    alone: bool = False


class Executors:
    """The executors of one process. Safe to use from several threads.

    Args:
        names: those that this process runs; others are another's.
        numpy_threads: that share long elementwise work on NumPy.
    """

    def __init__(
        self,
        xla: XlaSettings | None = None,
        names: Collection[str] = tuple(TABLE),
        numpy_threads: int = 1,
    ) -> None:
        self._xla = xla or XlaSettings()
        self._names = names
        self._lock = Lock()
        self.numpy = NumpyExecutor(threads=numpy_threads)
        self._loaded: dict[str, Executor] = {"numpy": self.numpy}

    def get(self, name: str) -> Executor:
        """The executor of a name, loaded now if need be; a second the first time for `xla`.

        Raises:
            UnsupportedError: there is none of that name, its library is missing, or its device.
            NotFoundError: another process of the service runs it.
        """
        found = self._loaded.get(name)
        if found is not None:
            return found
        row = TABLE.get(name)
        if row is None:
            raise UnsupportedError(
                f"there is no executor {name!r}; use one of: {', '.join(NAMES)}",
                field="options.executor",
            )
        if name not in self._names:
            raise NotFoundError(f"this process does not run {name}", field="options.executor")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name, row)
            return self._loaded[name]

    def require_gpu(self) -> None:
        """See that XLA runs on a GPU in this process; a second the first time.

        Raises:
            UnsupportedError: it does not; the message says what would.
            NotFoundError: another process of the service runs XLA.
        """
        executor: Any = self.get("xla")
        if executor.on_cpu:
            raise UnsupportedError(
                "there is no GPU here that JAX can use; for NVIDIA GPUs, pip install "
                "'pullback[gpu]', and leave the service's XLA device to be found or set it to gpu",
                field="options.device",
            )

    def version(self, name: str) -> str:
        """The version of an executor that is installed; of one not loaded yet, its library's."""
        found = self._loaded.get(name)
        if found is not None:
            return found.version
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  (it is slow)

        library = TABLE[name].library
        try:
            return f"1/{library}-{version(library)}"
        except PackageNotFoundError:
            return "1"

    def _load(self, name: str, row: Row) -> Executor:
        was_there = row.library in sys.modules
        try:
            kind: Any = getattr(import_module(row.module), row.class_name)
        except ImportError as error:
            raise UnsupportedError(f"{needs(name)} ({error})", field="options.executor") from error
        made: Executor = self._make_xla(kind, was_there) if name == "xla" else kind()
        return made

    def _make_xla(self, kind: Any, was_there: bool) -> Executor:
        settings, cache = self._xla, None
        if settings.keep_compiled and not was_there:
            module: Any = import_module("pullback_worker.xla_cache")
            cache = Path(module.default_folder())
        made: Executor = kind(
            settings.device,
            threads=settings.threads,
            cache=cache,
            alone=settings.alone and not was_there,
        )
        return made


DEVICES = ("auto", "gpu")
"""What a job may ask to run on."""


def executor_asked(options: Options) -> str:
    """The executor a job asks for: `xla` where it asks for a GPU and for no executor; or `auto`.

    Raises:
        UnsupportedError: a name that no executor or device has, an executor that does not run on
            that device, or a memory cap on one that can't keep it.
    """
    executor = options.executor or "auto"
    if executor not in NAMES:
        raise UnsupportedError(
            f"there is no executor {executor[:80]!r}; use one of: {', '.join(NAMES)}",
            field="options.executor",
        )
    if options.device not in DEVICES:
        raise UnsupportedError(
            f"there is no device {options.device[:80]!r}; use one of: {', '.join(DEVICES)}",
            field="options.device",
        )
    if options.device == "gpu" and executor not in ("auto", "xla"):
        raise UnsupportedError(
            f"{executor} does not run on a GPU; use executor xla or auto, or leave out device",
            field="options.device",
        )
    executor = "xla" if options.device == "gpu" else executor
    if executor == "xla" and options.memory_cap_bytes is not None:
        raise UnsupportedError(
            "xla orders and merges nodes as it likes, so it can't keep to a memory cap; leave out "
            "memory_cap_bytes, or use executor numpy or auto",
            field="options.memory_cap_bytes",
        )
    return executor


def needs(name: str) -> str:
    """What to say where an executor's library is missing."""
    row = TABLE[name]
    return (
        f"executor {name!r} needs {row.library}, which can't be imported here; "
        f"pip install 'pullback[{row.extra}]', or use executor auto or numpy"
    )


def is_installed(name: str) -> bool:
    """Whether the library of an executor is there; it is looked for, not imported."""
    row = TABLE.get(name)
    if row is None:
        return False
    try:
        return bool(sys.modules.get(row.library)) or find_spec(row.library) is not None
    except (ImportError, ValueError):
        return False


def installed() -> list[str]:
    """The names of all executors whose library is there."""
    return [name for name in TABLE if is_installed(name)]
