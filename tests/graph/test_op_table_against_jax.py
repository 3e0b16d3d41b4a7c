"""Every row's derivative against JAX at 1e-10: ordinary points, special points, second order.

JAX differentiates the row's own run rule. Where the row decides otherwise, the table says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from pullback_graph.derivative import jvp
from pullback_graph.op import Op
from pullback_graph.ops import FAMILIES
from pullback_graph.table import OPS
from tests.graph.drawing import Case, NDArray, cases, draw, special_operands, spread
from tests.graph.interpreter import evaluate
from tests.graph.row_derivatives import (
    differentiable_operands,
    is_real,
    jax_first,
    jax_second,
    names,
    pulled,
    pushed,
    row_graph,
    second,
)
from tests.graph.test_op_table_derivatives import DOUBLE, assert_close, cotangents, directions


class Difference(NamedTuple):
    """Points where a row's partial derivatives are not what JAX makes of its run rule."""

    where: Callable[..., Any]
    partials: Callable[..., tuple[Any, ...]]
    reason: str


def _either_is_nan(x: NDArray, y: NDArray) -> Any:
    return np.isnan(x) | np.isnan(y)


def _both_are_zero(x: NDArray, y: NDArray) -> Any:
    return (x == 0) & (y == 0)


_LEFT_OVER = "the second operand's share is what the first one leaves; JAX gives 0 to both"
DIFFERENCES: dict[str, Difference] = {
    "pow": Difference(
        _both_are_zero, lambda x, y: (0.0, 0.0), "x to the power 0 is 1 for all x; JAX gives NaN"
    ),
    "hypot": Difference(
        _both_are_zero,
        lambda x, y: (0.0, 0.0),
        "the smallest subgradient; JAX's 1/2 each comes from how it sorts the operands",
    ),
    "logaddexp": Difference(
        lambda x, y: np.isneginf(x) & np.isneginf(y),
        lambda x, y: (0.5, 0.5),
        "the limit along x = y, so that masked sums stay usable; JAX gives NaN",
    ),
    "xlogy": Difference(
        _both_are_zero,
        lambda x, y: (-np.inf, 0.0),
        "x log(y) is 0 for all y where x is 0; JAX gives NaN",
    ),
    "i0": Difference(
        lambda x: x == 0, lambda x: (0.0,), "i0 is even; JAX takes the right half for both"
    ),
    "maximum": Difference(_either_is_nan, lambda x, y: (0.0, 1.0), _LEFT_OVER),
    "minimum": Difference(_either_is_nan, lambda x, y: (0.0, 1.0), _LEFT_OVER),
    "remainder": Difference(
        lambda x, y: (np.remainder(x, y) == 0) & (y < 0),
        lambda x, y: (1.0, -np.floor_divide(x, y)),
        "the row says so for every y; JAX differentiates the sign that its run gives to a zero",
    ),
}


def _jax_has_it(case: Case) -> bool:
    """JAX gives NaN for a tangent of logsumexp of no elements, and no determinant's at all.

    Nor does it pull cotangents through a loop that finds its end as it runs, differentiate
    incomplete functions in all their parameters, or these two series to rounding.
    """
    if case.op in FAMILIES["incomplete"] or case.op.name in ("while_loop", "exp1", "spence"):
        return False
    return case.op.name not in ("logsumexp", "det") or 0 not in case.shapes[0]


COMPARED = list(filter(_jax_has_it, DOUBLE))


@pytest.mark.parametrize("case", spread(COMPARED), ids=str)
def test_ordinary_points(case: Case):
    """JVP and VJP are JAX's."""
    arrays = draw(case)
    u, v = directions(case, arrays), cotangents(case)
    forward, reverse = jax_first(case, arrays, u, v)
    assert_close(pushed(case, arrays, u), forward, relative=1e-10)
    assert_close(pulled(case, arrays, v), reverse, relative=1e-10)


@pytest.mark.slow  # differences of the first derivatives hold it on every run
@pytest.mark.parametrize("case", spread(COMPARED, 2), ids=str)
def test_second_order(case: Case):
    """The Hessian times a direction is JAX's."""
    arrays = draw(case)
    u, v = directions(case, arrays), cotangents(case)
    assert_close(second(case, arrays, v, u), jax_second(case, arrays, v, u), relative=1e-9)


