"""The tape machine before it is loaded, and which jobs' graphs go to it. numba comes with `load`.

Loading native code takes a second, compiling it for the first time up to a minute: no job waits for
that unless it asks for the machine. Meanwhile graphs run on NumPy.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import threading
from collections import Counter
from importlib import import_module
from time import monotonic
from typing import Any, NamedTuple

from pullback_graph.errors import UnsupportedError
from pullback_graph.graph import Graph
from pullback_graph.job import Options
from pullback_graph.tape import (
    Estimate,
    Pointwise,
    Tape,
    estimate,
    estimate_points,
    pointwise,
    tape_dtype,
    tape_of,
    tape_of_point,
)
from pullback_graph.types import DType
from pullback_graph.want import Value, Want
from pullback_worker.executors import is_installed, needs
from pullback_worker.tape_wants import Mode, mode_of

LOG = logging.getLogger(__name__)
EXIT_WAIT_S = 30.0
"""A process that ends waits so long for the compiler, whose single calls nothing can stop."""
LEAST_POINTS = 4
"""Fewer are not worth a look."""


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
        _end_at_exit(thread)

    def _load_aside(self, dtype: DType, mode: Mode) -> None:
        try:
            self.load(dtype, mode)
        except Exception:
            LOG.exception("the tape machine could not be loaded; graphs stay on numpy")
            self.is_offered = False

    def compile_graph(self, graph: Graph, want: Want, way: Route, threads: int = 1) -> Any:
        """The program of a graph's job on its way: of tape_program's, or of tape_points'.

        Args:
            threads: most that share points.

        Raises:
            UnsupportedError: a node is no scalar code; the message names the first that is none.
            LimitExceeded: it has too many scalars.
            InputError, NotDifferentiable: the want does not fit.
        """
        if way.points is not None and isinstance(want, Value):
            one = tape_of_point(graph, way.points)
            if one is not None:
                self.load(*way.kind)
                points: Any = import_module("pullback_worker.tape_points")
                return points.PointsProgram(graph, way.points, one, want, threads)
        return self.compile(tape_of(graph), want)

    def compile(self, tape: Tape, want: Want) -> Any:
        """A `pullback_worker.tape_program.TapeProgram`, its kernels loaded now if need be.

        Raises:
            InputError, NotDifferentiable, LimitExceeded: the want does not fit the tape.
        """
        self.load(tape.dtype, mode_of(tape, want))
        program: Any = import_module("pullback_worker.tape_program")
        return program.compile_tape(tape, want)


# --- the end of the process -----------------------------------------------------------------------

_LOADING: list[threading.Thread] = []


def _end_at_exit(thread: threading.Thread) -> None:
    """Have a thread stop when the process ends, and the process wait for that."""
    if not _LOADING:
        atexit.register(_stop_loading)
    _LOADING.append(thread)


def _stop_loading() -> None:
    """Stop compiling between two steps of Python's: the compiler's own calls must come to an end.

    Their code is torn down when the process exits, so a thread may not be left inside one.
    """
    ends_s = monotonic() + EXIT_WAIT_S
    for thread in _LOADING:
        if thread.ident is not None and thread.is_alive():
            stop = ctypes.pythonapi.PyThreadState_SetAsyncExc
            stop(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    for thread in _LOADING:
        thread.join(max(0.0, ends_s - monotonic()))


# --- which graphs ---------------------------------------------------------------------------------


def sweepable(want: Want, options: Options, *, anywhere: bool = False) -> bool:
    """Whether the machine does what a job asks: all of it, on one thread, and no sparse matrices.

    Args:
        anywhere: where a split has nothing to decide.
    """
    whole = anywhere or options.split.kind in ("auto", "none")
    plain = not options.certificate and not want.features and options.device == "auto"
    return whole and plain and options.executor in ("", "auto", "tape")


def may_move(want: Want, options: Options, *, anywhere: bool = False) -> bool:
    """Whether a graph's job leaves its executor to the service."""
    free = options.executor in ("", "auto") and not options.reproducible
    return free and options.memory_cap_bytes is None and sweepable(want, options, anywhere=anywhere)


class Route(NamedTuple):
    """How a graph's job goes through the machine.

    Attributes:
        dtype, mode: the kernels it needs.
        reason: why it goes there; empty where it had better not.
        points: how the graph is pointwise, where one point's tape is to run at all points.
    """

    dtype: DType
    mode: Mode
    reason: str = ""
    points: Pointwise | None = None

    @property
    def kind(self) -> tuple[DType, Mode]:
        """What a `TapeLoader` loads."""
        return self.dtype, self.mode


def route(graph: Graph, want: Want) -> Route | None:
    """How a graph's job would go, with a reason if it had better; None where it cannot."""
    found = estimate(graph, want)
    if found is None or not graph.inputs:
        return None
    dtype = graph.inputs[0].type.dtype
    points = pointwise(graph) if _may_be_pointwise(graph, want) else None
    if points is None:
        return Route(dtype, mode_of(graph, want), _reason(found, "scalar code"))
    what = f"the same scalar code at {points.count} points"
    return Route(dtype, Mode.POINTS, _reason(estimate_points(graph, points), what), points)


def asked_route(graph: Graph, want: Want) -> Route:
    """How the job of a graph that asks for the machine goes.

    Raises:
        UnsupportedError: its inputs and outputs are not of one floating dtype.
    """
    dtype = tape_dtype(graph)
    found = route(graph, want)
    return Route(dtype, mode_of(graph, want)) if found is None else found


def _reason(found: Estimate, what: str) -> str:
    if not found.suits:
        return ""
    return (
        f"{what}: estimated {found.tape_s * 1e6:.3g} µs a run as a tape, "
        f"{found.numpy_s * 1e6:.3g} µs on numpy"
    )


def _may_be_pointwise(graph: Graph, want: Want) -> bool:
    """Whether a second, closer look at a graph may pay: most of its values have a common length."""
    if not isinstance(want, Value):
        return False
    lengths = [node.types[0].shape[:1] for node in graph.nodes]
    common, times = Counter(lengths).most_common(1)[0] if lengths else ((), 0)
    return bool(common) and common[0] >= LEAST_POINTS and 2 * times > len(lengths)
