"""A tape recorded from Python scalars: `t = pb.Tape(); x = t.input("x"); t.output("y", t.sin(x))`.

Inputs and constants are numbered as they come, nodes apart from both; all are numbered together
once, when the tape is asked for.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pullback.tape.scalar import BINARY, TERNARY, UNARY, Scalar
from pullback_graph.errors import GraphError, TraceError
from pullback_graph.graph import Graph
from pullback_graph.job import Result
from pullback_graph.tape import ROW_NUMBERS, TapeBuilder, tape_of, to_graph
from pullback_graph.tape import Tape as FinishedTape
from pullback_graph.text import to_text
from pullback_graph.types import DType, Shape, as_dtype

_SHOWN_NODES = 200


class Tape:
    """A scalar graph being recorded; accepted wherever a graph is.

    Args:
        dtype: float64 or float32, of every scalar.

    Attributes:
        add_row, add_operand, count: where scalars append their nodes, and the last node's number.
        constants: numbers of the constants so far, but for zeros and NaN.
    """

    __slots__ = (
        "_builder",
        "_finished",
        "_operands",
        "_outputs",
        "_rows",
        "add_operand",
        "add_row",
        "constants",
        "count",
    )

    def __init__(self, dtype: Any = "float64") -> None:
        self._builder = TapeBuilder(as_dtype(dtype))
        self._rows, self._operands = bytearray(), array("I")
        self.add_row, self.add_operand = self._rows.append, self._operands.append
        self.count = self._builder.next_number - 1
        self.constants: dict[float, int] = {}
        self._outputs: dict[str, Any] = {}
        self._finished: FinishedTape | None = None

    # --- whole tapes ------------------------------------------------------------------------------

    @classmethod
    def of(cls, graph: Graph | FinishedTape) -> Tape:
        """The tape of a graph that is scalar code: arrays are taken apart into their elements.

        Raises:
            UnsupportedError: a node is no scalar code; the message names it.
            LimitExceeded: it has too many scalars.
        """
        finished = graph if isinstance(graph, FinishedTape) else tape_of(graph)
        made = cls(finished.dtype)
        made._finished = finished
        return made

    @classmethod
    def record(
        cls, function: Callable[..., Any], /, *args: Any, dtype: Any = "float64", **keywords: Any
    ) -> Tape:
        """The tape of `function`, run once on scalars in place of the numbers of its arguments.

        Each argument that is a float becomes an input of its parameter's name; an array or list
        of floats an input of its shape, and an array of scalars. Other arguments, integers among
        them, are passed as they are. Outputs are named `result`; `result.0`, ... for a tuple or
        list; or by the keys of a dict.

        Raises:
            TraceError: the function needs the numbers of its arguments.
        """
        tape = cls(dtype)
        bound = inspect.signature(function).bind(*args, **keywords)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            bound.arguments[name] = _replaced(tape, name, value)
        for name, value in _named(function(*bound.args, **bound.kwargs)).items():
            tape.output(name, value)
        return tape

    def build(self) -> FinishedTape:
        """The finished tape; what is recorded later makes another.

        Raises:
            GraphError: it has no output, or is otherwise no tape.
        """
        if self._finished is None:
            builder = self._builder.copy()
            builder.extend(bytes(self._rows), self._operands.tobytes())
            self._finished = builder.build(self._outputs)
        return self._finished

    def to_graph(self) -> Graph:
        """The graph of 0-d nodes that computes the same."""
        return to_graph(self.build())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the finished tape's canonical bytes, 64 hexadecimal digits."""
        return self.build().fingerprint

    def evaluate(self, inputs: Mapping[str, Any], *, service: Any = None, **how: Any) -> Result:
        """Run it: `service.evaluate(self, inputs, ...)`, in this process if no service is given."""
        result: Result = _or_local(service).evaluate(self, inputs, **how)
        return result

    def at(self, points: Mapping[str, Any], *, service: Any = None, **how: Any) -> Result:
        """Run it at many points: `service.evaluate_many(self, points, ...)`.

        Args:
            points: inputs, each with a leading axis of points, or common to all of them.
            service: this process if none is given.
            **how: what is wanted and how, as `evaluate_many` takes it: `gradient="x"`.
        """
        result: Result = _or_local(service).evaluate_many(self, points, **how)
        return result

    # --- recording --------------------------------------------------------------------------------

    @property
    def dtype(self) -> DType:
        """Of every scalar."""
        return self._builder.dtype

    def input(self, name: str, shape: int | Shape = ()) -> Any:
        """A new input: a scalar, or a NumPy array of scalars of that shape."""
        self._check_open()
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        numbers = self._builder.input(name, shape)
        if not shape:
            return Scalar(self, numbers)
        scalars = np.empty(numbers.size, object)
        scalars[:] = [Scalar(self, number) for number in numbers.ravel().tolist()]
        return scalars.reshape(shape)

    def constant(self, value: float) -> Scalar:
        """A scalar that is always `value`."""
        return Scalar(self, self.number_of(value))

    def output(self, name: str, value: Any) -> None:
        """Give the tape an output: a scalar, or an array or nested list of scalars and numbers.

        Raises:
            GraphError: the name is taken.
            TraceError: the value is none of this tape.
        """
        self._check_open()
        if name in self._outputs:
            raise GraphError(f"output {name!r} is given twice; name each once", field=name)
        values = np.asarray(value, object)
        numbers = [self.number_of(item) for item in values.ravel().tolist()]
        self._outputs[name] = np.array(numbers, np.int64).reshape(values.shape)

    def number_of(self, value: Any) -> int:
        """The number of a scalar of this tape, or of the constant `value`.

        Raises:
            TraceError: it is another tape's scalar, or no number.
        """
        if type(value) is Scalar:
            if value.tape is not self:
                raise TraceError("a scalar of another tape; record all on one tape")
            return value.number
        known = self.constants.get(value) if type(value) in (float, int) and value else None
        if known is not None:
            return known
        self._check_open()
        try:
            number = int(self._builder.constant(float(value)))
        except (TypeError, ValueError):
            raise TraceError(
                f"a {type(value).__name__} is no number to record with; use scalars of the tape "
                "and Python's or NumPy's real numbers"
            ) from None
        if type(value) in (float, int) and value and value == value:  # -0.0 equals 0.0
            self.constants[value] = number
        return number

    def _check_open(self) -> None:
        if self._finished is not None:
            raise GraphError("the tape is finished; record on a new one")

    if TYPE_CHECKING:  # the functions are made from the tables at the end of the file

        def __getattr__(self, name: str) -> Callable[..., Scalar]: ...

    # --- looking at it ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many nodes it has."""
        return len(self._rows) if self._finished is None else len(self._finished)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Tape of {len(self)} nodes, {self.dtype.name}>"

    def __str__(self) -> str:
        """The text of its graph, where it is short and finished; else how large it is."""
        if len(self) > _SHOWN_NODES or not (self._finished or self._outputs):
            return repr(self)
        return to_text(self.to_graph())