SPECIAL = [
    op
    for op in OPS.values()
    if (found := special_operands(op)) is not None
    and differentiable_operands(found[0])
    and is_real(found[0])
]


@pytest.mark.parametrize("op", SPECIAL, ids=lambda op: op.name)
def test_special_points(op: Op):
    """Kinks, ties, poles and infinities have JAX's derivative, but for the differences listed."""
    found = special_operands(op)
    assert found is not None
    case, arrays = found
    v, positions = cotangents(case), differentiable_operands(case)
    zeros = [np.zeros_like(arrays[i]) for i in positions]
    expected = jax_first(case, arrays, zeros, v)[1]
    difference = DIFFERENCES.get(op.name)
    if difference is not None:
        mask, theirs = difference.where(*arrays), expected
        stated = [v[0] * partial for partial in difference.partials(*arrays)]
        expected = [np.where(mask, a, b) for a, b in zip(stated, theirs, strict=True)]
        assert not np.allclose(expected, theirs, equal_nan=True), "they differ no more"
    for ours, wanted in zip(pulled(case, arrays, v), expected, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("op", SPECIAL, ids=lambda op: op.name)
def test_tangents_at_special_points(op: Op):
    """The JVP in one operand at special points is the VJP's partial derivative there."""
    found = special_operands(op)
    assert found is not None
    case, arrays = found
    one, positions = [np.ones(case.shapes[0])], differentiable_operands(case)
    partials = pulled(case, arrays, one)
    for k, i in enumerate(positions):
        alone = pushed_alone(case, arrays, i)
        np.testing.assert_allclose(alone, partials[k], rtol=1e-12)


def pushed_alone(case: Case, arrays: list[NDArray], position: int) -> NDArray:
    """The result's tangent for a tangent of ones in one operand and none in the others."""
    made = jvp(row_graph(case, arrays), [names([position])])
    seed = np.ones_like(arrays[position])
    return np.asarray(evaluate(made.graph, [*arrays, seed])[made.value_count])


TIES: tuple[tuple[str, Any], ...] = tuple(
    (name, [1.0, 2.0, 2.0, 0.0, 2.0, 0.0]) for name in ("max", "min", "sort", "cumprod", "prod")
)


@pytest.mark.parametrize(("name", "values"), TIES, ids=[name for name, _ in TIES])
def test_ties_and_zeros_along_an_axis(name: str, values: list[float]):
    """Equal elements share max's derivative equally, keep their order in sort, as in JAX."""
    shapes = [c for c in cases(OPS[name]) if c.shapes == ((2, 3),) or c.shapes == ((2, 3, 4),)]
    for case in shapes:
        array = np.resize(np.array(values), case.shapes[0])
        u, v = directions(case, [array]), cotangents(case)
        forward, reverse = jax_first(case, [array], u, v)
        assert_close(pushed(case, [array], u), forward, relative=1e-10)
        assert_close(pulled(case, [array], v), reverse, relative=1e-10)


def test_logsumexp_of_masked_elements():
    """Entries of -infinity get no derivative, and a slice of them alone gets zeros, not NaN."""
    case = Case(OPS["logsumexp"], ((2, 3),), {"axes": (1,), "keepdims": False})
    x = np.array([[-np.inf, 1.0, 1.0], [-np.inf, -np.inf, -np.inf]])
    (ours,) = pulled(case, [x], [np.ones(2)])
    np.testing.assert_allclose(ours, [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]], rtol=1e-12)
    direction = np.array([[1.0, 1.0, 0.0]] * 2)
    (curvature,) = second(case, [x], [np.ones(2)], [direction])
    np.testing.assert_allclose(curvature, [[0.0, 0.25, -0.25], [0.0, 0.0, 0.0]], rtol=1e-12)


def test_what_where_does_not_choose_does_not_leak():
    """NaN or infinity in the branch not taken stays out of the derivative."""
    case = Case(OPS["where"], ((2,), (2,), (2,)), {})
    arrays = [np.array([True, False]), np.array([1.0, np.nan]), np.array([np.inf, 2.0])]
    np.testing.assert_equal(pulled(case, arrays, [np.ones(2)]), [[1.0, 0.0], [0.0, 1.0]])
