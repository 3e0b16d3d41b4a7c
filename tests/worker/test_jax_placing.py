"""Sums of placed arrays on XLA: the reference's, whichever way they are written."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_worker.jax_kernels import JaxKernels
from pullback_worker.jax_placing import MOST_JOINED, MOST_PADDED_ELEMENTS
from pullback_worker.numpy_kernels import NUMPY

JAX = JaxKernels()
Places = list[tuple[slice, ...]]


def check(shape: tuple[int, ...], places: Places) -> str:
    """Compare with the reference; the program as JAX wrote it."""
    rng = np.random.default_rng(3)
    ys = [rng.normal(size=np.zeros(shape)[place].shape) for place in places]
    run = jax.jit(lambda *ys: JAX.sum_at_slices(shape, places, ys))
    found = run(*ys)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, NUMPY.sum_at_slices(shape, places, ys), rtol=1e-13)
    return str(run.lower(*ys).as_text())


@st.composite
def slices(draw: Any, size: int) -> slice:
    """A slice within an axis, of any step, empty ones too."""
    start, other = draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))
    step = draw(st.integers(1, 3))
    if draw(st.booleans()) and draw(st.booleans()):
        return slice(0, 0)
    if other < start:
        return slice(start, None if other == 0 else other - 1, -step)
    return slice(start, other + 1, step)


@st.composite
def placements(draw: Any) -> tuple[tuple[int, ...], Places]:
    """A shape and places in it, which may overlap."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=0, max_size=3)))
    count = draw(st.integers(1, 4))
    return shape, [tuple([draw(slices(size)) for size in shape]) for _ in range(count)]


@settings(max_examples=25, deadline=None)
@given(placements())
def test_placed_arrays_add_up(case: tuple[tuple[int, ...], Places]):
    """Overlapping or not, in steps forward or backward, empty or whole."""
    check(*case)


ROWS = [(slice(k, k + 1), slice(0, 3)) for k in (3, 0, 2)]


@pytest.mark.parametrize(
    ("shape", "places", "how"),
    [
        ((5, 3), ROWS, "concatenate"),
        ((5, 3), [*ROWS, ROWS[0]], "pad"),
        ((MOST_PADDED_ELEMENTS,), [(slice(0, 9),), (slice(5, 9),)], "scatter"),
        ((MOST_PADDED_ELEMENTS,), [(slice(4, 9),), (slice(0, 4),)], "concatenate"),
        ((300,), [(slice(k, k + 1),) for k in range(MOST_JOINED + 1)], "scatter"),
        ((2 * MOST_PADDED_ELEMENTS,), [(slice(0, 9),)], "pad"),
    ],
)
def test_how_a_sum_is_written(shape: tuple[int, ...], places: Places, how: str):
    """What lies side by side is joined, a few small arrays are padded; the rest are updates."""
    text = check(shape, places)
    ways = [way for way in ("concatenate", "pad", "scatter") if f"stablehlo.{way}" in text]
    assert ways == [how]


def test_arrays_without_elements_leave_zeros():
    """Nothing placed is zeros of the right type."""
    z = JAX.sum_at_slices((2, 2), [(slice(0, 0), slice(0, 2))], [jnp.zeros((0, 2), jnp.float32)])
    assert (z.shape, z.dtype) == ((2, 2), np.float32)
    assert not z.any()
