"""Every row is whole, and its type rule says what then runs."""

from __future__ import annotations

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import ArityError, DTypeError, PullbackError, ShapeError
from pullback_graph.op import VARIADIC, Both, JointTranspose, Op, Partials, Transpose
from pullback_graph.table import OPS
from pullback_graph.types import DTYPES, FLOAT32, FLOAT64, ArrayType, DType
from tests.graph.drawing import ALL_CASES, Case, cases, draw, intervals, operand_types, result_types
from tests.graph.interpreter import run_row

ROWS = pytest.mark.parametrize("op", OPS.values(), ids=OPS)


def accepted(case: Case, dtype: DType) -> bool:
    """Whether the type rule takes `dtype` for the operands drawn from the reals."""
    try:
        result_types(case, dtype)
    except DTypeError:
        return False
    return True


def small_integers(case: Case, dtype: DType) -> list[np.ndarray]:
    """Operands whose real numbers are replaced by a few that every dtype holds."""
    arrays = draw(case, dtype)
    return [
        array if own.boolean or own.integer else (np.abs(array) % 3).astype(array.dtype)
        for own, array in zip(intervals(case), arrays, strict=True)
    ]


@ROWS
def test_a_row_is_documented_and_has_a_domain(op: Op):
    """A row says what it computes, and gives tests an interval per operand."""
    assert op.doc.endswith(".")
    assert op.operands == VARIADIC or len(op.domain.operands) == op.operands
    assert all(own.low <= own.high for own in op.domain.operands)


@ROWS
def test_a_derivative_has_a_rule_per_operand(op: Op):
    """Maps and transposes are as many as the operands; positions are operands."""
    rule = op.derivative
    if isinstance(rule, Partials):
        assert len(rule.maps) == op.operands
    elif isinstance(rule, Transpose):
        assert len(rule.transposes) == op.operands
    elif isinstance(rule, JointTranspose) and rule.linear is not None and op.operands != VARIADIC:
        assert all(0 <= i < op.operands for i in rule.linear)
    elif isinstance(rule, Both):
        assert callable(rule.jvp)
        assert callable(rule.vjp)


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_the_type_rule_is_what_runs(case: Case):
    """Dtype and shape of the results are those of the rule, for each dtype that it takes."""
    ran = [dtype for dtype in DTYPES.values() if accepted(case, dtype)]
    assert ran
    for dtype in ran:
        results = run_row(case.op, small_integers(case, dtype), case.attributes)
        shown = [ArrayType(np.asarray(z).dtype, np.shape(z)) for z in results]
        assert shown == list(result_types(case, dtype)), dtype


@pytest.mark.parametrize("case", [c for c in ALL_CASES if () in c.shapes], ids=str)
def test_a_0d_operand_may_be_a_scalar(case: Case):
    """NumPy's own operations give scalars for 0-d arrays; rows take either, with equal results."""
    arrays = draw(case)
    scalars = [array[()] for array in arrays]
    wanted = run_row(case.op, arrays, case.attributes)
    for z, other in zip(run_row(case.op, scalars, case.attributes), wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(z), np.asarray(other), strict=True)


@ROWS
def test_operands_of_unequal_dtypes_are_refused(op: Op):
    """A node's operands have equal dtypes (conditions and indices apart): no silent cast."""
    for case in cases(op):
        types = operand_types(case, FLOAT64)
        reals = [i for i, type in enumerate(types) if type.dtype == FLOAT64]
        if len(reals) < 2:
            continue
        types[reals[-1]] = types[reals[-1]]._replace(dtype=FLOAT32)
        with pytest.raises(DTypeError, match="float"):
            op.type(*types, **case.attributes)


@ROWS
def test_a_wrong_number_of_operands_is_refused(op: Op):
    """Too many operands are an ArityError that says how many the row takes."""
    builder = Builder()
    case = cases(op)[0]
    refs = [builder.input(f"x{i}", type) for i, type in enumerate(operand_types(case))]
    if op.operands == VARIADIC:
        refs = []
    else:
        refs.append(builder.input("more", ArrayType(FLOAT64, ())))
    with pytest.raises(ArityError, match="takes"):
        builder.add(op.name, *refs, **case.attributes)


BAD: tuple[tuple[str, tuple[ArrayType, ...], dict[str, object], type[PullbackError], str], ...] = (
    ("add", (ArrayType(FLOAT64, (2,)), ArrayType(FLOAT64, (3,))), {}, ShapeError, "broadcast"),
    ("add", (ArrayType(DTYPES["bool"], ()),) * 2, {}, DTypeError, "numeric"),
    ("divide", (ArrayType(DTYPES["int64"], ()),) * 2, {}, DTypeError, "floating"),
    ("where", (ArrayType(FLOAT64, ()),) * 3, {}, DTypeError, "condition"),
    ("logical_and", (ArrayType(FLOAT64, ()),) * 2, {}, DTypeError, "bool"),
    ("sum", (ArrayType(FLOAT64, (2, 3)),), {"axes": (2,)}, ShapeError, "out of range"),
    ("sum", (ArrayType(FLOAT64, (2, 3)),), {"axes": (1, 1)}, ShapeError, "twice"),
    ("sum", (ArrayType(FLOAT64, ()),), {"axes": (0,)}, ShapeError, "0-d"),
    ("max", (ArrayType(FLOAT64, (2, 0)),), {"axes": (1,)}, ShapeError, "no elements"),
    ("argmax", (ArrayType(FLOAT64, (0,)),), {"axis": 0}, ShapeError, "no elements"),
    ("any", (ArrayType(FLOAT64, (2,)),), {"axes": (0,)}, DTypeError, "bool"),
    ("cumsum", (ArrayType(FLOAT64, (2,)),), {"axis": 1}, ShapeError, "out of range"),
    ("sort", (ArrayType(FLOAT64, ()),), {"axis": 0}, ShapeError, "0-d"),
    ("polygamma", (ArrayType(FLOAT64, ()),), {"n": -1}, PullbackError, "between 0 and"),
    (
        "linear_recurrence",
        (ArrayType(FLOAT64, (2,)), ArrayType(FLOAT64, (1,))),
        {"axis": 0},
        ShapeError,
        "differ",
    ),
)


@pytest.mark.parametrize(("name", "types", "attributes", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_by_a_typed_error(name, types, attributes, error, message):
    """The error names the fault; the builder adds the node."""
    builder = Builder()
    refs = [builder.input(f"x{i}", type) for i, type in enumerate(types)]
    with pytest.raises(error, match=f"node 0 {name}.*{message}"):
        builder.add(name, *refs, **attributes)
