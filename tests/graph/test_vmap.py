"""vmap by its meaning: a graph mapped over an axis gives what a loop over the axis gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import vjp
from pullback_graph.errors import InputError
from pullback_graph.graph import Graph
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType, Shape
from pullback_graph.vmap import vmap
from tests.graph.drawing import ALL_CASES, Case, NDArray, draw, spread
from tests.graph.interpreter import evaluate
from tests.graph.row_derivatives import differentiable_cases, differentiable_operands
from tests.graph.row_graphs import graph_of

SIZE = 3


def choices(count: int) -> list[tuple[int, ...]]:
    """Which operands are mapped: each alone, and all."""
    return list(dict.fromkeys([*[(i,) for i in range(count)], tuple(range(count))]))


def points(case: Case, mapped: Sequence[int], size: int = SIZE) -> list[list[NDArray]]:
    """Operands for each position: the mapped ones anew, the others the same."""
    first = draw(case)
    drawn = [draw(case, seed=k) for k in range(size)]
    return [[own[i] if i in mapped else first[i] for i in range(len(first))] for own in drawn]


def stacked(rows: Sequence[Sequence[Any]], mapped: Sequence[int]) -> list[NDArray]:
    """The inputs of the mapped graph."""
    first = rows[0]
    return [
        np.stack([row[i] for row in rows]) if i in mapped else first[i] for i in range(len(first))
    ]


MAPPED_CASES = [
    pytest.param(case, mapped, id=f"{case}-{mapped}".replace(" ", ""))
    for case in ALL_CASES
    for mapped in choices(len(case.shapes))
    if case.shapes
]


def names(mapped: Sequence[int]) -> list[str]:
    """The inputs' names."""
    return [f"x{i}" for i in mapped]


def looped(graph: Graph, rows: Sequence[Sequence[NDArray]]) -> list[NDArray]:
    """The graph's outputs at each position, stacked."""
    return [np.stack(column) for column in zip(*[evaluate(graph, r) for r in rows], strict=True)]


@pytest.mark.parametrize(("case", "mapped"), MAPPED_CASES)
def test_a_mapped_row_is_a_loop_over_slices(case: Case, mapped: tuple[int, ...]) -> None:
    """Every row, mapped over each operand alone and over all together, equals the loop."""
    graph, rows = graph_of(case), points(case, mapped)
    found = evaluate(vmap(graph, names(mapped), SIZE), stacked(rows, mapped))
    for z, want in zip(found, looped(graph, rows), strict=True):
        np.testing.assert_allclose(z, want, rtol=1e-12, atol=1e-12, strict=True)


@pytest.mark.parametrize("case", spread(differentiable_cases(), 3), ids=str)
def test_a_mapped_row_has_the_derivative_of_the_loop(case: Case) -> None:
    """Differentiating what was mapped, and mapping what was differentiated, both equal the loop."""
    mapped = tuple(range(len(case.shapes)))
    graph, rows = graph_of(case), points(case, mapped)
    wrt, outputs = names(differentiable_operands(case)), graph.output_names
    made = vjp(graph, tuple(wrt), [outputs])
    rng = np.random.default_rng(0)
    seeds = [
        [rng.normal(size=graph.output_type(i).shape) for i in range(len(outputs))] for _ in rows
    ]
    both = [[*row, *seed] for row, seed in zip(rows, seeds, strict=True)]
    expected = looped(made.graph, both)
    inputs = stacked(both, range(len(both[0])))
    after = vjp(vmap(graph, names(mapped), SIZE), tuple(wrt), [outputs]).graph
    before = vmap(made.graph, made.graph.input_names, SIZE)
    for found in (evaluate(after, inputs), evaluate(before, inputs)):
        for z, want in zip(found, expected, strict=True):
            np.testing.assert_allclose(z, want, rtol=1e-9, atol=1e-9, strict=True)


def product(x: Shape, y: Shape) -> Graph:
    """x @ y."""
    builder = Builder()
    shapes = {"x0": x, "x1": y}
    refs = [builder.input(name, ArrayType(FLOAT64, shape)) for name, shape in shapes.items()]
    return builder.build({"z": do.matmul(*refs)})


@pytest.mark.parametrize("x", [(4,), (3, 4), (2, 3, 4), (1, 1, 3, 4)], ids=str)
@pytest.mark.parametrize("y", [(4,), (4, 2), (4, 40), (2, 4, 5), (5, 1, 4, 2)], ids=str)
@pytest.mark.parametrize("mapped", [(0,), (1,), (0, 1)], ids=str)
def test_products_of_every_rank(x: Shape, y: Shape, mapped: tuple[int, ...]) -> None:
    """Vectors, matrices and batches of them, each side mapped or common to all positions."""
    graph, rng = product(x, y), np.random.default_rng(1)
    common = [rng.normal(size=shape) for shape in (x, y)]
    rows = [
        [rng.normal(size=s) if i in mapped else common[i] for i, s in enumerate((x, y))]
        for _ in range(SIZE)
    ]
    (found,) = evaluate(vmap(graph, names(mapped), SIZE), stacked(rows, mapped))
    np.testing.assert_allclose(found, looped(graph, rows)[0], rtol=1e-12, atol=1e-12, strict=True)


def tanh_of_product() -> Graph:
    """(w, x) -> tanh(x @ w), and 2 w."""
    builder = Builder()
    w = builder.input("w", ArrayType(FLOAT64, (3, 2)))
    x = builder.input("x", ArrayType(FLOAT64, (3,)))
    return builder.build({"hidden": do.tanh(x @ w), "twice": 2.0 * w})


def test_what_depends_on_nothing_mapped_is_computed_once_and_repeated() -> None:
    """An output without the axis gets it at the end; its nodes keep their sizes."""
    mapped = vmap(tanh_of_product(), ["x"], 5)
    assert [mapped.output_type(i).shape for i in range(2)] == [(5, 2), (5, 3, 2)]
    assert [node.op.name for node in mapped.nodes] == ["matmul", "tanh", "multiply", "broadcast_to"]
    assert mapped.nodes[2].types[0].shape == (3, 2)


@pytest.mark.parametrize("size", [0, 1])
def test_axes_of_no_and_of_one_position(size: int) -> None:
    """An empty axis gives empty results, one position gives that position."""
    found = evaluate(
        vmap(tanh_of_product(), ["w", "x"], size), [np.ones((size, 3, 2)), np.ones((size, 3))]
    )
    np.testing.assert_allclose(found[0], np.full((size, 2), np.tanh(3.0)))
    np.testing.assert_allclose(found[1], np.full((size, 3, 2), 2.0))


def test_mapping_twice_is_mapping_over_two_axes() -> None:
    """vmap of vmap puts the second axis in front of the first."""
    rng = np.random.default_rng(2)
    w, x = rng.normal(size=(4, 3, 2)), rng.normal(size=(5, 3))
    twice = vmap(vmap(tanh_of_product(), ["x"], 5), ["w"], 4)
    found = evaluate(twice, [w, x])[0]
    np.testing.assert_allclose(found, np.tanh(np.einsum("bj,ajk->abk", x, w)), rtol=1e-12)


def test_what_cannot_be_mapped_is_refused() -> None:
    """An unknown name, a negative size, and inputs of a wrong size are typed errors."""
    with pytest.raises(InputError, match="no input 'y'"):
        vmap(tanh_of_product(), ["y"], 2)
    with pytest.raises(InputError, match="-1 positions"):
        vmap(tanh_of_product(), ["x"], -1)
