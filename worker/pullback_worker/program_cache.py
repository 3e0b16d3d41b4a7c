"""Compiled programs by what they compute: each is compiled once, the least recently used go first.

Two threads that ask for one key at once share one compilation.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from pullback_graph.graph import Graph
from pullback_graph.subgraphs import subgraphs
from pullback_graph.table import OP_TABLE_VERSION
from pullback_worker.executor import Executor, Program


class ProgramKey(NamedTuple):
    """Everything that decides what a program computes, and to the bit how."""

    fingerprint: str
    op_table_version: int
    executor: str
    executor_version: str


def program_key(graph: Graph, executor: Executor) -> ProgramKey:
    """The key of `graph` on `executor`."""
    return ProgramKey(graph.fingerprint, OP_TABLE_VERSION, executor.name, executor.version)


def _held_bytes(graph: Graph) -> int:
    """Estimated bytes a program keeps alive: its constants, and about a kilobyte a node."""
    return sum(
        sum(array.nbytes for array in one.constants) + 1024 * len(one.nodes)
        for one in (graph, *subgraphs(graph).graphs)
    )


class Lookup(NamedTuple):
    """A program, and what getting it took: `compile_s` is zero on a hit."""

    program: Program
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


class _Entry:
    """A program, or the promise of one while its first asker compiles it."""

    __slots__ = ("program", "ready", "size_bytes")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.program: Program | None = None
        self.size_bytes = 0


class ProgramCache:
    """A bounded cache of programs, safe to use from several threads.

    Args:
        capacity: how many programs it keeps.
        max_bytes: what its programs may hold together, constants and steps; None: any number.
    """

    def __init__(self, capacity: int, max_bytes: int | None = None) -> None:
        self._capacity = max(1, capacity)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[ProgramKey, _Entry] = OrderedDict()
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

    def get(self, graph: Graph, executor: Executor) -> Lookup:
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
                mine = self._entries[key] = _Entry()
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
        self, key: ProgramKey, entry: _Entry, compile: Callable[[], Program], graph: Graph
    ) -> Lookup:
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
                entry.size_bytes = _held_bytes(graph)
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
