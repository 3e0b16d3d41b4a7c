"""The number that recorded code sees: each operation on it appends a node to its tape.

Nothing is checked an operation, so that recording costs well under a microsecond each; the tape is
checked once, when it is done. Methods have the names that NumPy's functions ask objects for, so
`numpy.sin(x)` of a scalar, or of an array of them, records as `x.sin()` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from pullback_graph.errors import TraceError
from pullback_graph.tape import ROW_NUMBERS, TAPE_ROWS
from pullback_graph.tape.rows import ROW_OPERANDS

if TYPE_CHECKING:
    from pullback.tape.recorded import Tape


class Scalar:
    """One number of a tape. Made by `Tape.input`, and by operations on others."""

    __slots__ = ("number", "tape")

    def __init__(self, tape: Tape, number: int) -> None:
        self.tape = tape
        self.number = number

    def __repr__(self) -> str:
        return f"Scalar({self.number})"

    __hash__ = object.__hash__

    if TYPE_CHECKING:  # the methods below are made from the tables at the end of the file

        def __add__(self, other: Any) -> Scalar: ...
        def __sub__(self, other: Any) -> Scalar: ...
        def __mul__(self, other: Any) -> Scalar: ...
        def __truediv__(self, other: Any) -> Scalar: ...
        def __pow__(self, other: Any) -> Scalar: ...
        def __radd__(self, other: Any) -> Scalar: ...
        def __rsub__(self, other: Any) -> Scalar: ...
        def __rmul__(self, other: Any) -> Scalar: ...
        def __rtruediv__(self, other: Any) -> Scalar: ...
        def __rpow__(self, other: Any) -> Scalar: ...
        def __neg__(self) -> Scalar: ...
        def __abs__(self) -> Scalar: ...
        def __lt__(self, other: Any) -> Scalar: ...
        def __le__(self, other: Any) -> Scalar: ...
        def __gt__(self, other: Any) -> Scalar: ...
        def __ge__(self, other: Any) -> Scalar: ...
        def __getattr__(self, name: str) -> Callable[..., Any]: ...


new = object.__new__
"""Sooner than the class's own call, which goes through `__init__`."""


def unary(row: int) -> Callable[[Any], Any]:
    """What records a row of one operand."""

    def record(self: Scalar) -> Scalar:
        tape = self.tape
        tape.add_row(row)
        tape.add_operand(self.number)
        made = new(Scalar)
        made.tape = tape
        made.number = tape.count = tape.count + 1
        return made

    return record


def binary(row: int) -> Callable[[Any, Any], Any]:
    """What records a row of two operands."""

    def record(self: Scalar, other: Any) -> Any:
        tape = self.tape
        if type(other) is Scalar and other.tape is tape:
            number = other.number
        elif type(other) is float and other in tape.constants:
            number = tape.constants[other]
        elif type(other) is np.ndarray and other.ndim:
            return NotImplemented  # NumPy then asks for each element
        else:
            number = tape.number_of(other)
        tape.add_row(row)
        tape.add_operand(self.number)
        tape.add_operand(number)
        made = new(Scalar)
        made.tape = tape
        made.number = tape.count = tape.count + 1
        return made

    return record


def reflected(row: int) -> Callable[[Any, Any], Any]:
    """What records a row of two operands whose first is no scalar."""

    def record(self: Scalar, other: Any) -> Any:
        tape = self.tape
        if type(other) is float and other in tape.constants:
            number = tape.constants[other]
        elif type(other) is np.ndarray and other.ndim:
            return NotImplemented
        else:
            number = tape.number_of(other)
        tape.add_row(row)
        tape.add_operand(number)
        tape.add_operand(self.number)
        made = new(Scalar)
        made.tape = tape
        made.number = tape.count = tape.count + 1
        return made

    return record


def _power(self: Scalar, other: Any) -> Any:
    """`x ** y`; exponents that have rows of their own use them, as in NumPy."""
    if type(other) in (int, float) and other in _POWERS:
        return _POWERS[other](self)
    return _general_power(self, other)


def _needs_the_number(what: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(self: Scalar, *_: Any) -> NoReturn:
        raise TraceError(f"{what} needs the number of a recorded scalar, which has none; {instead}")

    return refuse


UNARY, BINARY, TERNARY = (
    tuple(name for name in TAPE_ROWS if ROW_OPERANDS[ROW_NUMBERS[name]] == count)
    for count in (1, 2, 3)
)
"""Rows of a tape by how many operands they take."""

_ALIASES = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "arctan2": "atan2",
    "rint": "round",
    "fabs": "abs",
    "__neg__": "negative",
    "__pos__": "positive",
    "__abs__": "abs",
    "__floor__": "floor",
    "__ceil__": "ceil",
    "__trunc__": "trunc",
    "__round__": "round",
}
"""Names of NumPy's functions and of Python's protocol -> rows of one operand, and of two."""
_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
}
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}

for _name in UNARY:
    setattr(Scalar, _name, unary(ROW_NUMBERS[_name]))
for _name in BINARY:
    setattr(Scalar, _name, binary(ROW_NUMBERS[_name]))
for _name, _row in _ALIASES.items():
    setattr(Scalar, _name, getattr(Scalar, _row))
for _name, _row in (_OPERATORS | _COMPARISONS).items():
    setattr(Scalar, f"__{_name}__", binary(ROW_NUMBERS[_row]))
for _name, _row in _OPERATORS.items():
    setattr(Scalar, f"__r{_name}__", reflected(ROW_NUMBERS[_row]))
_general_power: Any = binary(ROW_NUMBERS["pow"])
_POWERS: dict[float, Callable[[Any], Any]] = {
    power: unary(ROW_NUMBERS[row])
    for power, row in ((-1, "reciprocal"), (0.5, "sqrt"), (1, "positive"), (2, "square"))
}
_OWN: dict[str, Any] = {
    "__pow__": _power,
    "__rpow__": reflected(ROW_NUMBERS["pow"]),
    "__invert__": unary(ROW_NUMBERS["logical_not"]),
    "__bool__": _needs_the_number("a branch or a loop's end", "choose with Tape.where(c, x, y)"),
    "__float__": _needs_the_number("float()", "use x.sin() or numpy.sin(x) for math.sin(x)"),
    "__int__": _needs_the_number("int()", "count with Python's own numbers"),
    "__index__": _needs_the_number("an index", "index with Python's own numbers"),
}
for _name, _method in _OWN.items():
    setattr(Scalar, _name, _method)
