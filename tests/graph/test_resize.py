"""`Graph.with_shapes`: the graph that building it at the other size would give, or an error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_graph.errors import InputError, PullbackError, ShapeError
from pullback_graph.graph import Graph
from pullback_graph.resize import with_shapes
from pullback_graph.text import parse
from tests.graph.sized_programs import sized_graph

SEEDS = st.integers(0, 10**6)


def resized(seed: int, old: int, new: int) -> Graph:
    """The random program built at one length, then resized to another."""
    return sized_graph(seed, old).with_shapes({"x": (new, 2, 3), "y": (new,)})


@settings(max_examples=400)
@given(SEEDS, st.integers(2, 9), st.integers(0, 9))
def test_resizing_is_building_at_the_other_size(seed: int, old: int, new: int) -> None:
    """Any program over a batch, at any length of two or more, becomes what it is at another."""
    assert resized(seed, old, new) == sized_graph(seed, new)


@settings(max_examples=200)
@given(SEEDS, st.integers(0, 1), st.integers(0, 9))
def test_from_lengths_that_broadcast_resizing_may_refuse(seed: int, old: int, new: int) -> None:
    """A length of one or none looks like something else; then resizing is right or a ShapeError."""
    try:
        found = resized(seed, old, new)
    except ShapeError:
        return
    assert found == sized_graph(seed, new)


@given(SEEDS, st.integers(0, 9), st.integers(0, 9))
def test_a_wrong_pair_of_sizes_is_refused_or_consistent(seed: int, one: int, other: int) -> None:
    """Inputs given lengths that do not go together: an error, or a graph that types."""
    graph = sized_graph(seed, 5)
    try:
        found = with_shapes(graph, {"x": (one, 2, 3), "y": (other,)})
    except PullbackError as error:
        assert isinstance(error, ShapeError)  # noqa: PT017  (an error is one of two outcomes)
    else:
        assert found.types[found.input_index("y")].shape == (other,)
        assert len(found.nodes) == len(graph.nodes)


MEAN = """graph(x: float64[{n},3], w: float64[3], y: float64[{n}]) {{
  %3 = matmul(x, w)
  %4 = subtract(%3, y)
  %5 = square(%4)
  %6 = sum(%5, axes=(0,))
  %7 = size(%5, axes=(0,), dtype=float64)
  %8 = divide(%6, %7)
  return loss = %8
}}"""


def test_inputs_that_are_not_named_follow() -> None:
    """Naming one input moves those that share its axes, and the mean's count with them."""
    graph = parse(MEAN.format(n=8))
    assert graph.with_shapes({"x": (20, 3)}) == parse(MEAN.format(n=20))
    assert graph.with_shapes({"y": (20,)}) == parse(MEAN.format(n=20))


def test_the_same_shapes_give_the_same_graph() -> None:
    """Nothing is built anew where nothing changes."""
    graph = parse(MEAN.format(n=8))
    assert graph.with_shapes({"x": (8, 3)}) is graph
    assert graph.with_shapes({}) is graph


def test_what_flows_on_from_a_longer_axis_follows() -> None:
    """A running sum's length decides the length of what it is added to, input or count."""
    text = """graph(x: float64[{n}], y: float64[{n}]) {{
      %2 = cumsum(x, axis=0)
      %3 = iota(shape=({n},), axis=0, dtype=float64)
      %4 = add(%2, y)
      %5 = multiply(%4, %3)
      return z = %5
    }}"""
    assert parse(text.format(n=4)).with_shapes({"x": (6,)}) == parse(text.format(n=6))


def test_size_one_broadcasts_where_it_stays() -> None:
    """An input held at size one, or a constant of size one, broadcasts against what grew."""
    text = """graph(x: float64[{n}], b: float64[1]) {{
      %2 = constant float64[1] [2.0]
      %3 = multiply(x, %2)
      %4 = add(%3, b)
      return z = %4
    }}"""
    found = parse(text.format(n=1)).with_shapes({"x": (5,), "b": (1,)})
    assert found == parse(text.format(n=5))


FAULTS: dict[str, tuple[str, dict[str, tuple[int, ...]], str]] = {
    "inputs that disagree": (
        "%2 = add(x, y)",
        {"x": (6,), "y": (7,)},
        "input 'y' axis 0 gives 7 for an axis that input 'x' axis 0 makes 6",
    ),
    "a constant in the way": (
        "%c = constant float64[4] [1, 2, 3, 4]\n %2 = add(x, %c)",
        {"x": (6,)},
        "constant %2 .* holds axis 0 at 4, where input 'x' axis 0 makes it 6",
    ),
    "a cut at fixed places": (
        "%2 = slice(x, starts=(1,), stops=(4,), steps=(1,))",
        {"x": (6,)},
        "node 0 slice cuts axis 0 at fixed places, so it cannot go from 4 to 6",
    ),
    "a size in an attribute": (
        "%e = eye(rows=4, columns=4, dtype=float64)\n %2 = matmul(%e, x)",
        {"x": (6,)},
        "node 0 eye gives 4 for an axis that input 'x' axis 0 makes 6",
    ),
    "a stacked axis": (
        "%s = stack(y, y, y, y, axis=0)\n %t = squeeze(%s, axes=())\n %r = sum(%t, axes=(1,))\n"
        " %2 = add(x, %r)",
        {"x": (6,)},
        "node 0 stack gives 4",
    ),
    "no whole number": (
        "%r = reshape(x, shape=(2, 2))\n %2 = sum(%r, axes=(0,))",
        {"x": (5,)},
        "axis of size 2 would scale to no whole number",
    ),
    "another rank": ("%2 = exp(x)", {"x": (4, 1)}, "only sizes can change"),
    "a negative size": ("%2 = exp(x)", {"x": (-1,)}, "is none of that rank"),
    "a row that refuses": (
        "%2 = max(x, axes=(0,))",
        {"x": (0,)},
        "node 0 max",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_change_is_named(fault: str) -> None:
    """A size that is fixed, by whatever, is ShapeError naming what fixes it."""
    body, shapes, words = FAULTS[fault]
    graph = parse(f"graph(x: float64[4], y: float64[4]) {{\n {body}\n return %2\n}}")
    with pytest.raises(ShapeError, match=words):
        graph.with_shapes(shapes)


def test_an_unknown_input_is_named() -> None:
    """A name that the graph has not is InputError listing those it has."""
    with pytest.raises(InputError, match="no input 'z'; the graph has: x, w, y"):
        parse(MEAN.format(n=8)).with_shapes({"z": (1,)})


def test_sizes_may_be_numpy_integers() -> None:
    """Sizes from `array.shape` of any library are taken."""
    graph = parse(MEAN.format(n=8))
    assert graph.with_shapes({"x": list(np.array([20, 3]))}) == parse(MEAN.format(n=20))
