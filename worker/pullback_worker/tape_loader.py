"""The tape machine before it is loaded, and which jobs' graphs go to it. numba comes with `load`.

Loading native code takes a second, compiling it for the first time up to a minute: no job waits for
that unless it asks for the machine. Meanwhile graphs run on NumPy.
"""

from __future__ import annotations

import atexit
import logging
import threading
from importlib import import_module
from typing import Any

from pullback_graph.errors import UnsupportedError
from pullback_graph.graph import Graph
from pullback_graph.job import Options
from pullback_graph.tape import Tape, estimate, tape_dtype
from pullback_graph.types import DType
from pullback_graph.want import Want
from pullback_worker.executors import is_installed, needs
from pullback_worker.tape_wants import Mode, mode_of

LOG = logging.getLogger(__name__)
EXIT_WAIT_S = 30.0
"""A process that ends waits so long for a compilation, which nothing can stop."""


class TapeLoader:
    """Loads the machine, now or on a thread of its own. Safe to use from several threads.

    Attributes:
        is_offered: whether numba is there; False too once the machine could not be loaded.
    """

    def __init__(self) -> None:
        self.is_offered = is_installed("tape")
        self._lock = threading.Lock()
        self._begun: set[tuple[DType, Mode]] = set()
        self._ready: set[tuple[DType, Mode]] = set()

    def is_ready(self, dtype: DType, mode: Mode) -> bool:
        """Whether a job would not have to wait for its kernels."""
        return (dtype, mode) in self._ready

    def require(self) -> None:
        """Refuse a job that insists on the machine where numba is missing.

        Raises:
            UnsupportedError: it is; the message has the command that installs it.
        """
        if not self.is_offered:
            raise UnsupportedError(needs("tape"), field="options.executor")

    def load(self, dtype: DType, mode: Mode) -> None:
        """Load or compile the kernels of one kind of job; at once where that was done before."""
        if not self.is_ready(dtype, mode):
            warm: Any = import_module("pullback_worker.tape_warm")
            warm.warm(dtype, mode)
            self._ready.add((dtype, mode))

    def begin(self, dtype: DType, mode: Mode) -> None:
        """Load them on a thread, once."""
        with self._lock:
            if not self.is_offered or (dtype, mode) in self._begun | self._ready:
                return
            self._begun.add((dtype, mode))
        thread = threading.Thread(
            target=self._load_aside, args=(dtype, mode), name="pullback-tape", daemon=True
        )
        thread.start()
        atexit.register(thread.join, EXIT_WAIT_S)

    def _load_aside(self, dtype: DType, mode: Mode) -> None:
        try:
            self.load(dtype, mode)
        except Exception:
            LOG.exception("the tape machine could not be loaded; graphs stay on numpy")
            self.is_offered = False

    def compile(self, tape: Tape, want: Want) -> Any:
        """A `pullback_worker.tape_program.TapeProgram`, its kernels loaded now if need be.

        Raises:
            InputError, NotDifferentiable, LimitExceeded: the want does not fit the tape.
        """
        self.load(tape.dtype, mode_of(tape, want))
        program: Any = import_module("pullback_worker.tape_program")
        return program.compile_tape(tape, want)


# --- which graphs ---------------------------------------------------------------------------------


def sweepable(want: Want, options: Options, *, anywhere: bool = False) -> bool:
    """Whether the machine does what a job asks: all of it, on one thread, and no sparse matrices.

    Args:
        anywhere: where a split has nothing to decide.
    """
    whole = anywhere or options.split.kind in ("auto", "none")
    plain = not options.certificate and not want.features
    return whole and plain and options.executor in ("", "auto", "tape")


def may_move(want: Want, options: Options, *, anywhere: bool = False) -> bool:
    """Whether a graph's job leaves its executor to the service."""
    free = options.executor in ("", "auto") and not options.reproducible
    return free and options.memory_cap_bytes is None and sweepable(want, options, anywhere=anywhere)


def why_tape(graph: Graph, want: Want) -> str:
    """Why a graph had better run as a tape; empty where it had not."""
    found = estimate(graph, want)
    if found is None or not found.suits:
        return ""
    return (
        f"scalar code: estimated {found.tape_s * 1e6:.3g} µs a run as a tape, "
        f"{found.numpy_s * 1e6:.3g} µs on numpy"
    )


def kind_of(graph: Graph, want: Want) -> tuple[DType, Mode]:
    """Which kernels a job on a graph needs."""
    return tape_dtype(graph), mode_of(graph, want)
