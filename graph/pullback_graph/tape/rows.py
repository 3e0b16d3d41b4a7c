"""The rows of the operator table that a tape may use: those that map scalars to a scalar.

A tape's rows are numbered for good: the machine's code and packed tapes speak of them by number.
Truth values are the numbers 0 and 1 there, and any number but 0 is true.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pullback_graph.builder import unknown_op
from pullback_graph.errors import RequestError, UnknownOp, UnsupportedError
from pullback_graph.table import OPS

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_ARITHMETIC = (
    "add subtract multiply divide divide_no_nan floor_divide remainder pow negative positive abs "
    "sign square sqrt reciprocal"
)
_TRANSCENDENTAL = (
    "exp expm1 log log1p log2 log10 logaddexp sin cos tan asin acos atan atan2 hypot "
    "sinh cosh tanh asinh acosh atanh"
)
_SPECIAL = "sigmoid softplus erf erfc lgamma digamma"
_TRUTH = (
    "equal not_equal less less_equal greater greater_equal isnan isinf isfinite "
    "logical_and logical_or logical_xor logical_not"
)
_CHOICE = "maximum minimum clip balanced_greater where floor ceil round trunc"

TAPE_ROWS: tuple[str, ...] = tuple(
    f"{_ARITHMETIC} {_TRANSCENDENTAL} {_SPECIAL} {_TRUTH} {_CHOICE}".split()
)
"""Names of the rows, by number."""
ROW_NUMBERS: dict[str, int] = {name: number for number, name in enumerate(TAPE_ROWS)}
TRUTHS = frozenset(_TRUTH.split())
"""The rows whose result is a truth value."""
LOGIC = frozenset(name for name in TRUTHS if name.startswith("logical_"))
"""The rows whose operands are truth values, as is the first operand of `where`."""
NO_ROW = 255
"""Stands for a name that is no row of a tape, or an opcode beyond the tape's rows."""
ROW_OPERANDS: NDArray = np.zeros(256, np.uint8)
"""Operands of each row, by number; 0 for NO_ROW."""
ROW_OPERANDS[: len(TAPE_ROWS)] = [OPS[name].operands for name in TAPE_ROWS]
ROW_OPERANDS.flags.writeable = False
MAX_OPERANDS = int(ROW_OPERANDS.max())


def row_numbers(ops: tuple[str, ...]) -> NDArray:
    """The number of each named row, as uint8; NO_ROW where a tape has no such row."""
    return np.array([ROW_NUMBERS.get(name, NO_ROW) for name in ops], np.uint8)


def no_tape_row(name: str) -> RequestError:
    """The error for a name that is no row of a tape: unknown, or a row of arrays."""
    if name not in OPS:
        return UnknownOp(unknown_op(name), field="tape.ops")
    return UnsupportedError(
        f"a tape has no operator {name!r}: tapes hold elementwise operators on scalars, without "
        "attributes; send a Graph instead",
        field="tape.ops",
    )
