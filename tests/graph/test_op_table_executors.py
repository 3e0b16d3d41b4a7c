"""NumPy and JAX agree on every row: ordinary values, special points, and integers at their ends."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from pullback_graph.errors import DTypeError
from pullback_graph.op import Op
from pullback_graph.table import OPS
from pullback_graph.types import COMPLEX64, COMPLEX128, DTYPES, FLOAT32, FLOAT64, DType
from tests.graph.drawing import (
    ALL_CASES,
    Case,
    draw,
    generator,
    operand_types,
    results_of,
    special_operands,
    spread,
)
from tests.graph.interpreter import run_row
from tests.graph.row_derivatives import JAX

RTOL = {FLOAT64: 1e-10, FLOAT32: 2e-5, COMPLEX128: 1e-10, COMPLEX64: 1e-4}
SPECIAL = [op for op in OPS.values() if special_operands(op)]
INTEGERS = ("int8", "int32", "int64", "uint8", "uint64")
"""Dtypes tried at their ends: signed and unsigned, narrow and wide."""


def assert_agree(case: Case, arrays: list[np.ndarray], dtype: DType) -> None:
    """The same dtypes, and the same values to rounding (NaN where NaN is)."""
    ours = run_row(case.op, arrays, case.attributes)
    theirs = run_row(case.op, [JAX.xp.asarray(a) for a in arrays], case.attributes, JAX)
    for z, other in zip(ours, theirs, strict=True):
        assert np.asarray(z).dtype == np.asarray(other).dtype
        tolerance = RTOL.get(dtype, 0.0)
        np.testing.assert_allclose(
            np.asarray(z), np.asarray(other), rtol=tolerance, atol=tolerance, strict=True
        )


@pytest.mark.parametrize("case", spread(ALL_CASES), ids=str)
def test_ordinary_values_agree(case: Case):
    """Both executors give the same dtype and shape, and values equal to rounding."""
    assert_agree(case, draw(case, special=bool(case.op.domain.examples)), FLOAT64)


@pytest.mark.parametrize("case", spread(ALL_CASES, 1), ids=str)
def test_float32_values_agree(case: Case):
    """Both executors compute float32 in float32."""
    assert_agree(case, draw(case, FLOAT32), FLOAT32)


@pytest.mark.parametrize("op", SPECIAL, ids=lambda op: op.name)
def test_special_points_agree(op: Op):
    """Zeros, ties, infinities and NaN come out the same."""
    found = special_operands(op)
    assert found is not None
    case, arrays = found
    assert_agree(case, arrays, FLOAT64)


def takes(op: Op, dtype: DType) -> bool:
    """Whether an elementwise row of unmixed operands takes `dtype`."""
    if op.domain.examples or any(own.boolean or own.integer for own in op.domain.operands):
        return False
    found = special_operands(op)
    if found is None:
        return False
    try:
        results_of(op, operand_types(found[0], dtype), {})
    except DTypeError:
        return False
    return True


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("op", SPECIAL, ids=lambda op: op.name)
def test_integers_agree_at_their_ends(op: Op, name: str):
    """Division by zero, overflow and negative exponents are defined, and by the row."""
    dtype = DTYPES[name]
    if not takes(op, dtype):
        return
    info = np.iinfo(dtype)
    ends = {info.min, info.min + 1, 0, 1, 2, 3, 7, info.max - 1, info.max}
    points = sorted(ends | ({-1, -2, -3} if info.min < 0 else set()))
    columns = zip(*product(points, repeat=op.operands), strict=True)
    arrays = [np.array(column, dtype) for column in columns]
    assert_agree(Case(op, tuple(a.shape for a in arrays), {}), arrays, dtype)


NARROW = [
    case
    for case in spread(ALL_CASES, 2)
    if case.op.domain.examples
    and not case.op.graphs
    and not any(own.complex for own in case.op.domain.operands)
]


@pytest.mark.parametrize("case", NARROW, ids=str)
def test_narrow_integers_agree(case: Case):
    """Rows that take int8 keep it, and wrap around alike."""
    try:
        results_of(case.op, operand_types(case, DTYPES["int8"]), case.attributes)
    except DTypeError:
        return
    rng = generator(case)
    arrays = [
        rng.integers(-128, 127, array.shape, np.int8, endpoint=True)
        if array.dtype == np.int8
        else array
        for array in draw(case, DTYPES["int8"])
    ]
    assert_agree(case, [np.asarray(array) for array in arrays], DTYPES["int8"])


def test_integer_corners_are_what_the_rows_say():
    """The documented values: x over 0 is 0, a negative power rounds towards zero, abs wraps."""
    x = np.array([7, -7, 0, -128, 1, -1, 2], np.int8)
    assert run_row(OPS["floor_divide"], [x, np.zeros_like(x)], {})[0].tolist() == [0] * 7
    assert run_row(OPS["remainder"], [x, np.zeros_like(x)], {})[0].tolist() == [0] * 7
    negative = np.full_like(x, -3)
    assert run_row(OPS["pow"], [x, negative], {})[0].tolist() == [0, 0, 0, 0, 1, -1, 0]
    assert run_row(OPS["abs"], [x], {})[0].tolist() == [7, 7, 0, -128, 1, 1, 2]