def _or_local(service: Any) -> Any:
    """The service, or that of this process."""
    if service is None:
        from pullback.local_service import local  # noqa: PLC0415  (which imports tapes)

        return local()
    return service


def _function(row: int, operands: int) -> Callable[..., Scalar]:
    """A row as a function of scalars and numbers: `t.sin(x)`, `t.where(c, x, y)`."""

    def record(self: Tape, *values: Any) -> Scalar:
        if len(values) != operands:
            raise TypeError(f"this takes {operands} operand(s), got {len(values)}")
        self._check_open()
        numbers = [self.number_of(value) for value in values]
        self.add_row(row)
        for number in numbers:
            self.add_operand(number)
        self.count += 1
        return Scalar(self, self.count)

    return record


for _count, _names in ((1, UNARY), (2, BINARY), (3, TERNARY)):
    for _name in _names:
        setattr(Tape, _name, _function(ROW_NUMBERS[_name], _count))


def _replaced(tape: Tape, name: str, value: Any) -> Any:
    """Scalars in place of a float, or of an array or nested list of them; else the value."""
    if isinstance(value, float | np.floating):
        return tape.input(name)
    if not isinstance(value, list | tuple | np.ndarray):
        return value
    try:
        numbers = np.asarray(value)
    except ValueError:
        return value
    return tape.input(name, numbers.shape) if numbers.dtype.kind == "f" else value


def _named(result: Any) -> dict[str, Any]:
    """Names of what a function returned."""
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    if isinstance(result, tuple | list):
        return {f"result.{number}": value for number, value in enumerate(result)}
    return {"result": result}
