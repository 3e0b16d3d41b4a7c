"""The program cache: one compilation a key, bounds kept, counts true."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import ExecutionError
from pullback_graph.graph import Graph
from pullback_graph.table import OP_TABLE_VERSION
from pullback_graph.types import FLOAT64, ArrayType
from pullback_worker.executor import CancelFlag, NDArray, Program
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.program_cache import ProgramCache, program_key


class RecordingExecutor:
    """Compiles with NumPy and remembers what it compiled; may wait or fail first."""

    def __init__(self, version: str = "1") -> None:
        self.name = "recording"
        self.version = version
        self.compiled: list[Graph] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.started = threading.Event()
        self.failures = 0

    def compile(self, graph: Graph) -> Program:
        """The NumPy program, once it may."""
        self.compiled.append(graph)
        self.started.set()
        assert self.may_go_on.wait(30)
        if self.failures:
            self.failures -= 1
            raise ExecutionError("no")
        return NumpyExecutor().compile(graph)


def times(factor: float, size: int = 2) -> Graph:
    """x times a constant vector."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (size,)))
    return builder.build({"z": x * builder.constant(np.full(size, factor))})


def run(program: Program, arrays: Sequence[NDArray]) -> list[float]:
    """The first result as a list."""
    found: list[float] = program(arrays, CancelFlag())[0].tolist()
    return found


def test_a_program_is_compiled_once():
    """The second look-up of an equal graph is a hit and costs no compilation."""
    cache, executor = ProgramCache[Program](4), RecordingExecutor()
    first, second = cache.get(times(2.0), executor), cache.get(times(2.0), executor)
    assert (first.hit, second.hit) == (False, True)
    assert first.program is second.program
    assert first.compile_s > 0.0 == second.compile_s
    assert run(second.program, [np.ones(2)]) == [2.0, 2.0]
    counts = cache.counts
    assert (counts.hits, counts.misses, counts.programs) == (1, 1, 1)
    assert counts.compile_s == first.compile_s


def test_the_key_holds_what_decides_the_bits():
    """Another graph, executor or version is another program."""
    executor = RecordingExecutor()
    keys = {
        program_key(times(1.0), executor),
        program_key(times(2.0), executor),
        program_key(times(1.0), RecordingExecutor("2")),
        program_key(times(1.0), NumpyExecutor()),
    }
    assert len(keys) == 4
    assert program_key(times(1.0), executor).op_table_version == OP_TABLE_VERSION


def test_the_least_recently_used_goes_first():
    """Over capacity, what was asked for longest ago is compiled anew."""
    cache, executor = ProgramCache[Program](2), RecordingExecutor()
    for factor in (1.0, 2.0, 1.0, 3.0):
        cache.get(times(factor), executor)
    assert cache.get(times(1.0), executor).hit
    assert program_key(times(2.0), executor) not in cache
    assert cache.counts.programs == 2


def test_bytes_are_bounded():
    """Large constants push older programs out; the count of bytes follows."""
    cache, executor = ProgramCache[Program](100, max_bytes=40_000), RecordingExecutor()
    for factor in range(10):
        cache.get(times(float(factor), size=1000), executor)
    counts = cache.counts
    assert 1 <= counts.programs < 10
    assert 8_000 <= counts.size_bytes <= 40_000
    cache.clear()
    assert (cache.counts.programs, cache.counts.size_bytes) == (0, 0)


def test_two_who_ask_at_once_share_one_compilation():
    """Threads that ask while it compiles wait for it and get the same program."""
    cache, executor = ProgramCache[Program](4), RecordingExecutor()
    executor.may_go_on.clear()
    programs: list[Program] = []
    threads = [
        threading.Thread(target=lambda: programs.append(cache.get(times(2.0), executor).program))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    assert executor.started.wait(30)
    executor.may_go_on.set()
    for thread in threads:
        thread.join()
    assert len(executor.compiled) == 1
    assert len(programs) == 5
    assert len(set(map(id, programs))) == 1
    assert (cache.counts.misses, cache.counts.hits) == (1, 4)


def test_other_programs_are_served_while_one_compiles():
    """Compiling holds no lock."""
    cache, executor, quick = ProgramCache[Program](4), RecordingExecutor(), RecordingExecutor()
    executor.may_go_on.clear()
    thread = threading.Thread(target=cache.get, args=(times(2.0), executor))
    thread.start()
    assert executor.started.wait(30)
    assert not cache.get(times(3.0), quick).hit
    executor.may_go_on.set()
    thread.join()


def test_a_failed_compilation_is_not_kept():
    """The error reaches who asked, and the next look-up tries again."""
    cache, executor = ProgramCache[Program](4), RecordingExecutor()
    executor.failures = 1
    with pytest.raises(ExecutionError):
        cache.get(times(2.0), executor)
    assert not cache.get(times(2.0), executor).hit
    assert len(executor.compiled) == 2


def test_who_waited_for_a_failure_tries_anew():
    """A waiter does not get another asker's error."""
    cache, executor = ProgramCache[Program](4), RecordingExecutor()
    executor.failures = 1
    executor.may_go_on.clear()
    outcomes: list[bool] = []

    def ask() -> None:
        try:
            outcomes.append(bool(cache.get(times(2.0), executor).program))
        except ExecutionError:
            outcomes.append(False)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert executor.started.wait(30)
    executor.may_go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, True, True]
