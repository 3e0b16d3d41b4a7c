"""Reductions chosen by the form of the array: the same numbers as NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest

from pullback_worker.numpy_reduction import reduction

SHAPES = [
    ((2500, 10), (1,)),
    ((300, 5, 4), (1, 2)),
    ((40, 500), (1,)),
    ((3000, 32), (1,)),
    ((20, 3), (1,)),
    ((0, 5), (1,)),
    ((5, 0), (1,)),
    ((64, 8), (0,)),
    ((64, 8), (0, 1)),
    ((64, 8), ()),
]
CASES = [
    (ufunc, shape, axes)
    for ufunc in ("add", "multiply", "maximum", "minimum")
    for shape, axes in SHAPES
    if 0 not in shape or ufunc in ("add", "multiply")  # none has no largest
]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("ufunc", "shape", "axes"), CASES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_reductions_are_numpy_s_to_a_few_ulps(dtype, shape, axes, ufunc, keepdims):
    """Whatever the length of rows: the same shape, dtype and numbers, NaN and infinities too."""
    x = (3.0 * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    if dtype != "i4" and x.size:
        x[0, ..., 0], x[-1, ..., -1] = np.nan, np.inf
    with np.errstate(all="ignore"):
        found = reduction(ufunc, axes, keepdims)(x)
        expected = getattr(np, ufunc).reduce(x, axes, x.dtype, None, keepdims)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    largest = np.nanmax(np.abs(x), initial=0.0, where=np.isfinite(x)) if ufunc == "add" else 0.0
    few = 0.0 if dtype == "i4" else 500 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=few, atol=few * largest)


def test_rows_out_of_order_in_memory():
    """A transposed operand is reduced as NumPy does."""
    x = np.random.default_rng(0).normal(size=(10, 2500)).T
    np.testing.assert_allclose(reduction("add", (1,), False)(x), x.sum(1), rtol=1e-13)
