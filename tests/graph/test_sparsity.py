"""Structure: it covers what differs from zero, of every row and of random graphs; colourings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_graph.builder import Builder, copy_values
from pullback_graph.derivative import jacobian
from pullback_graph.graph import Graph
from pullback_graph.op import Moves
from pullback_graph.pattern import Pattern, pattern_of
from pullback_graph.ref import Ref, do
from pullback_graph.sparsity import TooDense, coloured, star_coloured, structure
from pullback_graph.sparsity.star import readable, symmetric_part
from pullback_graph.table import OPS
from pullback_graph.types import BOOL, FLOAT64, INT64, ArrayType
from pullback_worker.numpy_executor import fold
from tests.graph.drawing import Case, NDArray, cases, draw, spread
from tests.graph.interpreter import evaluate
from tests.graph.loops import bodies
from tests.graph.random_graphs import graphs, operands
from tests.graph.row_derivatives import differentiable_cases, differentiable_operands, row_graph

MOVING = [
    case
    for op in OPS.values()
    if op.moves and op.moves is not Moves.MULTIPLIES
    for case in cases(op)
]


def written_out(pattern: Pattern) -> NDArray:
    """The pattern as a matrix of truth values."""
    whole = np.zeros(pattern.shape, bool)
    whole[pattern.rows, pattern.columns] = True
    return whole


def with_known_indices(case: Case, arrays: Sequence[NDArray]) -> Graph:
    """The graph of one row whose operands that carry no derivative, or weigh, are constants."""
    builder = Builder()
    moving = differentiable_operands(case)[: 1 if case.op.moves is Moves.WEIGHS else None]
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
    with pytest.raises(TooDense, match="over 2000 places"):
        structure(graph, [0], [1], fold, limit=2000)


def test_values_of_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an array of as many numbers is made, of an input and of a node's result."""
    wide = of_vector(10, lambda x: do.broadcast_to(x, shape=(1000, 10)))
    with pytest.raises(TooDense, match="10000 elements, and 800 are followed"):
        structure(wide, [0], [1], fold, limit=100)
    monkeypatch.setattr("pullback_graph.sparsity.sets.MAX_ELEMENTS", 9)
    with pytest.raises(TooDense, match="10 elements, and 9 are followed"):
        structure(of_vector(10, do.sin), [0], [1], fold)


PRODUCTS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Callable[[Ref, Ref], Ref]]] = {
    "elementwise": ((3, 4), (3, 4), lambda a, x: a * x),
    "broadcast": ((4,), (3, 4), lambda a, x: a * x),
    "spread": ((3, 1), (1, 4), lambda a, x: x * a),
    "matrix @ vector": ((3, 4), (4,), lambda a, x: a @ x),
    "matrix @ matrix": ((3, 4), (4, 2), lambda a, x: a @ x),
    "batch @ matrix": ((4, 5), (2, 3, 4), lambda a, x: x @ a),
    "batches": ((2, 3, 4), (2, 4, 5), lambda a, x: a @ x),
    "einsum": ((3, 4), (4, 5, 3), lambda a, x: do.einsum(a, x, subscripts="ij,jki->kj")),
    "summed": ((3,), (4, 3), lambda a, x: do.einsum(a, x, subscripts="i,ji->")),
    "diagonal": ((3,), (3, 3), lambda a, x: do.einsum(a, x, subscripts="i,ii->i")),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_known_zeros_let_nothing_through(name: str) -> None:
    """A product with a constant has places where the constant is not zero, and covers the rest."""
    shape, other, function = PRODUCTS[name]
    random = np.random.default_rng(len(name))
    weights = random.normal(size=shape) * (random.uniform(size=shape) < 0.35)
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, other))
    graph = builder.build({"y": function(builder.constant(weights), x)})
    places = written_out(whole_structure(graph))
    nonzero = dense(graph, [np.ones(other)]) != 0
    if name == "diagonal":
        assert places[nonzero].all()
    else:
        np.testing.assert_array_equal(places, nonzero)


def stencil(x: Ref, weights: NDArray) -> Ref:
    """A convolution of a 5 by 5 image with a kernel of 3 by 3."""
    image = do.reshape(x, shape=(1, 1, 5, 5))
    kernel = x.builder.constant(weights.reshape(1, 1, 3, 3))
    ones = (1, 1)
    window = {"strides": ones, "low": ones, "high": ones, "lhs_dilation": ones}
    z: Ref = do.convolution(image, kernel, **window, rhs_dilation=ones)
    return z


@pytest.mark.parametrize("corners", [0.0, 0.5])
def test_a_stencil_written_as_a_convolution_is_followed(corners: float) -> None:
    """Neighbours along the axes, and the corners too unless their weights are known to be zero."""
    weights = np.full((3, 3), corners)
    weights[1, :] = weights[:, 1] = 1.0
    graph = of_vector(25, lambda x: stencil(x, weights))
    i, j = np.divmod(np.arange(25), 5)
    apart = abs(i[:, None] - i), abs(j[:, None] - j)
    expected = apart[0] + apart[1] <= 1 if not corners else np.maximum(*apart) <= 1
    np.testing.assert_array_equal(written_out(whole_structure(graph)), expected)


# --- loops and branches ---------------------------------------------------------------------------


def looped(body: Graph, steps: int, *, reverse: bool) -> Graph:
    """All that a scan of a body of `tests.graph.loops` gives."""
    builder = Builder()
    refs = inputs_of_a_loop(builder, steps)
    results = builder.add("scan", *refs, body=body, consts=1, carries=2, sums=1, reverse=reverse)
    return builder.build({f"r{i}": ref for i, ref in enumerate(results)})


