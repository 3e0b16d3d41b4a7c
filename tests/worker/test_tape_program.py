"""Whole tapes on the machine: every want, held to lowering and the NumPy executor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.errors import Cancelled, InputError, NotDifferentiable
from pullback_graph.tape import TapeBuilder
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp
from pullback_worker.executor import CancelFlag
from pullback_worker.tape_program import compile_tape
from tests.worker.tape_samples import SMOOTH, reference, tapes

X, Y = np.array([0.7, -0.4, 1.3]), np.array(0.6)
FIRST_ORDER = [
    Value(),
    Value(("w",)),
    Gradient(("x", "y"), "z"),
    Gradient(("y",)),
    Vjp(("x",), (("z",),)),
    Vjp(("y", "x"), (("z", "w"), ("w",))),
    Jvp((("x",), ("y", "x"), ("y",))),
    Jacobian(("x", "y")),
    Jacobian(("y",), ("w",)),
]
SECOND_ORDER = [
    Hvp(("x", "y"), (("x",), ("y",), ("x", "y")), "z"),
    Hessian(("x", "y")),
]


def seeded(tape, want):
    """The point, and a seed for each array that the program asks for beyond it."""
    program = compile_tape(tape, want)
    seeds = [
        np.linspace(0.5, 1.5, item.type.size, dtype=tape.dtype).reshape(item.type.shape)
        for item in program.inputs[2:]
    ]
    return program, [X.astype(tape.dtype), Y.astype(tape.dtype), *seeds]


@given(tape=tapes(), want=st.sampled_from(FIRST_ORDER))
def test_first_derivatives_of_random_tapes_are_numpys(tape, want):
    """Keys, shapes, independents and numbers agree, kinks, NaN and infinities included."""
    program, arrays = seeded(tape, want)
    lowered, numpys = reference(tape, want)
    got, expected = program(arrays), numpys(arrays)
    assert program.derivatives == lowered.derivatives
    assert program.value_count == lowered.value_count
    assert program.independent == lowered.independent
    assert [array.shape for array in got] == [array.shape for array in expected]
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, 1e-9, 1e-9)


@given(tape=tapes(rows=SMOOTH + " where less maximum"), want=st.sampled_from(SECOND_ORDER))
def test_second_derivatives_of_random_tapes_are_numpys(tape, want):
    """Second-order sweeps agree with forward over reverse wherever NumPy's are finite."""
    program, arrays = seeded(tape, want)
    lowered, numpys = reference(tape, want)
    got, expected = program(arrays), numpys(arrays)
    assert program.derivatives == lowered.derivatives
    assert program.independent == lowered.independent
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        sane = np.isfinite(theirs) & (np.abs(theirs) < 1e12)
        np.testing.assert_allclose(mine[sane], theirs[sane], 1e-7, 1e-7)


def test_what_is_not_reached_cannot_spoil_a_gradient():
    """An output of which no derivative is asked may be infinite, and its partials too."""
    builder = TapeBuilder()
    x = builder.input("x", (2,))
    square = builder.append("square", x[0])
    tape = builder.build({"z": square, "w": builder.append("log", x[0]), "v": x[1]})
    program = compile_tape(tape, Gradient(("x",)))
    np.testing.assert_array_equal(program([np.zeros(2)])[-1], [0.0, 0.0])
    rows = compile_tape(tape, Jacobian(("x",)))([np.zeros(2)])
    np.testing.assert_array_equal(rows[3], [0.0, 0.0])
    np.testing.assert_array_equal(rows[4], [np.inf, 0.0])


def test_a_constant_exponent_costs_no_logarithm_of_a_negative_base():
    """A tangent or an adjoint of x² at x < 0 is no NaN, though z log(x) would be."""
    builder = TapeBuilder()
    x = builder.input("x")
    tape = builder.build({"z": builder.append("pow", x, builder.constant(3.0))})
    for want in (Gradient(("x",)), Jvp((("x",),)), Jacobian(("x",)), Hessian(("x",))):
        program = compile_tape(tape, want)
        arrays = [np.array(-2.0)] * len(program.inputs)
        assert np.isfinite(program(arrays)).all()


def test_many_seeds_are_swept_in_blocks():
    """A Jacobian of more rows than a mask has bits equals its rows by themselves."""
    builder = TapeBuilder()
    x = builder.input("x", (150,))
    outer = builder.append("multiply", x, np.roll(x, 1))
    tape = builder.build({"z": np.array(outer)})
    point = np.linspace(-1.0, 1.0, 150)
    (_, matrix) = compile_tape(tape, Jacobian(("x",)))([point])
    expected = np.diag(np.roll(point, 1)) + np.roll(np.diag(point), -1, axis=1)
    np.testing.assert_array_equal(matrix, expected)


def test_names_are_checked():
    """A want that doesn't fit the tape gets the error of the other executors."""
    builder = TapeBuilder()
    x = builder.input("x", (2,))
    tape = builder.build({"z": x})
    with pytest.raises(NotDifferentiable, match="gradient needs a floating scalar"):
        compile_tape(tape, Gradient(("x",)))
    with pytest.raises(InputError, match="no input 'y'"):
        compile_tape(tape, Jacobian(("y",)))
    with pytest.raises(InputError, match="twice"):
        compile_tape(tape, Jvp((("x", "x"),)))
    with pytest.raises(InputError, match="got 3 elements"):
        compile_tape(tape, Value())([np.zeros(3)])
    with pytest.raises(InputError, match="takes 1"):
        compile_tape(tape, Value())([])


def test_a_cancelled_program_stops():
    """A flag that is set keeps the sweeps from running."""
    builder = TapeBuilder()
    tape = builder.build({"z": builder.append("exp", builder.input("x"))})
    flag = CancelFlag()
    flag.set()
    with pytest.raises(Cancelled):
        compile_tape(tape, Gradient(("x",)))([np.array(1.0)], flag)


def test_results_outlive_the_next_run():
    """A program's results share no memory with its scratch, nor with its inputs."""
    builder = TapeBuilder()
    x = builder.input("x", (3,))
    tape = builder.build({"z": builder.append("add", x[0], x[1]), "x": x})
    program = compile_tape(tape, Gradient(("x",)))
    point = np.array([1.0, 2.0, 3.0])
    kept = program([point])
    first = [array.copy() for array in kept]
    program([point + 5.0])
    for mine, theirs in zip(kept, first, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert not np.shares_memory(mine, point)
