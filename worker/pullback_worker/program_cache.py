"""What executors make of graphs: each is made once, the least recently used go first.

Two threads that ask for one key at once share one compilation.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, NamedTuple, Protocol, TypeVar

from pullback_graph.graph import Graph
from pullback_graph.subgraphs import subgraphs
from pullback_graph.table import OP_TABLE_VERSION

Made = TypeVar("Made")
Made_co = TypeVar("Made_co", covariant=True)
"""What a graph is made into: a program, or a choice of programs."""


class Maker(Protocol[Made_co]):
    """An executor, or what chooses one."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def version(self) -> str:
        """Changes with what it makes."""

    def compile(self, graph: Graph) -> Made_co:
        """What it makes of a graph."""


class ProgramKey(NamedTuple):
    """Everything that decides what a program computes, and to the bit how."""

    fingerprint: str
    op_table_version: int
    executor: str
    executor_version: str


def program_key(graph: Graph, executor: Maker[object]) -> ProgramKey:
    """The key of `graph` on `executor`."""
    return ProgramKey(graph.fingerprint, OP_TABLE_VERSION, executor.name, executor.version)


def held_bytes(graph: Graph) -> int:
    """Estimated bytes a NumPy program keeps alive: constants, and about a kilobyte a node."""
    return sum(
        sum(array.nbytes for array in one.constants) + 1024 * len(one.nodes)
        for one in (graph, *subgraphs(graph).graphs)
    )


class Lookup(NamedTuple, Generic[Made]):
    """A program, and what getting it took: `compile_s` is zero on a hit."""

    program: Made
    hit: bool
    compile_s: float


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """What a cache did so far, and what it holds now."""

    hits: int
    misses: int
    compile_s: float
    programs: int
    size_bytes: int


class _Entry(Generic[Made]):
    """A program, or the promise of one while its first asker compiles it."""

    __slots__ = ("program", "ready", "size_bytes")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.program: Made | None = None
        self.size_bytes = 0


class ProgramCache(Generic[Made]):
    """A bounded cache of programs, safe to use from several threads.

    Args:
        capacity: how many programs it keeps.
        max_bytes: what its programs may hold together, constants and steps; None: any number.
        size_bytes: about what a program holds.
    """

    def __init__(
        self,
        capacity: int,
        max_bytes: int | None = None,
        size_bytes: Callable[[Graph, str], int] = lambda graph, _: held_bytes(graph),
    ) -> None:
        self._size_of = size_bytes
        self._capacity = max(1, capacity)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[ProgramKey, _Entry[Made]] = OrderedDict()
        self._hits = self._misses = self._size_bytes = 0
        self._compile_s = 0.0

    @property
    def counts(self) -> CacheCounts:
        """Hits, misses and seconds spent compiling since the start; programs and bytes held."""
        with self._lock:
            programs = sum(entry.ready.is_set() for entry in self._entries.values())
            return CacheCounts(
                self._hits, self._misses, self._compile_s, programs, self._size_bytes
            )

    def get(self, graph: Graph, executor: Maker[Made]) -> Lookup[Made]:
        """The program of `graph`, compiled now if it is not held.

        Raises:
            PullbackError: what compiling raised; nothing is kept, whoever waited tries anew.
        """
        key = program_key(graph, executor)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                self._hits += 1
            else:
                self._misses += 1
                mine: _Entry[Made] = _Entry()
                self._entries[key] = mine
        if entry is None:
            return self._compile(key, mine, lambda: executor.compile(graph), graph)
        entry.ready.wait()
        if entry.program is None:
            return self.get(graph, executor)
        return Lookup(entry.program, hit=True, compile_s=0.0)

    def __contains__(self, key: ProgramKey) -> bool:
        with self._lock:
            return key in self._entries

    def clear(self) -> None:
        """Forget every program."""
        with self._lock:
            self._entries.clear()
            self._size_bytes = 0

    def _compile(
        self, key: ProgramKey, entry: _Entry[Made], compile: Callable[[], Made], graph: Graph
    ) -> Lookup[Made]:
        """Compile outside the lock, then keep the promise made to those who wait."""
        started = perf_counter()
        try:
            entry.program = compile()
        except BaseException:
            with self._lock:
                if self._entries.get(key) is entry:
                    del self._entries[key]
            raise
        finally:
            compile_s = perf_counter() - started
            entry.ready.set()
        with self._lock:
            self._compile_s += compile_s
            if self._entries.get(key) is entry:
                entry.size_bytes = self._size_of(graph, key.executor)
                self._size_bytes += entry.size_bytes
            self._evict()
        return Lookup(entry.program, hit=False, compile_s=compile_s)

    def _evict(self) -> None:
        """Drop the least recently used programs that are over a bound; promises stay."""
        for key in list(self._entries):
            over_bytes = self._max_bytes is not None and self._size_bytes > self._max_bytes
            if len(self._entries) <= self._capacity and not over_bytes:
                return
            entry = self._entries[key]
            if entry.ready.is_set():
                del self._entries[key]
                self._size_bytes -= entry.size_bytes
