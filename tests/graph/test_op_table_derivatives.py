"""Every row's derivative against central differences, in float64, first and second order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pullback_graph.op import Zero
from pullback_graph.table import OPS
from pullback_graph.types import FLOAT32, FLOAT64
from tests.graph.drawing import (
    ALL_CASES,
    Case,
    NDArray,
    cases,
    draw,
    generator,
    result_types,
)
from tests.graph.interpreter import run_row
from tests.graph.row_derivatives import (
    differentiable_cases,
    differentiable_operands,
    numpy_function,
    pulled,
    pushed,
    row_graph,
    second,
)

DOUBLE = [c for c in differentiable_cases() if result_types(c)[0].dtype == FLOAT64]
"""Cases in float64 throughout: differences of anything rounded to float32 say little."""
CASES = pytest.mark.parametrize("case", DOUBLE, ids=str)
STEP = 1e-3
"""Of the five-point difference below: its error is near STEP⁴, rounding near 1e-16 / STEP."""


def directions(case: Case, arrays: Sequence[NDArray], seed: int = 1) -> list[NDArray]:
    """A random direction in each differentiable operand."""
    rng = generator(case, seed)
    return [np.asarray(rng.uniform(-1, 1, arrays[i].shape)) for i in differentiable_operands(case)]


def cotangents(case: Case, seed: int = 2) -> list[NDArray]:
    """A random cotangent of each result."""
    rng = generator(case, seed)
    return [np.asarray(rng.uniform(0.5, 1.5, type.shape)) for type in result_types(case)]


def central(
    function: Callable[[Sequence[NDArray]], list[NDArray]],
    points: Sequence[NDArray],
    direction: Sequence[NDArray],
) -> list[NDArray]:
    """The five-point central difference along a direction; 0 where the function is not finite.

    Source: Abramowitz & Stegun 1964, formula 25.3.21.
    """

    def at(multiple: float) -> list[NDArray]:
        step = multiple * STEP
        return function([p + step * u for p, u in zip(points, direction, strict=True)])

    stencil = zip(at(-2), at(-1), at(1), at(2), strict=True)
    with np.errstate(invalid="ignore"):
        slopes = [(a - 8 * b + 8 * c - d) / (12 * STEP) for a, b, c, d in stencil]
    return [np.where(np.isfinite(z), s, 0.0) for z, s in zip(at(0), slopes, strict=True)]


def assert_close(ours: Sequence[NDArray], theirs: Sequence[NDArray], relative: float) -> None:
    """Equal shapes, and values equal relative to the largest of each array."""
    for one, other in zip(ours, theirs, strict=True):
        scale = np.max(np.abs(other), initial=1.0)
        np.testing.assert_allclose(
            one, np.asarray(other), rtol=relative, atol=relative * scale, strict=True
        )


def inner(xs: Sequence[NDArray], ys: Sequence[NDArray]) -> float:
    """The inner product of two lists of arrays."""
    return sum((float(np.sum(x * y)) for x, y in zip(xs, ys, strict=True)), 0.0)


@CASES
def test_tangents_are_central_differences(case: Case):
    """The JVP is the central difference along its direction, at relative 1e-6."""
    arrays = draw(case)
    moving = [arrays[i] for i in differentiable_operands(case)]
    u = directions(case, arrays)
    assert_close(
        pushed(case, arrays, u), central(numpy_function(case, arrays), moving, u), relative=1e-6
    )


@CASES
def test_cotangents_are_the_transpose_of_tangents(case: Case):
    """The dot-product test: the VJP is the JVP's transpose, to rounding."""
    arrays = draw(case)
    v = cotangents(case)
    for seed in (1, 3):
        u = directions(case, arrays, seed)
        forward, reverse = inner(v, pushed(case, arrays, u)), inner(pulled(case, arrays, v), u)
        assert forward == pytest.approx(reverse, rel=1e-11, abs=1e-11)


@CASES
def test_second_derivatives_are_central_differences_of_the_first(case: Case):
    """The Hessian times a direction is the central difference of the gradient."""
    arrays = draw(case)
    positions = differentiable_operands(case)
    weights, u = cotangents(case), directions(case, arrays)

    def gradient(moved: Sequence[NDArray]) -> list[NDArray]:
        operands = list(arrays)
        for i, array in zip(positions, moved, strict=True):
            operands[i] = array
        return pulled(case, operands, weights)

    expected = central(gradient, [arrays[i] for i in positions], u)
    assert_close(second(case, arrays, weights, u), expected, relative=1e-6)


