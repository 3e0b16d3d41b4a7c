"""vmap by its meaning: a graph mapped over an axis gives what a loop over the axis gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pullback_graph.graph import Graph
from pullback_graph.vmap import vmap
from tests.graph.drawing import ALL_CASES, Case, NDArray, draw
from tests.graph.interpreter import evaluate
from tests.graph.row_graphs import graph_of

SIZE = 3


def choices(count: int) -> list[tuple[int, ...]]:
    """Which operands are mapped: each alone, and all."""
    alone = [(i,) for i in range(count)]
    return alone if count < 2 else [*alone, tuple(range(count))]


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
    return [f"x{i}" for i in mapped]


@pytest.mark.parametrize(("case", "mapped"), MAPPED_CASES)
def test_a_mapped_row_is_a_loop_over_slices(case: Case, mapped: tuple[int, ...]) -> None:
    """Every row, mapped over each operand alone and over all together, equals the loop."""
    graph = graph_of(case)
    rows = points(case, mapped)
    looped = [evaluate(graph, row) for row in rows]
    expected = [np.stack(column) for column in zip(*looped, strict=True)]
    found = evaluate(vmap(graph, names(mapped), SIZE), stacked(rows, mapped))
    for z, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(z, want, rtol=1e-12, atol=1e-12, strict=True)
