"""Sparse Jacobians and Hessians: at the places of a pattern stand the values of the dense ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_graph.builder import Builder
from pullback_graph.derivative import Lowered, lower, many_seeds
from pullback_graph.derivative.positions import box_of
from pullback_graph.errors import LimitExceeded, NotDifferentiable
from pullback_graph.graph import Graph
from pullback_graph.pattern import SparseArray
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT32, FLOAT64, INT64, ArrayType
from pullback_graph.want import Hessian, Jacobian, Want
from pullback_worker.numpy_executor import fold
from tests.graph.drawing import NDArray
from tests.graph.interpreter import evaluate
from tests.graph.random_graphs import graphs, operands
from tests.graph.test_sparsity import of_vector, part

SETTINGS = settings(max_examples=40)


def derivatives(graph: Graph, want: Want, arrays: Sequence[NDArray]) -> list[NDArray]:
    """The derivatives in order, sparse ones written out."""
    lowered = lower(graph, want, fold=fold)
    named = lowered.named(evaluate(lowered.graph, arrays)[lowered.value_count :])
    return [x.toarray() if isinstance(x, SparseArray) else x for x in named.values()]


def assert_same(graph: Graph, dense: Want, sparse: Want, arrays: Sequence[NDArray]) -> None:
    """The sparse derivatives are the dense ones as matrices, dtypes included."""
    with np.errstate(all="ignore"):
        expected = derivatives(graph, dense, arrays)
        found = derivatives(graph, sparse, arrays)
    assert len(found) == len(expected)
    for matrix, block in zip(found, expected, strict=True):
        assert matrix.dtype == block.dtype
        assert matrix.size == block.size
        tolerance = 1e-9 if block.dtype == FLOAT64 else 1e-3
        np.testing.assert_allclose(
            matrix, block.reshape(matrix.shape), rtol=tolerance, atol=tolerance
        )


@SETTINGS
@given(graphs(max_nodes=14))
def test_sparse_jacobians_of_random_graphs_are_the_dense_ones(graph: Graph) -> None:
    """Whatever the rows, every element is at its place, and the others are zero."""
    wrt = graph.input_names
    assert_same(graph, Jacobian(wrt), Jacobian(wrt, sparse=True), operands(graph))


@SETTINGS
@given(graphs(max_nodes=10, smooth=True, scalar=True, dtypes=("float64",)))
def test_sparse_hessians_of_random_graphs_are_the_dense_ones(graph: Graph) -> None:
    """The same of second derivatives, which are read with their mirror images."""
    wrt = graph.input_names
    dense, sparse = Hessian(wrt, "total"), Hessian(wrt, "total", sparse=True)
    assert_same(graph, dense, sparse, operands(graph))


def lowered_of(graph: Graph, want: Want) -> Lowered:
    """The graph lowered, with positions followed."""
    return lower(graph, want, fold=fold)


def scaled_differences(x: Ref) -> Ref:
    """sin(x[1:]) x[:-1]: two diagonals."""
    size = x.type.size
    return do.sin(part(x, 1, size)) * part(x, 0, size - 1)


def summed(x: Ref) -> Ref:
    """The sum of a vector."""
    total: Ref = do.sum(x, axes=(0,), keepdims=False)
    return total


def rosenbrock(x: Ref) -> Ref:
    """The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2."""
    head, tail = part(x, 0, x.type.size - 1), part(x, 1, x.type.size)
    return summed(do.square(tail - do.square(head)) * 100.0 + do.square(1.0 - head))


def test_a_dense_answer_takes_the_sparse_mode_where_it_is_cheapest() -> None:
    """Bidiagonal: two seeds in place of 200, the same blocks, and the reason says so."""
    graph = of_vector(200, scaled_differences)
    lowered = lowered_of(graph, Jacobian(("x",)))
    assert lowered.mode.name in ("sparse forward", "sparse reverse")
    assert lowered.mode.reason.startswith("2 colour(s) of ")
    assert "forward is estimated at" in lowered.mode.reason
    assert not lowered.patterns
    x = np.linspace(-1, 1, 200)
    (block,) = evaluate(lowered.graph, [x])[1:]
    expected = np.diag(np.sin(x[1:])) @ np.eye(199, 200)
    expected += np.diag(np.cos(x[1:]) * x[:-1]) @ np.eye(199, 200, 1)
    np.testing.assert_allclose(block, expected, rtol=1e-14, atol=0)


def test_small_or_dense_jacobians_are_computed_as_ever() -> None:
    """Where few seeds do, or nearly all elements count, nothing is compressed."""
    small = of_vector(20, scaled_differences)
    full = of_vector(100, lambda x: do.cumsum(do.sin(x), axis=0))
    for graph in (small, full):
        assert not lowered_of(graph, Jacobian(("x",))).mode.name.startswith("sparse")


def test_few_outputs_that_share_inputs_take_reverse_mode() -> None:
    """A matrix whose rows overlap little in few colours of rows, and much in its columns."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (50, 40)))
    graph = builder.build({"y": do.logsumexp(x, axes=(1,), keepdims=False)})
    lowered = lowered_of(graph, Jacobian(("x",), sparse=True))
    assert lowered.mode.name == "sparse reverse"
    assert lowered.mode.reason.startswith("1 colour(s) of 50 rows")
    names = {node.op.name for node in lowered.graph.nodes}
    assert "take" not in names  # the places lie in order


