"""Adding at indices without collisions: the reference's sums, in an order that never changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as pnp
from pullback_worker.jax_kernels import JaxKernels
from pullback_worker.jax_scatter import BLOCK, LEAST_PLACES, add_apart, run_sums
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.xla_program import Traceable

APART = JaxKernels(apart=True)
MANY = 3 * LEAST_PLACES + 5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3 * BLOCK**2 // 2), st.integers(1, 3))
def test_run_sums_start_anew_at_each_place(places: list[int], width: int):
    """Within a block, over its end, and over whole blocks of one place."""
    at = np.sort(np.array(places, np.uint32))
    values = np.random.default_rng(0).integers(-9, 9, (len(at), width)).astype(float)
    found = run_sums(jnp.asarray(at), jnp.asarray(values))
    for place in set(places):
        own = at == place
        np.testing.assert_array_equal(found[own], np.cumsum(values[own], axis=0))


@st.composite
def additions(draw: Callable[[Any], Any]) -> tuple[tuple[int, ...], Any, tuple[int, ...]]:
    """A shape, an index of some of its axes (arrays that broadcast), and the shape it reads."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    own = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=2)))
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    seed = draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    index: list[Any] = [
        rng.integers(0, size, own if draw(st.booleans()) else own[-1:])
        if axis in axes
        else slice(None)
        for axis, size in enumerate(shape)
    ]
    return shape, tuple(index), np.zeros(shape)[tuple(index)].shape


@settings(max_examples=40, deadline=None)
@given(additions())
def test_additions_are_numpys(case: Any):
    """Axes indexed together or apart, in any place, by arrays that broadcast."""
    shape, index, placed = case
    rng = np.random.default_rng(1)
    x, y = rng.integers(-9, 9, shape).astype(float), rng.integers(-9, 9, placed).astype(float)
    expected = x.copy()
    np.add.at(expected, index, y)
    on = tuple([entry if isinstance(entry, slice) else jnp.asarray(entry) for entry in index])
    np.testing.assert_array_equal(add_apart(jnp.asarray(x), on, jnp.asarray(y)), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int64"])
@pytest.mark.parametrize("rows", [1, 7, 10 * MANY])
def test_the_kernels_add_as_the_reference_does(rows: int, dtype: str):
    """All on one place, many on each, few on any; indices that wrap and clip."""
    rng = np.random.default_rng(2)
    places = rng.integers(-rows - 3, rows + 3, MANY)
    y = rng.normal(0.0, 9.0, (MANY, 3)).astype(dtype)
    found = APART.sum_at((rows, 3), [(jnp.asarray(places),)], [jnp.asarray(y)])
    expected = NUMPY.sum_at((rows, 3), [(places,)], [y])
    assert found.dtype == expected.dtype
    tolerance = 1e-4 if dtype in ("float32", "complex64") else 1e-11
    np.testing.assert_allclose(found, expected, atol=tolerance * max(1, MANY / rows))


def test_nan_and_infinity_stay_where_they_are_put():
    """One bad row spoils its own place alone."""
    y = np.zeros((MANY, 2))
    y[3], y[4] = np.nan, np.inf
    places = np.arange(MANY)
    found = APART.sum_at((MANY, 2), [(jnp.asarray(places),)], [jnp.asarray(y)])
    np.testing.assert_array_equal(found, y)


@pytest.mark.parametrize("length", [1, 2])
def test_what_is_taken_along_an_axis_is_put_back(length: int):
    """One element of each row, as by a label, or several, which may be the same."""
    rng = np.random.default_rng(3)
    index, y = rng.integers(-9, 9, (MANY, length)), rng.normal(size=(MANY, length))
    expected = NUMPY.sum_along_axes((MANY, 5), (1,), [index], [y])
    found = APART.sum_along_axes((MANY, 5), (1,), [jnp.asarray(index)], [jnp.asarray(y)])
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_nothing_is_added_where_something_else_is():
    """The only scatter of a gradient through gathered rows says that its places are distinct."""

    def gathered(w: Any) -> Any:
        return pnp.sum(pnp.sin(pnp.take(w, pnp.asarray(np.arange(MANY) % 9), axis=0)))

    w = np.random.default_rng(4).normal(size=(9, 2))
    graph = pb.trace(pb.grad(gathered), w)
    source = Traceable(graph, APART)
    given = [w, *[graph.constants[k] for k in source.large]]
    run = jax.jit(source)
    text = run.lower(*given).as_text()
    assert text.count('"stablehlo.scatter"') == text.count("unique_indices = true") == 1
    np.testing.assert_allclose(run(*given)[0], pb.grad(gathered)(w), rtol=1e-12)
