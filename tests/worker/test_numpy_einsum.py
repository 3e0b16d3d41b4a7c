"""Einstein summation through matmul is NumPy's own, for any subscripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_worker.numpy_einsum import contraction

SIZES = {"a": 2, "b": 3, "c": 1, "d": 4, "e": 0, "f": 2}


@st.composite
def subscripts(draw: Callable[[Any], Any]) -> str:
    """One to four terms over few labels, repeated ones included, and an output of some of them."""
    labels = draw(st.sampled_from(["abcd", "abdf", "abce"]))
    terms = draw(st.lists(st.text(labels, max_size=4), min_size=1, max_size=4))
    present = sorted(set("".join(terms)))
    output = draw(st.lists(st.sampled_from(present), unique=True)) if present else []
    return f"{','.join(terms)}->{''.join(output)}"


@given(subscripts())
def test_is_numpys(written: str):
    """The same values, shape and dtype as `numpy.einsum`."""
    terms = written.split("->")[0].split(",")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=[SIZES[label] for label in term]) for term in terms]
    expected = np.einsum(written, *arrays)
    np.testing.assert_allclose(
        contraction(written)(*arrays), expected, rtol=1e-12, atol=1e-12, strict=True
    )


@pytest.mark.parametrize("dtype", ["float32", "int8", "int64"])
def test_keeps_the_dtype(dtype: str):
    """Narrow dtypes stay narrow, in sums too."""
    x = np.ones((3, 4), dtype)
    for written, arrays in {"ij->": [x], "ij,kj->ik": [x, x], "ij,ij->i": [x, x]}.items():
        assert contraction(written)(*arrays).dtype == dtype


def test_large_contractions_agree_with_matmul():
    """A batched product is the loop of matrix products, to rounding."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(4, 30, 20)), rng.normal(size=(4, 20, 10))
    np.testing.assert_allclose(contraction("bij,bjk->bik")(x, y), x @ y, rtol=1e-12)
    np.testing.assert_allclose(
        contraction("bij,bik->jk")(x, x @ y), sum(a.T @ b for a, b in zip(x, x @ y, strict=True))
    )
