"""Loops on the NumPy executor: what they hand on, what stops them, and how they fail."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import Cancelled, ExecutionError
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.text import parse
from pullback_graph.types import FLOAT64, ArrayType
from pullback_worker.executor import CancelFlag
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.numpy_source import MAX_WRITTEN_NODES

VECTOR = ArrayType(FLOAT64, (3,))
F64 = ArrayType(FLOAT64, ())


def run(graph: Graph, *arrays: Any, cancel: CancelFlag | None = None) -> list[Any]:
    """The outputs of a graph."""
    return NumpyExecutor().compile(graph)(list(arrays), cancel)


class SetAfter:
    """A cancel flag that is set once it was looked at so often."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def is_set(self) -> bool:
        """Whether it was."""
        self.looks -= 1
        return self.looks < 0


def endless() -> Graph:
    """A loop whose condition always holds."""
    cond = parse("graph(x: float64[]) {\n%1 = equal(x, x)\nreturn r = %1\n}")
    body = parse("graph(x: float64[]) {\n%1 = sin(x)\nreturn x = %1\n}")
    b = Builder()
    out = b.add("while_loop", b.input("x", F64), cond=cond, body=body, consts=0)
    return b.build({"x": out})


def test_a_cancel_flag_stops_an_endless_loop() -> None:
    """The loop looks at the flag as it goes."""
    with pytest.raises(Cancelled):
        run(endless(), np.asarray(1.0), cancel=SetAfter(5))  # type: ignore[arg-type]  # a stand-in


def test_a_loop_in_another_thread_is_stopped() -> None:
    """Set from outside, while it runs."""
    flag, failed = CancelFlag(), []

    def work() -> None:
        try:
            run(endless(), np.asarray(1.0), cancel=flag)
        except Cancelled as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    flag.set()
    thread.join(10)
    assert failed
    assert not thread.is_alive()


def test_a_flag_reaches_loops_within_loops_and_branches() -> None:
    """However deep the endless loop is."""
    b = Builder()
    xs = b.input("xs", ArrayType(FLOAT64, (2,)))
    inner = Builder()
    x = inner.input("x", F64)
    choice = x < x + 1.0
    same = parse("graph(x: float64[]) {return y = x}")
    forever = endless()
    body = inner.build({"y": inner.add("cond", choice, x, branches=(same, forever))})
    graph = b.build({"y": b.add("scan", xs, body=body, consts=0, carries=0)})
    with pytest.raises(Cancelled):
        run(graph, np.ones(2), cancel=SetAfter(5))  # type: ignore[arg-type]  # a stand-in


def swapping(steps: int) -> Graph:
    """Two carries that change places, an entry given on as it is, and a carry as a result."""
    body = parse(
        "graph(u: float64[3], v: float64[3], x: float64[3]) {return u = v, v = u, y = x, z = u}"
    )
    b = Builder()
    u, v = b.input("u", VECTOR), b.input("v", VECTOR)
    xs = b.input("xs", ArrayType(FLOAT64, (steps, 3)))
    out = b.add("scan", u, v, xs, body=body, consts=0, carries=2)
    return b.build({f"r{i}": ref for i, ref in enumerate(out)})


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_results_share_memory_with_nothing(steps: int) -> None:
    """Carries that are only handed on come back as copies; inputs stay what they were."""
    u, v, xs = np.arange(3.0), np.ones(3), np.arange(3.0 * steps).reshape(steps, 3)
    before = [array.copy() for array in (u, v, xs)]
    results = run(swapping(steps), u, v, xs)
    for one in results:
        assert not any(np.shares_memory(one, array) for array in (u, v, xs))
    assert not np.shares_memory(results[0], results[1])
    first, last = (u, v) if steps % 2 == 0 else (v, u)
    np.testing.assert_array_equal(results[0], first)
    np.testing.assert_array_equal(results[1], last)
    np.testing.assert_array_equal(results[2], xs)
    for array, old in zip((u, v, xs), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_a_large_carry_is_not_written_over_while_it_is_needed() -> None:
    """Arrays large enough to be reused in a body: what is carried and stacked stays intact."""
    size = 20_000
    body = parse(f"""graph(a: float64[{size}], h: float64[{size}]) {{
      %2 = multiply(h, a)
      %3 = add(%2, a)
      %4 = sin(%3)
      %5 = add(%4, h)
      return h = %4, y = %5
    }}""")
    b = Builder()
    kind = ArrayType(FLOAT64, (size,))
    out = b.add(
        "scan", b.input("a", kind), b.input("h", kind), body=body, consts=1, carries=1, length=3
    )
    a, h = np.random.default_rng(0).normal(size=(2, size))
    last, stacked = run(b.build({"h": out[0], "y": out[1]}), a, h)
    for step in range(3):
        after = np.sin(h * a + a)
        np.testing.assert_array_equal(stacked[step], after + h)
        h = after
    np.testing.assert_array_equal(last, h)


def test_an_error_names_the_node_of_the_body() -> None:
    """What fails inside a loop is located there."""
    body = parse(
        "graph(h: float64[], x: float64[]) {\n%2 = sin(h)\n%3 = add(%2, x)\nreturn h = %3\n}"
    )
    b = Builder()
    h, xs = b.input("h", F64), b.input("xs", ArrayType(FLOAT64, (2,)))
    graph = b.build({"h": b.add("scan", h, xs, body=body, consts=0, carries=1)})
    with pytest.raises(
        ExecutionError, match=r"node 0 sin\(float64\[\]\): ufunc 'sin' not supported"
    ):
        run(graph, np.asarray("a"), np.ones(2))


def test_a_body_too_long_to_be_written_is_called() -> None:
    """A body of thousands of nodes gives what a short one repeated gives."""
    b = Builder()
    h: Ref = b.input("h", F64)
    for _ in range(MAX_WRITTEN_NODES + 1):
        h = do.cos(h)
    long = b.build({"h": h})
    short = parse("graph(h: float64[]) {\n%1 = cos(h)\nreturn h = %1\n}")

    def looped(body: Graph, length: int) -> Graph:
        b = Builder()
        h = b.input("h", F64)
        return b.build({"h": b.add("scan", h, body=body, consts=0, carries=1, length=length)})

    ours = run(looped(long, 2), np.asarray(0.5))
    theirs = run(looped(short, 2 * (MAX_WRITTEN_NODES + 1)), np.asarray(0.5))
    assert ours[0] == theirs[0]


def test_threads_share_a_program() -> None:
    """One compiled loop, called from several threads at once, keeps their values apart."""
    body = parse("graph(h: float64[3], x: float64[3]) {\n%2 = add(h, x)\nreturn h = %2, y = %2\n}")
    b = Builder()
    h, xs = b.input("h", VECTOR), b.input("xs", ArrayType(FLOAT64, (500, 3)))
    out = b.add("scan", h, xs, body=body, consts=0, carries=1)
    program = NumpyExecutor().compile(b.build({"h": out[0], "y": out[1]}))
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(10):
            last, stacked = program([np.zeros(3), np.full((500, 3), float(k))])
            if not (last == 500 * k).all() or not (stacked[99] == 100 * k).all():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
