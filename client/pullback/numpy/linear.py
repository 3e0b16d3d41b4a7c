"""Products of matrices and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from pullback.numpy.axes import ordered_axes
from pullback.numpy.complex_numbers import conj
from pullback.numpy.elementwise import multiply, subtract
from pullback.numpy.manipulation import diagonal, moveaxis, reshape
from pullback.numpy.reductions import sum
from pullback.tracing.apply import Value, apply, as_value, cast
from pullback.tracing.promotion import common, floating, promoted
from pullback_graph.errors import ShapeError
from pullback_graph.types import INT64, Shape

# --- products -------------------------------------------------------------------------------------


def matmul(x: Any, y: Any, /) -> Any:
    """The matrix product of the last two axes, the others broadcasting; vectors as in NumPy."""
    return apply("matmul", *_numbers(x, y))


def dot(x: Any, y: Any, /) -> Any:
    """NumPy's: a product with a scalar, else the last axis with the second last (or only) one."""
    first, second = _numbers(x, y)
    if not first.ndim or not second.ndim:
        return multiply(first, second)
    if second.ndim <= 2:
        return apply("matmul", first, second)
    return tensordot(first, second, ((-1,), (-2,)))


def vdot(x: Any, y: Any, /) -> Any:
    """The sum of the products of all elements, those of x conjugated."""
    first, second = (reshape(value, (-1,)) for value in _numbers(x, y))
    return apply("matmul", conj(first), second)


def vecdot(x: Any, y: Any, /, *, axis: int = -1) -> Any:
    """The sum of products along an axis, the others broadcasting; x is conjugated."""
    first, second = (moveaxis(value, axis, -1) for value in _numbers(x, y))
    if first.shape[-1] != second.shape[-1]:
        raise ShapeError(f"axes of sizes {first.shape[-1]} and {second.shape[-1]} have no product")
    return sum(multiply(conj(first), second), -1)


def inner(x: Any, y: Any, /) -> Any:
    """The sum of products along the last axis of each."""
    first, second = _numbers(x, y)
    if not first.ndim or not second.ndim:
        return multiply(first, second)
    return tensordot(first, second, ((-1,), (-1,)))


def outer(x: Any, y: Any, /) -> Any:
    """The products of all pairs of elements: a row for each of x."""
    first, second = promoted(common, (x, y))
    return multiply(reshape(first, (-1, 1)), reshape(second, (1, -1)))


def kron(x: Any, y: Any, /) -> Any:
    """The Kronecker product: y for each element of x, times it."""
    first, second = promoted(common, (x, y))
    rank = first.ndim if first.ndim > second.ndim else second.ndim
    wide, fine = ((1,) * (rank - value.ndim) + value.shape for value in (first, second))
    left = reshape(first, [n for size in wide for n in (size, 1)])
    right = reshape(second, [n for size in fine for n in (1, size)])
    sizes = [a * b for a, b in zip(wide, fine, strict=True)]
    return reshape(multiply(left, right), sizes)


def tensordot(x: Any, y: Any, /, axes: Any = 2) -> Any:
    """The sum of products over axes: the last of x with the first of y, or two lists of axes."""
    first, second = _numbers(x, y)
    if isinstance(axes, Sequence) or hasattr(axes, "__len__"):
        left, right = (
            ordered_axes(_several(a), v.ndim) for a, v in zip(axes, (first, second), strict=True)
        )
    else:
        left = tuple(range(first.ndim - axes, first.ndim))
        right = tuple(range(axes))
    if len(left) != len(right) or first.ndim < len(left) or second.ndim < len(right):
        raise ShapeError(f"axes {axes} do not pair shapes {first.shape} and {second.shape}")
    return _contracted(first, second, left, right)


def cross(x: Any, y: Any, /, *, axis: int = -1) -> Any:
    """The vector product along axes of size three."""
    first, second = (moveaxis(value, axis, -1) for value in _numbers(x, y))
    if first.shape[-1] != 3 or second.shape[-1] != 3:
        raise ShapeError(f"a vector product needs size 3, got {first.shape} and {second.shape}")
    ahead, behind = np.array([1, 2, 0]), np.array([2, 0, 1])

    def turned(value: Value, order: Any) -> Any:
        return apply("take", value, order, axis=value.ndim - 1)

    product = subtract(
        multiply(turned(first, ahead), turned(second, behind)),
        multiply(turned(first, behind), turned(second, ahead)),
    )
    return moveaxis(product, -1, axis)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    """The sum of a diagonal."""
    return sum(diagonal(x, offset, axis1, axis2), -1, dtype)


def polyval(coefficients: Any, x: Any) -> Any:
    """The polynomial with these coefficients, the highest power first, at x."""
    values = as_value(coefficients)
    result: Any = 0
    for place in range(values.shape[0]):
        factor = apply("squeeze", _row(values, place), axes=(0,))
        result = factor if place == 0 else result * x + factor
    return result


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral by the trapezoidal rule, over places `x` or steps `dx`."""
    values = moveaxis(promoted(floating, (y,))[0], axis, -1)
    size = values.shape[-1]
    step: Any = dx
    if x is not None:
        places: Any = as_value(x)
        places = moveaxis(places, axis, -1) if places.ndim > 1 else places
        step = subtract(places[..., 1:], places[..., :-1])
    return sum(multiply(multiply(values[..., 1:] + values[..., : size - 1], 0.5), step), -1)


# --- inside ---------------------------------------------------------------------------------------


def _numbers(*operands: Any) -> list[Value]:
    """The operands in their common dtype, bools as integers."""
    values = promoted(common, operands)
    return [cast(value, INT64) if value.dtype.kind == "b" else value for value in values]


def _several(axes: Any) -> tuple[int, ...]:
    return tuple(axes) if isinstance(axes, Sequence) or hasattr(axes, "__len__") else (axes,)


def _contracted(first: Value, second: Value, left: Shape, right: Shape) -> Any:
    """The sum over paired axes, as an einsum."""
    names = iter(ascii_letters)
    x = [next(names) for _ in range(first.ndim)]
    y = [next(names) for _ in range(second.ndim)]
    for a, b in zip(left, right, strict=True):
        y[b] = x[a]
    kept = [c for i, c in enumerate(x) if i not in left] + [
        c for i, c in enumerate(y) if i not in right
    ]
    return apply("einsum", first, second, subscripts=f"{''.join(x)},{''.join(y)}->{''.join(kept)}")


def _row(value: Value, place: int) -> Any:
    """Element `place` of a vector, as a vector of one."""
    return apply("slice", value, starts=(place,), stops=(place + 1,), steps=(1,))
