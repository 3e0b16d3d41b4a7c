"""Sparse derivatives as users get them: SciPy's matrices; it is imported with the first one."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback_graph.pattern import SparseArray


def as_users_matrix(value: Any) -> Any:
    """A `scipy.sparse.csr_array` of its own for a sparse array; anything else as it is."""
    if type(value) is not SparseArray:
        return value
    from scipy.sparse import csr_array  # noqa: PLC0415  (heavy, and most jobs have none)

    pattern = value.pattern
    layout = (np.array(value.values), np.array(pattern.columns), np.array(pattern.starts))
    matrix = csr_array(layout, shape=pattern.shape)
    matrix.has_canonical_format = True
    return matrix
