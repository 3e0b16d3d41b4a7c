"""Structure: it covers what differs from zero, of every row and of random graphs; colourings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_graph.builder import Builder
from pullback_graph.derivative import jacobian
from pullback_graph.graph import Graph
from pullback_graph.pattern import Pattern, pattern_of
from pullback_graph.ref import Ref, do
from pullback_graph.sparsity import TooDense, coloured, star_coloured, structure
from pullback_graph.sparsity.star import readable, symmetric_part
from pullback_graph.table import OPS
from pullback_graph.types import FLOAT64, INT64, ArrayType
from pullback_worker.numpy_executor import fold
from tests.graph.drawing import Case, NDArray, cases, draw, spread
from tests.graph.interpreter import evaluate
from tests.graph.random_graphs import graphs, operands
from tests.graph.row_derivatives import differentiable_cases, differentiable_operands, row_graph

MOVING = [case for op in OPS.values() if op.moves for case in cases(op)]


def written_out(pattern: Pattern) -> NDArray:
    """The pattern as a matrix of truth values."""
    whole = np.zeros(pattern.shape, bool)
    whole[pattern.rows, pattern.columns] = True
    return whole


def with_known_indices(case: Case, arrays: Sequence[NDArray]) -> Graph:
    """The graph of one row whose operands that carry no derivative are constants."""
    builder = Builder()
    moving = differentiable_operands(case)
    refs = [
        builder.input(f"x{i}", ArrayType(FLOAT64, x.shape)) if i in moving else builder.constant(x)
        for i, x in enumerate(arrays)
    ]
    made = builder.add(case.op.name, *refs, **case.attributes)
    return builder.build(
        {f"z{i}": z for i, z in enumerate(made if type(made) is tuple else [made])}
    )


def dense(graph: Graph, arrays: Sequence[NDArray]) -> NDArray:
    """The Jacobian of all floating outputs by all inputs as one matrix, by a dense mode."""
    made = jacobian(graph, graph.input_names)
    found = iter(evaluate(made.graph, arrays)[made.value_count :])
    heights = [graph.types[o.value].size for o in graph.outputs if graph.types[o.value].is_floating]
    widths = [item.type.size for item in graph.inputs]
    return np.block([[next(found).reshape(n, m) for m in widths] for n in heights])


def whole_structure(graph: Graph, *, exactly: bool = True) -> Pattern:
    """The structure of all floating outputs by all inputs."""
    outputs = [o.value for o in graph.outputs if graph.types[o.value].is_floating]
    return structure(graph, range(len(graph.inputs)), outputs, fold if exactly else None)


@pytest.mark.parametrize("case", MOVING, ids=str)
def test_a_row_that_moves_is_followed_exactly(case: Case) -> None:
    """Of a row that moves elements, the structure is where its Jacobian is not zero."""
    graph = with_known_indices(case, draw(case))
    if not all(item.type.size for item in graph.inputs) or not graph.types[-1].size:
        return
    arrays = [np.ones(item.type.shape) for item in graph.inputs]
    matrix = dense(graph, arrays)
    np.testing.assert_array_equal(written_out(whole_structure(graph)), matrix != 0)


@pytest.mark.parametrize("case", spread(differentiable_cases(), 2), ids=str)
def test_the_structure_of_a_row_covers_its_jacobian(case: Case) -> None:
    """From axes alone, what differs from zero is in the structure, whatever the indices are."""
    arrays = draw(case)
    graph, wrt = row_graph(case, arrays), differentiable_operands(case)
    if not all(array.size for array in arrays) or not all(t.size for t in graph.types):
        return
    names = tuple(graph.input_names[i] for i in wrt)
    made = jacobian(graph, names)
    blocks = evaluate(made.graph, arrays)[made.value_count :]
    for exactly in (True, False):
        for block, (value, index) in zip(
            blocks, [(o.value, i) for o in graph.outputs for i in wrt], strict=True
        ):
            pattern = structure(graph, [index], [value], fold if exactly else None)
            places = written_out(pattern)
            assert places[block.reshape(places.shape) != 0].all()


@settings(max_examples=60)
@given(graphs(max_nodes=14, dtypes=("float64",)))
def test_the_structure_of_random_graphs_covers_their_jacobians(graph: Graph) -> None:
    """Whatever rows a graph is made of, no element outside its structure differs from zero."""
    arrays = operands(graph)
    for exactly in (True, False):
        places = written_out(whole_structure(graph, exactly=exactly))
        with np.errstate(all="ignore"):
            assert places[dense(graph, arrays) != 0].all()


def of_vector(size: int, function: object) -> Graph:
    """The graph of a function of one vector `x`."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (size,)))
    return builder.build({"y": function(x)})  # type: ignore[operator]


def part(x: Ref, start: int, stop: int) -> Ref:
    """x[start:stop]."""
    return do.slice(x, starts=(start,), stops=(stop,), steps=(1,))


def test_differences_are_banded() -> None:
    """Second differences have three diagonals, sums of all elements a dense row."""
    graph = of_vector(8, lambda x: part(x, 0, 6) - part(x, 1, 7) * 2.0 + do.sin(part(x, 2, 8)))
    i = np.arange(6)[:, None]
    expected = (np.arange(8) >= i) & (np.arange(8) <= i + 2)
    np.testing.assert_array_equal(written_out(whole_structure(graph)), expected)