@CASES
def test_float32_stays_float32(case: Case):
    """Tangents and cotangents of float32 are float32, and near those of float64."""
    arrays = draw(case)
    narrow = [array.astype(FLOAT32) if array.dtype.kind == "f" else array for array in arrays]
    if any(type.dtype != FLOAT32 for type in result_types(case, FLOAT32)):
        return
    u, v = directions(case, arrays), cotangents(case)
    for derivative, seeds in ((pushed, u), (pulled, v)):
        wide = derivative(
            case, [a.astype(float) if a.dtype.kind == "f" else a for a in narrow], seeds
        )
        ours = derivative(case, narrow, [seed.astype(FLOAT32) for seed in seeds])
        assert all(array.dtype == FLOAT32 for array in ours)
        assert_close(ours, [array.astype(FLOAT32) for array in wide], relative=1e-4)


@pytest.mark.parametrize("shape", [(2, 3), (), (0,)], ids=str)
def test_a_cast_carries_derivatives_between_floats(shape: tuple[int, ...]):
    """The tangent of a cast is of the new dtype, the cotangent of the old one."""
    case = Case(OPS["astype"], (shape,), {"dtype": FLOAT32})
    x, u, v = np.ones(shape), np.full(shape, 0.25), np.full(shape, 0.5, FLOAT32)
    np.testing.assert_array_equal(pushed(case, [x], [u])[0], u.astype(FLOAT32), strict=True)
    np.testing.assert_array_equal(pulled(case, [x], [v])[0], v.astype(FLOAT64), strict=True)


ZERO_CASES = [
    case
    for case in ALL_CASES
    if isinstance(case.op.derivative, Zero)
    and case.op.name != "stop_gradient"  # which is for cutting what is not zero
    and all(type.is_floating for type in result_types(case))
    and all(own.dtype.kind == "f" for own in draw(case))
]


@pytest.mark.parametrize("case", ZERO_CASES, ids=str)
def test_a_zero_derivative_is_zero_everywhere_near(case: Case):
    """A row that says zero is constant between its steps."""
    arrays = draw(case)
    direction = [generator(case, 1).uniform(-1, 1, array.shape) for array in arrays]
    nearby = [a + 1e-9 * u for a, u in zip(arrays, direction, strict=True)]
    assert_close(
        run_row(case.op, nearby, case.attributes), run_row(case.op, arrays, case.attributes), 0.0
    )


AT_ZEROS = [case for name in ("prod", "cumprod", "linear_recurrence") for case in cases(OPS[name])]


@pytest.mark.parametrize("zeros", [1, 2, 24], ids=["one", "two", "all"])
@pytest.mark.parametrize("case", AT_ZEROS, ids=str)
def test_products_with_zeros_have_right_derivatives(case: Case, zeros: int):
    """First and second derivatives of products hold with one, several and only zeros."""
    arrays = draw(case)
    for array in arrays:
        array.reshape(-1)[:zeros] = 0.0
    positions = differentiable_operands(case)
    u, v = directions(case, arrays), cotangents(case)
    moving = [arrays[i] for i in positions]
    first = central(numpy_function(case, arrays), moving, u)
    assert_close(pushed(case, arrays, u), first, relative=1e-6)
    assert inner(v, first) == pytest.approx(inner(pulled(case, arrays, v), u), rel=1e-6, abs=1e-6)
    gradient = central(lambda moved: pulled(case, moved, v), moving, u)
    assert_close(second(case, arrays, v, u), gradient, relative=1e-6)


def test_a_derivative_of_nothing_is_nothing():
    """Rows on arrays without elements have derivatives without elements."""
    for case in differentiable_cases():
        arrays = draw(case)
        if all(array.size for array in arrays):
            continue
        graph = row_graph(case, arrays)
        shapes = [arrays[i].shape for i in differentiable_operands(case)]
        seeds = [np.ones(graph.output_type(i).shape) for i in range(len(graph.outputs))]
        assert [array.shape for array in pulled(case, arrays, seeds)] == shapes
