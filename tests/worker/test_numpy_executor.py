"""The reference executor against the plainest interpreter, and its promises about memory."""

from __future__ import annotations

import threading
import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph import memory
from pullback_graph.builder import Builder
from pullback_graph.errors import Cancelled, InputError, OutOfMemory
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.table import OPS
from pullback_graph.types import FLOAT64, ArrayType, Shape
from pullback_worker.buffer_reuse import overwritten
from pullback_worker.executor import CancelFlag
from pullback_worker.numpy_executor import NumpyExecutor, fold
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.registers import Registers
from tests.graph.interpreter import evaluate
from tests.worker.random_graphs import graphs, operands

EAGER = NumpyExecutor(overwrite_bytes=0)
"""Writes over every array that it may write over, however small."""


def chain(shape: Shape, length: int) -> Graph:
    """x, then -x, then x + x, and so on."""
    builder = Builder()
    z = x = builder.input("x", ArrayType(FLOAT64, shape))
    for position in range(length):
        z = z + x if position % 2 else -z
    return builder.build({"z": z})


EXECUTORS = [
    EAGER,
    NumpyExecutor(),
    NumpyExecutor(written_calls=1),
    NumpyExecutor(overwrite_bytes=0, chained_bytes=1, block_elements=3),
]


@given(graphs(), st.sampled_from(EXECUTORS))
def test_agrees_with_the_plain_interpreter_to_the_bit(graph: Graph, executor: NumpyExecutor):
    """Registers, dropping, overwriting and writing source change no bit, in either of two runs."""
    arrays = operands(graph)
    expected = evaluate(graph, [array.copy() for array in arrays])
    program = executor.compile(graph)
    for _ in range(2):
        for ours, plain in zip(program(arrays), expected, strict=True):
            np.testing.assert_array_equal(ours, plain, strict=True)


@given(graphs(), st.booleans())
def test_results_are_fresh_contiguous_arrays(graph: Graph, again: bool):
    """No result shares memory with an input, a constant or another result; all can be written."""
    arrays = operands(graph)
    program = NumpyExecutor(overwrite_bytes=0, written_calls=1).compile(graph)
    results = program(arrays)
    results = program(arrays) if again else results
    for result in results:
        assert type(result) is np.ndarray
        assert result.flags.c_contiguous
        assert result.flags.writeable
    for one, other in combinations([*results, *arrays, *graph.constants], 2):
        if any(one is result for result in results):
            assert not np.shares_memory(one, other)


