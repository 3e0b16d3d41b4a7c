"""Compiles hot graphs with XLA in the background: one thread, one graph at a time, a bounded queue.

JAX is loaded by that thread at the first such graph: neither start-up nor a first call waits for
it. A graph that could not be compiled is never tried again, and compiled ones have bounded memory.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import OrderedDict
from queue import Full, Queue
from time import perf_counter
from typing import Protocol
from weakref import ref

from pullback_graph.errors import PullbackError
from pullback_worker.choice import Adaptive, Choice, Fixed, Running
from pullback_worker.executors import Executors
from pullback_worker.promotion import HOLDS_XLA, Promotion, prospect
from pullback_worker.xla_limits import held_bytes

LOG = logging.getLogger(__name__)

MOST_WAITING = 32
CAPACITY_BYTES = 512 << 20
"""What programs in use on XLA may take together; those run least lately give way."""
MOST_FAILURES = 4096
"""Graphs remembered not to compile; about a hundred bytes each."""
NICENESS = 10
"""Of the compiling thread: requests go first."""
EXIT_WAIT_S = 30.0
"""A process that ends waits so long for a compilation, which nothing can stop."""


class Watcher(Protocol):
    """Told what became of graphs, on whichever thread it happened."""

    def compiled(self, executor: str, seconds: float) -> None:
        """A graph was compiled in the background."""

    def promotion_ended(self, result: str) -> None:
        """It was found `faster`, `slower`, or it `failed`."""


class Promoter:
    """Makes choices that may move to XLA. Safe to use from several threads.

    Args:
        executors: of the process; `xla` is loaded through it.
        watcher: told of compilations, and of how they ended.
        capacity_bytes: what programs in use may take together.
    """

    def __init__(
        self,
        executors: Executors,
        watcher: Watcher | None = None,
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        self._executors = executors
        self._watcher = watcher
        self._capacity_bytes = capacity_bytes
        self._in_use: list[tuple[ref[Adaptive], int]] = []
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, str] = OrderedDict()
        self._waiting: Queue[Adaptive | None] = Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None

    def choice(self, running: Running) -> Choice:
        """A choice that starts with a NumPy program; one that stays, where XLA can't pay."""
        graph = running.program.graph
        found = prospect(graph)
        if isinstance(found, str):
            return Fixed(running._replace(reason=found))
        with self._lock:
            failure = self._failures.get(graph.fingerprint)
        if failure is not None:
            return Fixed(running._replace(reason=failure))
        return Adaptive(graph, running, Promotion(found), self._enqueue, self._ended)

    def close(self, wait_s: float = EXIT_WAIT_S) -> None:
        """Compile no more; wait for what is being compiled."""
        with self._lock:
            thread, self._thread = self._thread, None
        atexit.unregister(self.close)
        if thread is None:
            return
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put(None)
        thread.join(wait_s)

    def _enqueue(self, choice: Adaptive) -> bool:
        """Have a graph compiled; False where too many wait."""
        try:
            self._waiting.put_nowait(choice)
        except Full:
            return False
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="pullback-compile", daemon=True
                )
                self._thread.start()
                self._close_at_exit()
        return True

    def _work(self) -> None:
        """Compile what comes, for ever."""
        is_nice = False
        while self._compile_next():
            if not is_nice:  # only now: threads that JAX starts with are not to be as nice
                is_nice = True
                _be_nice()

    def _compile_next(self) -> bool:
        """Wait for a choice and compile its graph; False at the end. It is not held after."""
        choice = self._waiting.get()
        if choice is not None:
            self._compile(choice)
        return choice is not None

    def _compile(self, choice: Adaptive) -> None:
        started_s = perf_counter()
        try:
            executor = self._executors.get("xla")
            self._close_at_exit()
            program = executor.compile(choice.graph)
            choice.compiled(program, executor.version)
            self._make_room(choice, held_bytes(choice.graph))
        except Exception as error:
            self._note(choice, error)
        if self._watcher is not None:
            self._watcher.compiled("xla", perf_counter() - started_s)

    def _ended(self, result: str) -> None:
        if self._watcher is not None:
            self._watcher.promotion_ended(result)

    def _make_room(self, choice: Adaptive, size_bytes: int) -> None:
        """Count a program in; those run least lately go back to NumPy where there are too many."""
        self._in_use = [(known, size) for known, size in self._in_use if _holds_xla(known())]
        self._in_use.append((ref(choice), size_bytes))
        total_bytes = sum(size for _, size in self._in_use)
        self._in_use.sort(key=_last_run_s)
        while total_bytes > self._capacity_bytes and len(self._in_use) > 1:
            known, size = self._in_use.pop(0)
            total_bytes -= size
            first = known()
            if first is not None:
                first.evicted()

    def _close_at_exit(self) -> None:
        """Be closed before anything registered so far is: JAX, once loaded, must outlive it."""
        atexit.unregister(self.close)
        atexit.register(self.close)

    def _note(self, choice: Adaptive, error: Exception) -> None:
        """A graph that XLA can't compile stays on NumPy, and is not tried again."""
        said = error.message if isinstance(error, PullbackError) else repr(error)
        why = f"numpy, as xla could not compile it: {said}"
        LOG.warning("a graph of %d nodes stays on %s", choice.graph.node_count, why)
        with self._lock:
            self._failures[choice.graph.fingerprint] = why
            while len(self._failures) > MOST_FAILURES:
                self._failures.popitem(last=False)
        choice.gave_up(why)


def _holds_xla(choice: Adaptive | None) -> bool:
    return choice is not None and choice.stage in HOLDS_XLA


def _last_run_s(held: tuple[ref[Adaptive], int]) -> float:
    choice = held[0]()
    return 0.0 if choice is None else choice.last_run_s


def _be_nice() -> None:
    """Let this thread run behind others; on Linux, threads have priorities of their own."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except (OSError, AttributeError):
        LOG.debug("the compiling thread keeps its priority")
