"""Rows on complex operands: NumPy = XLA, derivatives against central differences and JAX.

A cotangent and a tangent pair as the real part of the sum of their products, without a conjugate:
that is JAX's convention, and what makes a gradient here equal to `jax.grad`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pullback_graph.errors import DTypeError
from pullback_graph.table import OPS
from pullback_graph.types import COMPLEX64, COMPLEX128, FLOAT32, FLOAT64, ArrayType, DType
from tests.graph.drawing import (
    ALL_CASES,
    Case,
    NDArray,
    draw,
    generator,
    operand_types,
    result_types,
    spread,
)
from tests.graph.interpreter import run_row
from tests.graph.row_derivatives import (
    JAX,
    differentiable_operands,
    jax_first,
    jax_second,
    numpy_function,
    pulled,
    pushed,
    second,
)
from tests.graph.test_op_table_derivatives import assert_close, central
from tests.graph.test_op_table_executors import assert_agree

# fmt: off
NAMES = (
    "add", "subtract", "multiply", "divide", "divide_no_nan", "pow", "negative", "positive", "abs",
    "square", "sqrt", "reciprocal", "astype", "where", "exp", "log", "log2", "log10", "sin", "cos",
    "tan", "sinh", "cosh", "tanh", "equal", "not_equal", "isnan", "isinf", "isfinite", "sum",
    "prod", "cumsum", "cumprod", "shift", "linear_recurrence", "matmul", "einsum", "convolution",
    "solve", "inv", "triangular_solve", "lu", "real", "imag", "conj", "complex",
)
# fmt: on
"""Rows that compute with complex numbers, besides those that only move elements."""
# fmt: off
ORDERED = (
    "less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "clip", "sort",
    "argsort", "max", "min", "argmax", "argmin", "floor", "ceil", "round", "trunc", "sign",
    "remainder", "floor_divide", "balanced_greater", "atan2", "hypot", "erf", "lgamma", "sigmoid",
    "logsumexp", "cholesky", "qr", "eigh", "svd", "det",
)
# fmt: on
"""Rows that have no meaning, or none here, for complex numbers."""


def types_at(case: Case, dtype: DType) -> list[ArrayType]:
    """Types of operands and results, or none where the row does not take the dtype."""
    try:
        return [*operand_types(case, dtype), *result_types(case, dtype)]
    except DTypeError:
        return []


def drawn_dtype(case: Case) -> DType | None:
    """complex128 where the case takes it, float64 where it makes complex numbers of reals."""
    for dtype in (COMPLEX128, FLOAT64):
        if any(type.is_complex for type in types_at(case, dtype)):
            return dtype
    return None


CASES = [
    case for case in ALL_CASES if not case.op.graphs and drawn_dtype(case) and case.shapes != ()
]
SMOOTH = [case for case in spread(CASES, 2) if differentiable_operands(case)]
COMPUTED = [case for case in spread(SMOOTH, 1) if case.op.name in NAMES]
"""A case of each row that does more than move elements, which JAX need not be compiled for."""


def drawn(case: Case) -> list[NDArray]:
    """Operands, complex where the row takes that."""
    dtype = drawn_dtype(case)
    assert dtype is not None
    return draw(case, dtype)


def like(case: Case, types: Sequence[ArrayType], seed: int) -> list[NDArray]:
    """Random arrays of these types, both parts of complex ones."""
    rng = generator(case, seed)
    return [
        np.asarray(
            rng.uniform(-1, 1, type.shape) + 1j * rng.uniform(-1, 1, type.shape)
            if type.is_complex
            else rng.uniform(-1, 1, type.shape),
            type.dtype,
        )
        for type in types
    ]


def directions(case: Case, seed: int = 1) -> list[NDArray]:
    """A random direction in each differentiable operand."""
    types = operand_types(case, drawn_dtype(case) or FLOAT64)
    return like(case, [types[i] for i in differentiable_operands(case)], seed)


def cotangents(case: Case, seed: int = 2) -> list[NDArray]:
    """A random cotangent of each result."""
    return like(case, result_types(case, drawn_dtype(case) or FLOAT64), seed)


def inner(xs: Sequence[NDArray], ys: Sequence[NDArray]) -> float:
    """The pairing of cotangents with tangents."""
    return sum((float(np.sum(x * y).real) for x, y in zip(xs, ys, strict=True)), 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_takes_complex_numbers(name: str):
    """What the table is to compute with complex numbers, it does."""
    assert any(case.op.name == name for case in CASES)


@pytest.mark.parametrize("name", ORDERED)
def test_a_row_without_meaning_refuses(name: str):
    """The error names the dtype and what to take instead."""
    case = next(case for case in ALL_CASES if case.op.name == name)
    with pytest.raises(DTypeError, match="complex128; take real, imag or abs"):
        case.op.type(*operand_types(case, COMPLEX128), **case.attributes)


@pytest.mark.parametrize("case", spread(CASES, 1), ids=str)
def test_executors_agree(case: Case):
    """NumPy and JAX give the same dtypes and shapes, and values equal to rounding."""
    assert_agree(case, drawn(case), COMPLEX128)


@pytest.mark.slow  # the other precision takes the same ways
@pytest.mark.parametrize("case", spread(CASES, 3), ids=str)
def test_executors_agree_in_single_precision(case: Case):
    """Both compute complex64 in complex64."""
    narrow = COMPLEX64 if drawn_dtype(case) == COMPLEX128 else FLOAT32
    assert_agree(case, draw(case, narrow), COMPLEX64)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_tangents_are_central_differences(case: Case):
    """The JVP is the central difference along a complex direction."""
    arrays, u = drawn(case), directions(case)
    moving = [arrays[i] for i in differentiable_operands(case)]
    found = central(numpy_function(case, arrays), moving, u)
    assert_close(pushed(case, arrays, u), found, relative=1e-6)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_cotangents_are_the_transpose_of_tangents(case: Case):
    """The VJP is the JVP's transpose under the pairing without a conjugate."""
    arrays, u, v = drawn(case), directions(case), cotangents(case)
    forward, reverse = inner(v, pushed(case, arrays, u)), inner(pulled(case, arrays, v), u)
    assert forward == pytest.approx(reverse, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_second_derivatives_are_central_differences_of_the_first(case: Case):
    """The Hessian of the results' real sum times a direction is the gradient's difference."""
    arrays, u, v = drawn(case), directions(case), cotangents(case)
    positions = differentiable_operands(case)

    def gradient(moved: Sequence[NDArray]) -> list[NDArray]:
        operands = list(arrays)
        for i, array in zip(positions, moved, strict=True):
            operands[i] = array
        return pulled(case, operands, v)

    expected = central(gradient, [arrays[i] for i in positions], u)
    assert_close(second(case, arrays, v, u), expected, relative=1e-6)


@pytest.mark.parametrize("case", COMPUTED, ids=str)
def test_first_derivatives_are_jax_s(case: Case):
    """JVP and VJP are those that JAX makes of the row's own run rule."""
    arrays, u, v = drawn(case), directions(case), cotangents(case)
    forward, reverse = jax_first(case, arrays, u, v)
    assert_close(pushed(case, arrays, u), forward, relative=1e-9)
    assert_close(pulled(case, arrays, v), reverse, relative=1e-9)


@pytest.mark.slow  # differences of the first derivatives hold it on every run
@pytest.mark.parametrize("case", COMPUTED, ids=str)
def test_second_derivatives_are_jax_s(case: Case):
    """The Hessian times a direction is JAX's, its convention that of the first derivatives."""
    arrays, u, v = drawn(case), directions(case), cotangents(case)
    assert_close(second(case, arrays, v, u), jax_second(case, arrays, v, u), relative=1e-8)


@pytest.mark.parametrize("dtype", [COMPLEX64, COMPLEX128], ids=str)
def test_precision_is_kept(dtype: DType):
    """Tangents and cotangents of complex64 are complex64."""
    case = Case(OPS["multiply"], ((2, 3), (3,)), {})
    arrays = draw(case, dtype)
    assert all(z.dtype == dtype for z in pushed(case, arrays, arrays))
    assert all(z.dtype == dtype for z in pulled(case, arrays, arrays[:1]))


def test_the_modulus_has_derivative_zero_at_zero():
    """As in JAX: no direction is better than another there, and no NaN comes of it."""
    case = Case(OPS["abs"], ((2,),), {})
    x = np.array([0.0, 3 - 4j])
    (ours,) = pulled(case, [x], [np.ones(2)])
    np.testing.assert_allclose(ours, [0.0, 0.6 + 0.8j], rtol=1e-15)
    np.testing.assert_allclose(ours, jax_first(case, [x], [x], [np.ones(2)])[1][0], rtol=1e-12)


def test_parts_stay_where_they_are():
    """`complex` mixes no part into the other, be it infinite, NaN or -0."""
    x, y = np.array([np.inf, 1.0, -0.0, np.nan]), np.array([1.0, np.inf, -0.0, -0.0])
    for kernels in (None, JAX):
        z = np.asarray(run_row(OPS["complex"], [x, y], {}, *([kernels] if kernels else []))[0])
        np.testing.assert_array_equal(z.real, x)
        np.testing.assert_array_equal(z.imag, y)
        np.testing.assert_array_equal(np.signbit(z.imag), np.signbit(y))


@pytest.mark.parametrize("name", ["bool", "int8", "uint64", "float32", "complex64"])
def test_a_cast_from_complex_is_what_the_row_says(name: str):
    """The imaginary part goes, but for bool, which asks whether the number is not 0."""
    z = np.array([0j, 1j, 300.7 + 1j, -2.5 + 0j, complex(np.nan, 1), complex(np.inf, 0)])
    dtype = np.dtype(name)
    ours = run_row(OPS["astype"], [z], {"dtype": dtype})[0]
    expected = z != 0 if name == "bool" else z if name == "complex64" else None
    if expected is None:
        expected = run_row(OPS["astype"], [z.real.copy()], {"dtype": dtype})[0]
    np.testing.assert_array_equal(ours, expected.astype(dtype), strict=True)
    theirs = np.asarray(run_row(OPS["astype"], [JAX.xp.asarray(z)], {"dtype": dtype}, JAX)[0])
    np.testing.assert_array_equal(ours, theirs, strict=True)
