"""The NumPy kernels' corners by their definitions, and JAX's kernels beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.types import DTYPES
from pullback_worker.jax_kernels import JaxKernels
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.numpy_scatter import in_range

JAX = JaxKernels()
BOTH = pytest.mark.parametrize("kernels", [NUMPY, JAX], ids=["numpy", "jax"])
INTEGERS = [dtype for dtype in DTYPES.values() if dtype.kind in "iu"]
WIDE = 2**63


def meant(index: int, size: int) -> int:
    """The position an index means: from the end if negative, then clipped."""
    return min(max(index + size if index < 0 else index, 0), size - 1)


def integers_of(dtype: np.dtype[Any]) -> st.SearchStrategy[int]:
    """Integers of a dtype, mostly small, sometimes at its ends."""
    info = np.iinfo(dtype)
    ends = st.sampled_from([int(info.min), int(info.max), int(info.max) - 1])
    return st.integers(max(-9, int(info.min)), 9) | ends


@st.composite
def index_arrays(draw: Callable[[Any], Any], length: int = 6) -> np.ndarray:
    """A vector of indices of any integer dtype, in range or not."""
    dtype = draw(st.sampled_from(INTEGERS))
    listed = draw(st.lists(integers_of(dtype), min_size=length, max_size=length))
    return np.array(listed, dtype)


@given(index_arrays(), st.integers(1, 300))
def test_every_index_means_a_position(index: np.ndarray, size: int):
    """Negative counts from the end, beyond the ends clips, for every integer dtype."""
    assert in_range(index, size).tolist() == [meant(int(i), size) for i in index]


@BOTH
@given(indices=index_arrays())
def test_reading_follows_the_meaning(kernels: Any, indices: np.ndarray):
    """take, take_along_axis and index read the same elements."""
    x = np.arange(20.0).reshape(5, 4)
    rows = [meant(int(i), 5) for i in indices]
    columns = [meant(int(i), 4) for i in indices]
    on = kernels.xp.asarray
    np.testing.assert_array_equal(kernels.take(on(x), on(indices), 0), x[rows])
    np.testing.assert_array_equal(kernels.take(on(x), on(indices), 1), x[:, columns])
    along = np.broadcast_to(indices, (5, 6))
    np.testing.assert_array_equal(kernels.take_along_axis(on(x), on(along), 1), x[:, columns])
    chosen = kernels.index(on(x), (on(indices), on(indices)))
    np.testing.assert_array_equal(chosen, x[rows, columns])


@BOTH
@given(first=index_arrays(), second=index_arrays())
def test_scattering_adds_at_every_place(kernels: Any, first: np.ndarray, second: np.ndarray):
    """sum_at, index_add and sum_along_axes add where the reading ones read."""
    rng = np.random.default_rng(0)
    ys, zs = rng.normal(size=(6, 4)), rng.normal(size=(5, 6))
    expected = np.zeros((5, 4))
    for i, y in zip(first, ys, strict=True):
        expected[meant(int(i), 5)] += y
    for j, z in zip(second, zs.T, strict=True):
        expected[:, meant(int(j), 4)] += z
    on = kernels.xp.asarray
    every = slice(None)
    added = kernels.sum_at((5, 4), [(on(first),), (every, on(second))], [on(ys), on(zs)])
    np.testing.assert_allclose(added, expected, atol=1e-12)
    start = rng.normal(size=(5, 4))
    added = kernels.index_add(on(start), (on(first),), on(ys))
    added = kernels.index_add(added, (every, on(second)), on(zs))
    np.testing.assert_allclose(added, start + expected, atol=1e-12)
    pairs = [np.broadcast_to(first[:, None], (6, 4)), np.broadcast_to(second, (5, 6))]
    added = kernels.sum_along_axes((5, 4), (0, 1), [on(p) for p in pairs], [on(ys), on(zs)])
    np.testing.assert_allclose(added, expected, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("width", [1, 3, 64])
@pytest.mark.parametrize("count", [0, 5, 500])
def test_scattering_is_the_same_by_every_way(count: int, width: int, dtype: str):
    """Few or many rows, narrow or wide, floating or integer: what `add.at` gives."""
    rng = np.random.default_rng(1)
    places = rng.integers(0, 7, count)
    values = rng.integers(-8, 8, (count, width)).astype(dtype)
    expected = np.zeros((7, width), dtype)
    np.add.at(expected, places, values)
    added = NUMPY.sum_at((7, width), [(places,)], [values])
    np.testing.assert_array_equal(added, expected, strict=True)
    across = NUMPY.sum_at((width, 7), [(slice(None), places)], [values.T])
    np.testing.assert_array_equal(across, expected.T, strict=True)


def test_scattered_nan_and_infinity_stay_where_they_are_put():
    """One bad row spoils its own place alone, whichever way is taken."""
    values = np.zeros((2000, 8))
    values[3], values[4] = np.nan, np.inf
    places = np.arange(2000)
    added = NUMPY.sum_at((2000, 8), [(places,)], [values])
    np.testing.assert_array_equal(added, values)


def test_axes_apart_are_placed_as_numpy_places_them():
    """Index arrays apart put their axes in front; adding there is the transpose of reading."""
    rng = np.random.default_rng(2)
    i, j = rng.integers(0, 3, 5), rng.integers(0, 4, 5)
    index: Any = (i, slice(None), j)
    y = rng.normal(size=(5, 2))
    expected = np.zeros((3, 2, 4))
    np.add.at(expected, index, y)
    np.testing.assert_allclose(NUMPY.sum_at((3, 2, 4), [index], [y]), expected)


FLOATS = [0.0, -0.0, 0.9, -0.9, -1.0, 127.5, -128.5, 255.9, 256.0, 2.0**31, -(2.0**31), 2.0**63]
FLOATS += [2.0**64, -(2.0**63), 1e300, -1e300, np.inf, -np.inf, np.nan]


def truncated(x: float, dtype: np.dtype[Any]) -> int:
    """What casting a float to an integer dtype means."""
    info = np.iinfo(dtype)
    if np.isnan(x):
        return 0
    if np.isinf(x):
        return int(info.max if x > 0 else info.min)
    return min(max(int(x), int(info.min)), int(info.max))


@BOTH
@pytest.mark.parametrize("source", ["float32", "float64"])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_casting_floats_is_defined_everywhere(kernels: Any, source: str, dtype: np.dtype[Any]):
    """Truncation, NaN as 0, and the nearest bound beyond the range."""
    with np.errstate(all="ignore"):
        x = np.array(FLOATS, source)
        cast = np.asarray(kernels.astype(kernels.xp.asarray(x), dtype))
    assert cast.dtype == dtype
    assert cast.tolist() == [truncated(float(v), dtype) for v in x]


@BOTH
@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
@pytest.mark.parametrize("target", DTYPES.values(), ids=str)
def test_casting_gives_the_dtype(kernels: Any, source: np.dtype[Any], target: np.dtype[Any]):
    """Every dtype casts to every other; 0 and 1 survive."""
    x = kernels.xp.asarray(np.array([0, 1], source))
    cast = np.asarray(kernels.astype(x, target))
    assert cast.dtype == target
    assert cast.tolist() == [0, 1]


@BOTH
@given(start=st.lists(st.integers(-9, 9), min_size=2, max_size=2))
def test_blocks_are_moved_into_bounds(kernels: Any, start: list[int]):
    """A dynamic block is clamped, not wrapped; updating writes where slicing reads."""
    x = np.arange(20.0).reshape(5, 4)
    i, j = min(max(start[0], 0), 3), min(max(start[1], 0), 1)
    on = kernels.xp.asarray
    starts = on(np.array(start))
    np.testing.assert_array_equal(
        kernels.dynamic_slice(on(x), starts, (2, 3)), x[i : i + 2, j : j + 3]
    )
    expected = x.copy()
    expected[i : i + 2, j : j + 3] = -1.0
    updated = kernels.dynamic_update_slice(on(x), on(np.full((2, 3), -1.0)), starts)
    np.testing.assert_array_equal(updated, expected)
    placed = kernels.sum_at_blocks((5, 4), [starts, starts], [on(np.ones((2, 3)))] * 2)
    np.testing.assert_array_equal(placed, np.where(expected == -1.0, 2.0, 0.0))


@BOTH
def test_unsigned_starts_do_not_wrap(kernels: Any):
    """A start beyond any array means the last block."""
    starts = kernels.xp.asarray(np.array([WIDE + 5], np.uint64))
    part = kernels.dynamic_slice(kernels.xp.asarray(np.arange(6)), starts, (2,))
    assert np.asarray(part).tolist() == [4, 5]


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2000, 3)])
def test_broadcasting_gives_the_shape_without_copying_much(shape: tuple[int, ...]):
    """Small results are written out; large ones are views of what they repeat."""
    x = np.arange(3.0)
    z = NUMPY.broadcast_to(x, shape)
    np.testing.assert_array_equal(z, np.broadcast_to(x, shape))
    assert np.shares_memory(z, x) == (z.size > 1024)


def test_special_functions_come_with_the_kernels():
    """erf is SciPy's, and keeps float32."""
    z = NUMPY.special.erf(np.array([0.5], np.float32))
    assert z.dtype == np.float32
