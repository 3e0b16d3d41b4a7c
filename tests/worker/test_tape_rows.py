"""The rows of the tape machine against the operator table's, run by NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from pullback_graph.tape import TAPE_ROWS
from pullback_graph.want import Gradient, Hessian
from pullback_worker.tape_forward import CODES
from pullback_worker.tape_program import compile_tape
from pullback_worker.tape_rows import GROUPS, ROWS
from tests.worker.tape_samples import one_row, points, reference

# libm and NumPy's vector code differ in the last bits, the gamma functions' series in a few more
RELATIVE, ABSOLUTE = 2e-15, 2e-15
LOOSE = {"lgamma": 1e-14, "digamma": 1e-13}
# NumPy takes the square root for an exponent of 1/2, which is NaN at -infinity and not infinite
EXCEPT = {"pow": {(-np.inf, 0.5), (-np.inf, 1.5)}}


def test_every_row_of_a_tape_has_its_code():
    """The machine computes exactly the rows that a tape may name."""
    grouped = {name for group in GROUPS for name in group}
    assert set(ROWS) | grouped | {"where", "clip"} == set(TAPE_ROWS)
    codes = [[CODES[name] for name in group] for group in GROUPS]
    assert all(run == list(range(run[0], run[0] + len(run))) for run in codes)


@pytest.mark.parametrize("name", TAPE_ROWS)
def test_value_and_gradient_equal_numpys_everywhere(name):
    """Values and partials are the table's at kinks, poles, NaN and infinities, to a few ulps."""
    tape = one_row(name)
    want = Gradient(tape.input_names)
    program = compile_tape(tape, want)
    lowered, numpys = reference(tape, want)
    assert program.derivatives == lowered.derivatives
    assert program.independent == lowered.independent
    for point in points(len(tape.inputs)):
        if point in EXCEPT.get(name, ()):
            continue
        arrays = [np.array(value) for value in point]
        got, expected = program(arrays), numpys(arrays)
        tolerance = LOOSE.get(name, RELATIVE)
        np.testing.assert_allclose(got, expected, tolerance, ABSOLUTE, err_msg=str(point))


@pytest.mark.parametrize("name", TAPE_ROWS)
def test_second_derivatives_equal_numpys_at_finite_points(name):
    """The second partials are the table's, differentiated twice, wherever that is finite."""
    tape = one_row(name)
    want = Hessian(tape.input_names)
    program = compile_tape(tape, want)
    _, numpys = reference(tape, want)
    for point in points(len(tape.inputs)):
        arrays = [np.array(value) for value in point]
        if not np.isfinite(point).all() or (name == "pow" and point[0] == 0.0):
            continue
        got, expected = np.array(program(arrays)), np.array(numpys(arrays))
        finite = np.isfinite(expected)
        tolerance = 100 * LOOSE.get(name, RELATIVE)
        np.testing.assert_allclose(
            got[finite], expected[finite], tolerance, ABSOLUTE, err_msg=str(point)
        )


@pytest.mark.parametrize("name", TAPE_ROWS)
def test_float32_is_computed_as_float32(name):
    """A float32 tape's values and partials are NumPy's in float32, to a few ulps of it."""
    tape = one_row(name, np.float32)
    want = Gradient(tape.input_names)
    program = compile_tape(tape, want)
    _, numpys = reference(tape, want)
    for point in points(len(tape.inputs)):
        if not np.isfinite(point).all():
            continue
        arrays = [np.array(value, np.float32) for value in point]
        got, expected = program(arrays), numpys(arrays)
        assert {array.dtype for array in got} == {np.dtype(np.float32)}
        np.testing.assert_allclose(got, expected, 4e-6, 1e-6, err_msg=str(point))
