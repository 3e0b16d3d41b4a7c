"""Linear algebra under the names of NumPy's `linalg` and the Array API's extension of that name."""

from pullback.numpy.linear import (
    cross,
    matmul,
    matrix_norm,
    norm,
    outer,
    tensordot,
    trace,
    vecdot,
    vector_norm,
)
from pullback.numpy.manipulation import diagonal, matrix_transpose

__all__ = [
    "cross",
    "diagonal",
    "matmul",
    "matrix_norm",
    "matrix_transpose",
    "norm",
    "outer",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