@given(graphs())
def test_operands_are_never_written(graph: Graph):
    """Inputs and constants hold afterwards what they held before."""
    arrays = [array.copy() for array in operands(graph)]
    before = [array.copy() for array in (*arrays, *graph.constants)]
    EAGER.compile(graph)(arrays)
    for array, copy in zip((*arrays, *graph.constants), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def written_over(make: object, shape: Shape = (4,)) -> list[int]:
    """What each node of the graph of `make(x)` is written over."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, shape))
    graph = builder.build({"z": make(x)})  # type: ignore[operator]
    functions = [node.op.run(NUMPY, **node.attributes) for node in graph.nodes]
    return overwritten(graph, functions, Registers(graph), 0)


def test_what_dies_unseen_is_written_over():
    """A chain of ufuncs needs one array beside its input, which is never touched."""
    assert written_over(lambda x: do.sin(do.exp(-x))) == [-1, 1, 2]


def divided_by_its_sum(x: Ref) -> Ref:
    """An array that a reduction and a choice read before it dies."""
    y = do.exp(x)
    total = do.sum(y, axes=(0,), keepdims=True)
    chosen = do.where(y < 1.0, y, total)
    z: Ref = (y / total) * chosen
    return z


def test_what_a_kernel_reads_but_keeps_not_is_written_over():
    """Reductions and choices return arrays of their own, so what they read may be written over."""
    assert written_over(divided_by_its_sum)[-2:] == [2, 6]


@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("name", ["sum", "max", "prod"])
def test_a_reduction_shares_no_memory_with_its_operand(name: str, axes: Shape):
    """Over no axes and over axes of one element too: it may be written over."""
    for shape in ((3, 4), (1, 1), (400, 3), (1, 400)):
        x = np.ones(shape)
        for keepdims in (False, True):
            z = OPS[name].run(NUMPY, axes=axes, keepdims=keepdims)(x)
            assert not np.shares_memory(z, x)


def kept_by_a_view(x: Ref) -> Ref:
    """An array whose view outlives it."""
    y = -x
    view = do.reshape(y, shape=(2, 2))
    z: Ref = do.concat(do.reshape(do.exp(y), shape=(2, 2)), view, axis=0)
    return z


def test_what_a_view_shows_is_not_written_over():
    """An array with a living view keeps its elements after its own last use."""
    assert set(written_over(kept_by_a_view)) == {-1}


def test_what_is_read_again_is_not_written_over():
    """Only a last use frees an array, and an array of another type is no place for a result."""
    assert written_over(lambda x: do.where(-x < 0, x, x)) == [-1, -1, -1]


def doubled_twice(x: Ref) -> Ref:
    """The last use of y names it beside another array that dies."""
    y = x + x
    z: Ref = do.exp(y) * y
    return z


def test_an_operand_given_twice_may_be_written_over():
    """y dies where exp(y) * y is formed, and either operand will do."""
    assert written_over(doubled_twice)[-1] in (1, 2)


def test_memory_stays_within_the_estimate():
    """Running a long chain of large arrays holds no more than `peak_bytes`, and dead ones go."""
    graph = chain((1 << 17,), 40)
    program = NumpyExecutor(overwrite_bytes=1 << 40).compile(graph)
    array = np.ones(1 << 17)
    program([array])
    tracemalloc.start()
    program([array])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert program.peak_bytes == memory.peak_bytes(graph)
    assert peak < program.peak_bytes


class FlagSetLater(CancelFlag):
    """A cancel flag that is set at its n-th polling, as if another thread had done it."""

    def __init__(self, polls: int) -> None:
        self.left = polls

    @property
    def is_set(self) -> bool:  # type: ignore[override]
        """Whether it was polled often enough."""
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("polls", [1, 5])
def test_a_program_stops_between_nodes(polls: int):
    """A flag set before or during the run ends it, the program staying usable."""
    program = NumpyExecutor().compile(chain((2,), 1000))
    with pytest.raises(Cancelled):
        program([np.ones(2)], FlagSetLater(polls))
    assert program([np.ones(2)], CancelFlag())


def test_large_nodes_are_polled_for_one_by_one():
    """A program of few but large nodes looks at the flag before each."""
    flag = FlagSetLater(1000)
    executor = NumpyExecutor(chained_bytes=1 << 40)
    executor.compile(chain((1 << 16,), 10))([np.ones(1 << 16)], flag)
    assert 1000 - flag.left == 10


def test_what_does_not_fit_in_memory_names_its_node():
    """An array too large for any machine is OutOfMemory at its node, not a crash."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    graph = builder.build({"z": -do.broadcast_to(x, shape=(1 << 50,))})
    with pytest.raises(OutOfMemory, match=r"node 1 negative\(float64\[") as raised:
        NumpyExecutor().compile(graph)([np.ones(())])
    assert raised.value.field == "graph.nodes[1]"


def test_a_wrong_number_of_inputs_is_refused():
    """A program says how many inputs it takes."""
    with pytest.raises(InputError, match="takes 1 input"):
        NumpyExecutor().compile(chain((2,), 1))([])


def test_nothing_that_floats_do_warns():
    """Division by zero, overflow and NaN are values, not warnings (which the tests make errors)."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (3,)))
    graph = builder.build({"a": x / (x - x), "b": do.exp(x * 1e308), "c": do.log(-x)})
    results = NumpyExecutor().compile(graph)([np.array([0.0, 1.0, 2.0])])
    assert np.isnan(results[0][0])
    assert np.isinf(results[1][1])


@pytest.mark.filterwarnings("error")
def test_one_program_runs_in_many_threads():
    """Runs at the same time do not see each other's registers."""
    program = EAGER.compile(chain((50,), 200))
    expected = {n: program([np.full(50, float(n))])[0] for n in range(8)}
    found: dict[int, list[np.ndarray]] = {n: [] for n in expected}

    def work(n: int) -> None:
        for _ in range(20):
            found[n] += program([np.full(50, float(n))])

    threads = [threading.Thread(target=work, args=(n,)) for n in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, results in found.items():
        assert len(results) == 20
        assert all(np.array_equal(result, expected[n]) for result in results)


def test_a_graph_without_nodes_copies_its_input():
    """An input that is an output comes back as a copy."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (2,)))
    given_array = np.ones(2)
    (result,) = NumpyExecutor().compile(builder.build({"x": x}))([given_array])
    assert result is not given_array
    assert np.array_equal(result, given_array)


def test_folding_gives_fresh_arrays():
    """Folding a view copies it, and 0-d results are arrays."""
    x = np.arange(6.0)
    (folded,) = fold(OPS["reshape"], [x], {"shape": (2, 3)})
    assert not np.shares_memory(folded, x)
    (total,) = fold(OPS["add"], [np.ones(()), np.ones(())], {})
    assert type(total) is np.ndarray
    assert total == 2.0


def test_the_version_names_numpy():
    """Results may change with NumPy, so a program's key must."""
    assert np.__version__ in NumpyExecutor.version


# --- inputs that may be written over -------------------------------------------------------------


def spent_graph(later: bool) -> Graph:
    """The sum of two arrays; where `later`, times the second of them."""
    builder = Builder()
    x, y = (builder.input(name, ArrayType(FLOAT64, (1 << 14,))) for name in "xy")
    total = do.add(x, y)
    return builder.build({"z": do.multiply(total, y) if later else total})


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("spare", [{0}, {1}, {0, 1}])
def test_spare_inputs_are_written_over_and_others_are_not(spare: set[int], later: bool):
    """The result has the place of one, and its bits; what is read again keeps its own till then."""
    x, y = np.random.default_rng(0).normal(size=(2, 1 << 14))
    program = NumpyExecutor().compile(spent_graph(later))
    (expected,) = program([x, y])
    arrays = [x.copy(), y.copy()]
    (found,) = program.spending(frozenset(spare))(arrays)
    np.testing.assert_array_equal(found, expected)
    for k, array in enumerate((x, y)):
        assert k in spare or np.array_equal(arrays[k], array)
    assert later or any(np.shares_memory(found, arrays[k]) for k in spare)
    assert not any(np.shares_memory(found, array) for array in program([x, y]))


def test_a_large_graph_spends_none_of_its_inputs():
    """Each choice of inputs is a program of its own, worth it for sums alone."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (1 << 14,)))
    for _ in range(100):
        x = do.sin(x)
    program = NumpyExecutor().compile(builder.build({"z": x}))
    assert program.spending(frozenset([0])) is program