def test_rows_of_a_matrix_stay_apart() -> None:
    """A product with a constant, a reduction and a reshape keep the examples of a batch apart."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (4, 3)))
    w = builder.constant(np.ones((3, 2)))
    y = do.reshape(do.tanh(x @ w), shape=(8,))
    z = do.sum(x, axes=(1,), keepdims=False)
    graph = builder.build({"y": y, "z": z})
    blocks = np.vstack([np.kron(np.eye(4), np.ones((2, 3))), np.kron(np.eye(4), np.ones((1, 3)))])
    np.testing.assert_array_equal(written_out(whole_structure(graph)), blocks != 0)


def test_an_index_that_is_an_input_leaves_its_axis_dense() -> None:
    """Where a place is not known, all are possible; where it is computed from constants, one is."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (5,)))
    index = builder.input("index", ArrayType(INT64, (2,)))
    known = do.add(builder.add("iota", shape=(2,), axis=0, dtype=INT64), builder.constant(3))
    graph = builder.build({"a": do.take(x, index, axis=0), "b": do.take(x, known, axis=0)})
    a, b = (written_out(structure(graph, [0], [o.value], fold)) for o in graph.outputs)
    assert a.all()
    np.testing.assert_array_equal(b, np.eye(5, dtype=bool)[3:5])


def test_many_slices_take_their_own_elements() -> None:
    """A vector taken apart and put together again costs its elements, not those of all slices."""
    count = 300

    def cut(x: Ref) -> Ref:
        return do.concat(*[do.sin(part(x, i, i + 1)) for i in range(count)], axis=0)

    pattern = structure(of_vector(count, cut), [0], [2 * count + 1], fold, limit=4 * count)
    np.testing.assert_array_equal(written_out(pattern), np.eye(count, dtype=bool))


def test_a_long_chain_of_known_values_is_run_or_left() -> None:
    """Indices computed through thousands of nodes end in an answer, not in a recursion."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (3,)))
    index = builder.constant(np.array([0, 1]))
    for _ in range(3000):
        index = do.add(index, builder.constant(np.array(0)))
    graph = builder.build({"y": do.take(x, index, axis=0)})
    assert structure(graph, [0], [len(graph.types) - 1], fold).count >= 2


def test_a_structure_past_the_limit_is_refused() -> None:
    """What holds more entries than allowed ends the search."""
    graph = of_vector(50, lambda x: do.cumsum(x, axis=0))
    with pytest.raises(TooDense):
        structure(graph, [0], [1], fold, limit=2000)


# --- colourings -----------------------------------------------------------------------------------


def pattern_where(places: NDArray) -> Pattern:
    """The pattern of a matrix of truth values."""
    rows, columns = np.nonzero(places)
    return pattern_of(rows, columns, (places.shape[0], places.shape[1]))


@st.composite
def patterns(draw_: st.DrawFn, *, square: bool = False) -> Pattern:
    """A small pattern of any kind."""
    rows = draw_(st.integers(0, 7))
    columns = rows if square else draw_(st.integers(0, 7))
    cells = draw_(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    return pattern_where(np.array(cells, bool).reshape(rows, columns))


@given(patterns())
def test_columns_of_one_colour_share_no_row(pattern: Pattern) -> None:
    """Each place is alone in its row with its colour, and no colour is left out."""
    found = coloured(pattern)
    assert found is not None
    places = list(zip(pattern.rows, found.of[pattern.columns], strict=True))
    assert len(set(places)) == len(places)
    assert set(found.of[pattern.columns]) == set(range(found.count))


@given(patterns(square=True))
def test_a_star_colouring_shows_every_place_or_its_mirror_image(pattern: Pattern) -> None:
    """A symmetric matrix is read from the sums of its columns of each colour."""
    pattern = symmetric_part(pattern)
    found = star_coloured(pattern)
    assert found is not None
    size = pattern.shape[0]
    whole = np.zeros((size, size))
    for k, (row, column) in enumerate(zip(pattern.rows, pattern.columns, strict=True)):
        whole[row, column] = whole[column, row] = k + 1
    sums = whole @ (found.of[:, None] == np.arange(max(found.count, 1)))
    rows, columns = readable(pattern, found)
    np.testing.assert_array_equal(
        sums[rows, found.of[columns]], whole[pattern.rows, pattern.columns]
    )


def band(size: int, below: int, above: int) -> Pattern:
    """A pattern of diagonals."""
    i, j = np.indices((size, size))
    return pattern_where((j - i >= -below) & (j - i <= above))


def arrow(size: int) -> Pattern:
    """The diagonal, the first row and the first column."""
    i, j = np.indices((size, size))
    return pattern_where((i == j) | (i == 0) | (j == 0))


@pytest.mark.parametrize(
    ("pattern", "columns", "star"),
    [
        (band(40, 1, 1), 3, 3),
        (band(40, 2, 2), 5, 5),
        (band(40, 0, 0), 1, 1),
        (arrow(40), 40, 2),
        (band(12, 11, 11), 12, 12),
    ],
)
def test_known_patterns_take_the_fewest_colours(pattern: Pattern, columns: int, star: int) -> None:
    """Bands take their width, an arrow two colours if it is symmetric, a dense matrix all."""
    plain, symmetric = coloured(pattern), star_coloured(pattern)
    assert plain is not None
    assert symmetric is not None
    assert (plain.count, symmetric.count) == (columns, star)


def test_a_pattern_by_columns_holds_the_same_places() -> None:
    """Transposing gives every place once, and says which it was."""
    pattern = band(6, 2, 1)
    other, order = pattern.transposed()
    np.testing.assert_array_equal(other.rows, pattern.columns[order])
    np.testing.assert_array_equal(other.columns, pattern.rows[order])
    np.testing.assert_array_equal(written_out(other), written_out(pattern).T)
