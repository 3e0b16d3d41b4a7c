"""Array types: a dtype and a shape, and the broadcasting of shapes; nothing here holds data."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.errors import DTypeError, ShapeError

Shape: TypeAlias = tuple[int, ...]
DType: TypeAlias = "np.dtype[Any]"
Array: TypeAlias = Any
"""An array of whichever executor runs: `numpy.ndarray`, `numpy.generic` or `jax.Array`."""

DTYPE_NAMES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
DTYPES: dict[str, DType] = {name: np.dtype(name) for name in DTYPE_NAMES}
"""The dtypes of the language, by name."""
_CANONICAL: dict[DType, DType] = {dtype: dtype for dtype in DTYPES.values()}
BOOL, INT64 = DTYPES["bool"], DTYPES["int64"]
FLOAT32, FLOAT64 = DTYPES["float32"], DTYPES["float64"]
COMPLEX64, COMPLEX128 = DTYPES["complex64"], DTYPES["complex128"]
_REAL: dict[DType, DType] = {COMPLEX64: FLOAT32, COMPLEX128: FLOAT64}
_COMPLEX: dict[DType, DType] = {real: dtype for dtype, real in _REAL.items()}
MAX_RANK = 32


class ArrayType(NamedTuple):
    """The type of a value: dtype and shape."""

    dtype: DType
    shape: Shape

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the contiguous data."""
        return self.size * self.dtype.itemsize

    @property
    def is_floating(self) -> bool:
        """Whether values of this type carry derivatives: real and complex floats do."""
        return self.dtype.kind in "fc"

    @property
    def is_complex(self) -> bool:
        """Whether an element has a real and an imaginary part."""
        return self.dtype.kind == "c"

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"


def as_dtype(value: object) -> DType:
    """The dtype named by a string, a NumPy dtype or a scalar type.

    Raises:
        DTypeError: the language has no such dtype.
    """
    if isinstance(value, np.dtype) and value in _CANONICAL:
        return _CANONICAL[value]  # much faster than asking a dtype for its name
    try:
        dtype = np.dtype(value)  # type: ignore[call-overload]
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in DTYPES:
        raise DTypeError(f"dtype {value!r} is not supported; use one of {', '.join(DTYPE_NAMES)}")
    return DTYPES[dtype.name]


def real_dtype(dtype: DType) -> DType:
    """The dtype of the parts of a complex one; of any other, itself."""
    return _REAL.get(dtype, dtype)


def complex_dtype(dtype: DType) -> DType:
    """The complex dtype whose parts are of a floating one; of any other, itself."""
    return _COMPLEX.get(dtype, dtype)


def type_of(array: Any) -> ArrayType:
    """The type of a NumPy array or scalar, checked against the dtypes of the language."""
    return ArrayType(as_dtype(array.dtype), tuple(array.shape))


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """The shape NumPy's broadcasting gives.

    Raises:
        ShapeError: two sizes differ and neither is one.
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if result[axis] == 1:
                result[axis] = size
            elif size not in (1, result[axis]):
                listed = " and ".join(map(str, shapes))
                raise ShapeError(
                    f"shapes {listed} do not broadcast: sizes {result[axis]} and {size} differ "
                    f"at axis {axis - rank}; reshape or expand_dims one operand"
                )
    return tuple(result)