def places(graph: Graph, want: Want) -> list[set[tuple[int, int]]]:
    """The places of every pattern."""
    return [
        set(zip(pattern.rows.tolist(), pattern.columns.tolist(), strict=True))
        for pattern in lowered_of(graph, want).patterns
    ]


def arrow(x: Ref) -> Ref:
    """x[0] times the sum of squares of the others."""
    first = do.reshape(part(x, 0, 1), shape=())
    return first * summed(do.square(part(x, 1, x.type.size)))


def pairs(x: Ref) -> Ref:
    """The sum of products of two neighbours each, which share nothing."""
    both = do.reshape(x, shape=(x.type.size // 2, 2))
    return summed(do.prod(both, axes=(1,), keepdims=False))


def linear(x: Ref) -> Ref:
    """Linear but for one element."""
    return summed(x * 3.0) + do.square(do.reshape(part(x, 2, 3), shape=()))


HESSIANS: dict[str, tuple[Callable[[Ref], Ref], set[tuple[int, int]], int]] = {
    "rosenbrock": (rosenbrock, {(i, j) for i in range(8) for j in range(8) if abs(i - j) < 2}, 3),
    "arrow": (
        arrow,
        {(i, i) for i in range(1, 8)}
        | {(0, i) for i in range(1, 8)}
        | {(i, 0) for i in range(1, 8)},
        2,
    ),
    "pairs": (pairs, {(i, i ^ 1) for i in range(8)}, 2),
    "linear": (linear, {(2, 2)}, 1),
}


@pytest.mark.parametrize("name", HESSIANS)
def test_named_hessians_have_their_pattern_and_few_colours(name: str) -> None:
    """Linear parts drop out, bands and arrows and blocks are found, colours are the fewest."""
    function, expected, colours = HESSIANS[name]
    graph = of_vector(8, function)
    (found,) = places(graph, Hessian(("x",), sparse=True))
    mode = lowered_of(graph, Hessian(("x",), sparse=True)).mode
    assert found == expected if name != "pairs" else found >= expected
    assert mode.name == "sparse forward over reverse"
    assert int(mode.reason.split()[0]) <= colours
    x = np.linspace(0.5, 1.5, 8)
    assert_same(graph, Hessian(("x",)), Hessian(("x",), sparse=True), [x])


def projections() -> Graph:
    """Residuals of observations, each of one camera of 3 numbers and one point of 2, at indices."""
    random = np.random.default_rng(3)
    builder = Builder()
    cameras = builder.input("cameras", ArrayType(FLOAT64, (4, 3)))
    points = builder.input("points", ArrayType(FLOAT64, (9, 2)))
    seen = (
        builder.constant(random.integers(4, size=20)),
        builder.constant(random.integers(9, size=20)),
    )
    camera, point = do.take(cameras, seen[0], axis=0), do.take(points, seen[1], axis=0)
    scale = do.sum(camera, axes=(1,), keepdims=True)
    return builder.build({"r": point * do.tanh(scale)})


def test_gathered_parameters_give_blocks() -> None:
    """Of bundle adjustment, a row has its camera's numbers and its point's one, nothing else."""
    graph = projections()
    want = Jacobian(("cameras", "points"), sparse=True)
    cameras, points = lowered_of(graph, want).patterns
    assert (cameras.shape, points.shape) == ((40, 12), (40, 18))
    assert set(np.diff(cameras.starts)) == {3}
    assert set(np.diff(points.starts)) == {1}
    arrays = [np.random.default_rng(0).normal(size=i.type.shape) for i in graph.inputs]
    assert_same(graph, Jacobian(want.wrt), want, arrays)


@pytest.mark.parametrize("known", [True, False])
def test_an_index_from_outside_is_named_in_the_reason(known: bool) -> None:
    """Who gets a dense axis is told which node leaves it so, and what to do."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (5,)))
    index = builder.input("index", ArrayType(INT64, (3,)))
    places = builder.constant(np.array([4, 2, 2])) if known else index + 1
    graph = builder.build({"y": do.sin(do.take(x, places, axis=0))})
    lowered = lowered_of(graph, Jacobian(("x",), sparse=True))
    assert lowered.patterns[0].count == (3 if known else 15)
    said = "node 1 take takes its indices from inputs: make them constants" in lowered.mode.reason
    assert said is not known


def test_several_outputs_and_dtypes_come_apart() -> None:
    """A pair of output and input has its own matrix; one that depends on nothing is empty."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (6,)))
    z = builder.input("z", ArrayType(FLOAT32, (3,)))
    n = builder.input("n", ArrayType(INT64, ()))
    y = do.sin(x)
    graph = builder.build(
        {"a": y, "b": y, "c": do.astype(z, dtype=FLOAT64), "d": do.exp(z), "e": n + 1}
    )
    arrays: list[NDArray] = [np.linspace(0, 1, 6), np.ones(3, np.float32), np.array(3)]
    want = Jacobian(("x", "z"), sparse=True)
    assert_same(graph, Jacobian(want.wrt), want, arrays)
    counts = [pattern.count for pattern in lowered_of(graph, want).patterns]
    assert counts == [6, 0, 6, 0, 0, 3, 0, 3]


def test_what_depends_on_nothing_has_no_places() -> None:
    """A constant output: an empty matrix of the right shape, and no pass at all."""
    builder = Builder()
    builder.input("x", ArrayType(FLOAT64, (3,)))
    graph = builder.build({"y": builder.constant(np.ones(2))}, prune=False)
    lowered = lowered_of(graph, Jacobian(("x",), sparse=True))
    assert lowered.patterns[0].shape == (2, 3)
    assert (lowered.patterns[0].count, lowered.independent) == (0, ("x",))


def test_of_no_floating_output_there_is_no_sparse_matrix() -> None:
    """As dense: no derivative, and no fault."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (3,)))
    graph = builder.build({"y": do.greater(x, x)})
    for sparse in (False, True):
        lowered = lowered_of(graph, Jacobian(("x",), sparse=sparse))
        assert (lowered.derivatives, lowered.patterns) == ((), ())


def test_a_derivative_that_the_graph_brings_need_not_be_symmetric() -> None:
    """Where a given rule makes the second derivative lopsided, both halves are computed."""
    inner = Builder()
    x, dx = (inner.input(name, ArrayType(FLOAT64, (4,))) for name in ("x", "dx"))
    jvp = inner.build({"dz": dx * do.cumsum(x, axis=0)})
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (4,)))
    forward = of_vector(4, do.square)
    graph = builder.build({"y": summed(builder.add("custom", x, forward=forward, jvp=jvp))})
    sparse = Hessian(("x",), sparse=True)
    assert_same(graph, Hessian(("x",)), sparse, [np.arange(1.0, 5.0)])
    (matrix,) = derivatives(graph, sparse, [np.arange(1.0, 5.0)])
    assert not np.array_equal(matrix, matrix.T)


def test_passes_in_chunks_give_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass per seed, where all at once would take too much memory."""
    monkeypatch.setattr(many_seeds, "PASS_BYTES", 1)
    graph = of_vector(30, scaled_differences)
    assert_same(graph, Jacobian(("x",)), Jacobian(("x",), sparse=True), [np.linspace(0, 1, 30)])


def test_too_many_places_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that no memory would hold is LimitExceeded, with the next action."""
    module = import_module("pullback_graph.derivative.jacobian")
    monkeypatch.setattr(module, "MAX_ENTRIES", 1000)
    graph = of_vector(50, lambda x: do.cumsum(x, axis=0))
    with pytest.raises(LimitExceeded, match="over 1000 places may differ from zero; ask for fewer"):
        lower(graph, Jacobian(("x",), sparse=True), fold=fold)


def test_a_jacobian_too_large_to_write_out_is_had_sparse() -> None:
    """The dense one is refused and names the sparse one, which is given."""
    graph = of_vector(30_000, scaled_differences)
    with pytest.raises(LimitExceeded, match="ask for a sparse one"):
        lower(graph, Jacobian(("x",)), fold=fold)
    assert lowered_of(graph, Jacobian(("x",), sparse=True)).patterns[0].count == 2 * 29_999


def test_integer_inputs_are_refused_as_ever() -> None:
    """Sparse or not, there is no derivative by an integer."""
    builder = Builder()
    n = builder.input("n", ArrayType(INT64, (3,)))
    graph = builder.build({"y": do.astype(n, dtype=FLOAT64)})
    with pytest.raises(NotDifferentiable):
        lower(graph, Jacobian(("n",), sparse=True))


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4).flatmap(
        lambda sizes: st.tuples(st.just(sizes), st.permutations(range(len(sizes))))
    )
)
def test_a_permuted_box_is_known_as_one(box: tuple[list[int], Sequence[int]]) -> None:
    """Places that visit a box in another order of its axes are a reshape and a permutation."""
    sizes, order = box
    positions = np.arange(int(np.prod(sizes))).reshape(sizes).transpose(order).reshape(-1)
    found = box_of(positions)
    assert found is not None
    visited = [sum(k) for k in product(*[range(0, n * step, step) for n, step in found])]
    assert visited == positions.tolist()


def test_no_other_order_is_taken_for_a_box() -> None:
    """Of all orders of six places, those of no box are told apart."""
    for order in permutations(range(6)):
        found = box_of(np.array(order))
        if found is not None:
            visited = [sum(k) for k in product(*[range(0, n * s, s) for n, s in found])]
            assert tuple(visited) == order
