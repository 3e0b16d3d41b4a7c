from __future__ import annotations

import numpy as np
import pytest

from pullback_worker.numpy_selection import where

SHAPES = [
    ((70, 80), (), (70, 80)),
    ((70, 80), (70, 80), ()),
    ((70, 80), (70, 80), (70, 80)),
    ((70, 80), (80,), (70, 1)),
    ((8000, 1), (1, 3), (3,)),
    ((6000,), (), ()),
    ((3,), (3,), ()),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u4", "i1"])
def test_where_is_numpy_s_to_the_bit(shapes, dtype):
    """Masks choose the very bits that a branch would: NaN, infinities and -0 among them."""
    random = np.random.default_rng(0)
    condition = random.random(shapes[0]) < 0.5
    x, y = (np.asarray(10.0 * random.normal(size=shape)).astype(dtype) for shape in shapes[1:])
    if dtype.startswith("f"):
        x[...], y[...] = np.where(x > 5, np.nan, x), np.where(y > 5, -0.0, y)
    for a, b in ((x, y), (np.zeros_like(x), y), (x, np.zeros_like(y)), (-np.zeros_like(x), y)):
        expected = np.where(condition, a, b)
        assert where(condition, a, b).tobytes() == expected.tobytes()
        assert where(condition, a, b).dtype == expected.dtype
        assert where(condition, a, b).shape == expected.shape


def test_where_takes_transposed_operands():
    """Operands need not be contiguous."""
    random = np.random.default_rng(0)
    condition, x, y = (
        random.random((80, 70)) < 0.5,
        random.random((80, 70)),
        random.random((70, 80)),
    )
    np.testing.assert_array_equal(where(condition.T, x.T, y), np.where(condition.T, x.T, y))
    np.testing.assert_array_equal(where(condition, x, 0.0 * y.T), np.where(condition, x, 0.0 * y.T))
