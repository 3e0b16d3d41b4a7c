"""How often NumPy starts an inner loop: by shapes and by what becomes of the axes."""

from __future__ import annotations

from typing import Any

import pytest

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, INT64, ArrayType, Shape
from pullback_worker.inner_loops import LEAST_ELEMENTS, InnerLoops, inner_loops


def loops_of(run: Any, *types: ArrayType) -> InnerLoops:
    """Of the last node that a function makes of inputs."""
    b = Builder()
    z: Ref = run(*[b.input(f"x{k}", type) for k, type in enumerate(types)])
    graph: Graph = b.build({"z": z})
    node = graph.nodes[-1]
    return inner_loops(node, [graph.types[i] for i in node.operands])


def reals(*shape: int) -> ArrayType:
    """The type of an array of reals."""
    return ArrayType(FLOAT64, shape)


@pytest.mark.parametrize(
    ("left", "right", "count"),
    [
        ((50, 40), (50, 40), 0),
        ((50, 40), (), 0),
        ((50, 40), (40,), 49),
        ((50, 40), (50, 1), 49),
        ((500, 1, 3), (4, 3), 2 * 1999),
        ((40, 5, 8), (5, 8), 39),
        ((20, 1, 8), (20, 8, 1), 2 * 159),
        ((20, 8, 8), (20, 8, 1), 159),
        ((2000, 1), (1, 1), 0),
    ],
)
def test_axes_that_all_operands_go_along_are_one_loop(
    left: Shape, right: Shape, count: int
) -> None:
    """Those behind an axis that one of them stays at are another, started for each that stays."""
    assert loops_of(do.add, reals(*left), reals(*right)) == InnerLoops("along", count)


@pytest.mark.parametrize(
    ("axes", "found"),
    [
        ((0, 1, 2), InnerLoops("contracted", 0)),
        ((2,), InnerLoops("contracted", 1999)),
        ((1, 2), InnerLoops("contracted", 99)),
        ((0,), InnerLoops("kept", 99)),
        ((1,), InnerLoops("kept", 1999)),
    ],
)
def test_a_reduction_loops_along_its_last_axes(axes: tuple[int, ...], found: InnerLoops) -> None:
    """As far as they are all summed over, or all kept."""
    made = loops_of(lambda x: do.sum(x, axes=axes, keepdims=False), reals(100, 20, 8))
    assert made == found


def test_matrices_are_counted() -> None:
    """One matrix is no loop, be it ever so large; neither is a batch that operands do not share."""
    assert loops_of(do.matmul, reals(60, 50), reals(50, 40)).started == 0
    assert loops_of(do.matmul, reals(300, 5, 6), reals(300, 6, 7)).started == 299
    assert loops_of(do.inv, reals(300, 4, 4)) == InnerLoops("whole", 299)
    assert loops_of(lambda x: do.sort(x, axis=1), reals(300, 40)) == InnerLoops("whole", 299)


def test_places_are_counted() -> None:
    """Each index moves a stretch of its own."""
    indices = ArrayType(INT64, (700,))
    made = loops_of(lambda x, i: do.take(x, i, axis=0), reals(5000, 4), indices)
    assert made == InnerLoops("places", 700)


def test_small_arrays_have_no_loops_of_their_own() -> None:
    """Their call has a price that says it all."""
    rows = LEAST_ELEMENTS // 4 - 1
    assert loops_of(do.add, reals(rows, 4), reals(4)).started == 0
    assert loops_of(do.add, reals(rows + 1, 4), reals(4)).started == rows
