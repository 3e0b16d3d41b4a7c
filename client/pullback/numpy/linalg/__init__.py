"""Linear algebra under the names of NumPy's `linalg` and the Array API's extension of that name.

Matrices stand on the last two axes, the axes before them being a batch. `pullback.linalg` has all
of it, and SciPy's names besides.
"""

from pullback.numpy.linalg.factorizations import (
    EighResult,
    QRResult,
    SVDResult,
    cholesky,
    eigh,
    eigvalsh,
    qr,
    svd,
    svdvals,
)
from pullback.numpy.linalg.matrices import diagonal, trace
from pullback.numpy.linalg.norms import cond, matrix_norm, matrix_rank, norm, vector_norm
from pullback.numpy.linalg.solutions import (
    LstsqResult,
    SlogdetResult,
    det,
    inv,
    lstsq,
    matrix_power,
    multi_dot,
    pinv,
    slogdet,
    solve,
    tensorinv,
    tensorsolve,
)
from pullback.numpy.linear import cross, matmul, outer, tensordot, vecdot
from pullback.numpy.manipulation import matrix_transpose

__all__ = [
    "EighResult",
    "LstsqResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