def written_step_by_step(body: Graph, steps: int, *, reverse: bool) -> Graph:
    """The same without a loop."""
    builder = Builder()
    a, h, c, xs = inputs_of_a_loop(builder, steps)
    entries: list[Ref] = [xs] * steps
    total = None
    for k in reversed(range(steps)) if reverse else range(steps):
        x = do.reshape(do.slice(xs, starts=(k, 0), stops=(k + 1, 3), steps=(1, 1)), shape=(3,))
        values = copy_values(builder, body, [a, h, c, x])
        h, c, entries[k], term = (values[output.value] for output in body.outputs)
        total = term if total is None else total + term
    assert total is not None
    stacked = do.stack(*entries, axis=0)
    return builder.build({"r0": h, "r1": c, "r2": stacked, "r3": total})


def inputs_of_a_loop(builder: Builder, steps: int) -> list[Ref]:
    """A constant, two carries, and entries."""
    shapes: list[tuple[int, ...]] = [(), (3,), (), (steps, 3)]
    return [
        builder.input(name, ArrayType(FLOAT64, shape))
        for name, shape in zip(("a", "h", "c", "xs"), shapes, strict=True)
    ]


@given(bodies(), st.integers(1, 4), st.booleans())
def test_a_loop_is_followed_step_by_step(body: Graph, steps: int, reverse: bool) -> None:
    """The structure of a scan is that of its steps written out."""
    loop = whole_structure(looped(body, steps, reverse=reverse))
    plain = whole_structure(written_step_by_step(body, steps, reverse=reverse))
    np.testing.assert_array_equal(written_out(loop), written_out(plain))


def smoothing(size: int) -> Graph:
    """A step of diffusion along a line."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (size,)))
    zero = builder.constant(np.array(0.0))
    wide = do.pad(x, zero, low=(1,), high=(1,))
    return builder.build({"x": part(wide, 0, size) + part(wide, 2, size + 2) - x})


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_steps_of_diffusion_widen_the_band(steps: int) -> None:
    """After n steps an element depends on n neighbours to each side."""

    def diffused(x: Ref) -> Ref:
        z: Ref = x.builder.add("scan", x, body=smoothing(9), consts=0, carries=1, length=steps)
        return z

    i, j = np.indices((9, 9))
    places = written_out(whole_structure(of_vector(9, diffused)))
    np.testing.assert_array_equal(places, abs(i - j) <= steps)


def test_a_loop_knows_what_it_is_given() -> None:
    """Indices and matrices from around a loop are known inside it."""
    inner = Builder()
    types = ArrayType(INT64, (5,)), ArrayType(FLOAT64, (5, 5)), ArrayType(FLOAT64, (5,))
    index, matrix, x = (inner.input(f"x{i}", type) for i, type in enumerate(types))
    body = inner.build({"x": matrix @ do.sin(do.take(x, index, axis=0))})

    def looped_twice(x: Ref) -> Ref:
        constant = x.builder.constant
        given = constant(np.array([1, 2, 3, 4, 0])), constant(np.eye(5))
        z: Ref = x.builder.add("scan", *given, x, body=body, consts=2, carries=1, length=2)
        return z

    places = written_out(whole_structure(of_vector(5, looped_twice)))
    np.testing.assert_array_equal(places, np.roll(np.eye(5, dtype=bool), 2, axis=1))


def test_a_loop_of_too_many_steps_is_left_to_its_axes() -> None:
    """What would take too long to follow is dense, but for the axes that its body keeps."""

    def diffused(x: Ref) -> Ref:
        z: Ref = x.builder.add("scan", x, body=smoothing(9), consts=0, carries=1, length=100_000)
        return z

    assert written_out(whole_structure(of_vector(9, diffused))).all()


def test_a_branch_may_be_any_of_them() -> None:
    """What one of the branches depends on; a loop without a bound, what it comes to depend on."""

    def chosen(x: Ref) -> Ref:
        branches = (of_vector(4, do.sin), of_vector(4, lambda x: do.flip(x, axes=(0,))))
        choice = x.builder.input("choice", ArrayType(BOOL, ()))
        z: Ref = x.builder.add("cond", choice, x, branches=branches)
        return z

    def spread_out(x: Ref) -> Ref:
        cond = of_vector(4, lambda x: do.less(do.sum(x, axes=(0,), keepdims=False), 9.0))
        body = of_vector(4, lambda x: do.maximum(x, do.roll(x, shifts=(2,), axes=(0,))) + 1.0)
        z: Ref = x.builder.add(
            "while_loop", x, cond=cond, body=body, consts=0, max_steps=0, keep=False
        )
        return z

    i, j = np.indices((4, 4))
    graph = of_vector(4, chosen)
    places = written_out(structure(graph, [0], [graph.outputs[0].value], fold))
    np.testing.assert_array_equal(places, (i == j) | (i + j == 3))
    np.testing.assert_array_equal(
        written_out(whole_structure(of_vector(4, spread_out))), (i - j) % 2 == 0
    )


def test_a_given_tangent_says_the_structure() -> None:
    """Of a graph with a tangent of its own, what that depends on counts."""
    inner = Builder()
    x, dx = (inner.input(name, ArrayType(FLOAT64, (4,))) for name in ("x", "dx"))
    jvp = inner.build({"dz": do.flip(dx, axes=(0,)) * x})

    def custom(x: Ref) -> Ref:
        z: Ref = x.builder.add("custom", x, forward=of_vector(4, do.square), jvp=jvp)
        return z

    places = written_out(whole_structure(of_vector(4, custom)))
    np.testing.assert_array_equal(places, np.eye(4, dtype=bool)[::-1])


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
