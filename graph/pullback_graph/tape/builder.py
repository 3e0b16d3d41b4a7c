"""Builds tapes: a number per scalar, appended one at a time or many at once, as arrays of numbers.

Numbers given out while building are the builder's own, since constants may come at any time;
`build` renumbers everything at once. Constants of equal bits share a scalar.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.errors import ArityError, GraphError, LimitExceeded
from pullback_graph.graph import Input
from pullback_graph.tape.check import MAX_TAPE_NODES, check
from pullback_graph.tape.rows import ROW_NUMBERS, ROW_OPERANDS, TAPE_ROWS, NDArray, no_tape_row
from pullback_graph.tape.tape import Tape, TapeOutput
from pullback_graph.types import FLOAT64, ArrayType, DType, Shape, as_dtype

Numbers: TypeAlias = Any
"""The builder's number of a scalar, an int; or of many, an integer array."""

_CONSTANTS, _NODES = 1 << 30, 1 << 31
"""Where the builder's numbers of constants and of nodes' results start; inputs are below."""


class TapeBuilder:
    """A tape under construction.

    Args:
        dtype: float64 or float32, of every scalar.
        max_nodes: nodes it may come to hold.
    """

    def __init__(self, dtype: DType = FLOAT64, *, max_nodes: int = MAX_TAPE_NODES) -> None:
        self.dtype = as_dtype(dtype)
        self._max_nodes = max_nodes
        self._inputs: list[Input] = []
        self._input_size = 0
        self._constants: dict[bytes, int] = {}
        self._rows = array("B")
        self._operands = array("I")

    def __len__(self) -> int:
        """How many nodes there are so far."""
        return len(self._rows)

    def input(self, name: str, shape: Shape = ()) -> Numbers:
        """Add an input: an array of numbers of that shape (an int for a scalar)."""
        type = ArrayType(self.dtype, tuple(shape))
        if self._input_size + type.size > _CONSTANTS:
            raise LimitExceeded(f"input {name!r} is {type}: too large for a tape; send a Graph")
        first = self._input_size
        self._inputs.append(Input(name, type))
        self._input_size += type.size
        numbers = np.arange(first, self._input_size, dtype=np.int64).reshape(type.shape)
        return numbers if shape else first

    def constant(self, value: Any) -> Numbers:
        """Add a constant, or an array of them: numbers of its shape."""
        values = np.asarray(value, self.dtype)
        if values.ndim == 0:
            key = values.tobytes()
            number = self._constants.get(key)
            if number is None:
                number = self._constants[key] = _CONSTANTS + len(self._constants)
            return number
        words = np.ascontiguousarray(values).reshape(-1).view(f"u{self.dtype.itemsize}")
        distinct, places = np.unique(words, return_inverse=True)
        numbers = [self.constant(item) for item in distinct.view(self.dtype)]
        return np.array(numbers, np.int64).take(places).reshape(values.shape)

    def append(self, op: str, *operands: Numbers) -> Numbers:
        """Add a node, or one per position of the operands' broadcast shape; its result's number.

        Raises:
            UnknownOp, UnsupportedError: tapes have no such operator.
            ArityError: a wrong number of operands.
            LimitExceeded: the tape has too many nodes.
            GraphError: an operand is no number given out before.
        """
        row = ROW_NUMBERS.get(op)
        if row is None:
            raise no_tape_row(op)
        if len(operands) != ROW_OPERANDS[row]:
            raise ArityError(f"{op} takes {ROW_OPERANDS[row]} operand(s), got {len(operands)}")
        first = _NODES + len(self._rows)
        if all([type(operand) is int for operand in operands]):
            self._grow(1)
            self._refuse(max(operands), min(operands))
            self._rows.append(row)
            self._operands.extend(operands)
            return first
        together = np.stack(np.broadcast_arrays(*operands), axis=-1)
        shape = together.shape[:-1]
        count = together[..., 0].size
        self._grow(count)
        if count:
            self._refuse(int(together.max()), int(together.min()))
        self._rows.frombytes(np.full(count, row, np.uint8).tobytes())
        self._operands.frombytes(together.astype(np.uint32).tobytes())
        numbers = np.arange(first, first + count, dtype=np.int64).reshape(shape)
        return numbers if shape else first

    @property
    def next_number(self) -> int:
        """The number that the next node's result will have."""
        return _NODES + len(self._rows)

    def extend(self, rows: bytes, operands: bytes) -> None:
        """Add nodes packed elsewhere; `build` sees to what is wrong with them.

        Args:
            rows: a byte per node, its row's number.
            operands: numbers given out by this builder, 4 bytes each, nodes one after another.

        Raises:
            LimitExceeded: the tape has too many nodes.
        """
        self._grow(len(rows))
        self._rows.frombytes(rows)
        self._operands.frombytes(operands)

    def copy(self) -> TapeBuilder:
        """A builder that goes on from here by itself."""
        other = TapeBuilder(self.dtype, max_nodes=self._max_nodes)
        other._inputs, other._input_size = list(self._inputs), self._input_size
        other._constants = dict(self._constants)
        other._rows, other._operands = self._rows[:], self._operands[:]
        return other

    def build(self, outputs: Mapping[str, Numbers]) -> Tape:
        """The tape that gives `outputs`, each of its numbers' shape; every node is kept.

        Raises:
            GraphError: no output, a name that is empty or given twice, or numbers of no scalar.
        """
        rows = np.frombuffer(self._rows, np.uint8) if self._rows else np.empty(0, np.uint8)
        used = np.flatnonzero(np.bincount(rows, minlength=len(TAPE_ROWS)))
        places = np.zeros(256, np.uint16)
        places[used] = np.arange(len(used))
        given = np.frombuffer(self._operands, np.uint32) if self._operands else np.empty(0)
        tape = Tape(
            dtype=self.dtype,
            inputs=tuple(self._inputs),
            constants=np.frombuffer(b"".join(self._constants), self.dtype),
            ops=tuple([TAPE_ROWS[row] for row in used]),
            opcodes=places.take(rows),
            operands=self._final(given),
            outputs=tuple([self._output(name, value) for name, value in outputs.items()]),
        )
        check(tape)
        return tape

    def _output(self, name: str, value: Numbers) -> TapeOutput:
        numbers = np.asarray(value, np.int64)
        if numbers.size:
            self._refuse(int(numbers.max()), int(numbers.min()))
        return TapeOutput(name, tuple(numbers.shape), self._final(numbers.reshape(-1)))

    def _final(self, numbers: NDArray) -> NDArray:
        """The tape's numbers of the builder's."""
        wide = numbers.astype(np.int64)
        moved = wide - np.where(wide >= _CONSTANTS, _CONSTANTS - self._input_size, 0)
        nodes = _NODES - _CONSTANTS - len(self._constants)
        return (moved - np.where(wide >= _NODES, nodes, 0)).astype(np.uint32)

    def _grow(self, count: int) -> None:
        if len(self._rows) + count > self._max_nodes:
            raise LimitExceeded(
                f"the tape has more than {self._max_nodes} nodes; build a Graph of arrays instead, "
                "or several tapes"
            )

    def _refuse(self, largest: int, least: int) -> None:
        """Refuse operands beyond the last scalar; the check of the tape sees to the rest."""
        if largest >= _NODES + len(self._rows) or least < 0:
            raise GraphError("an operand is no scalar of this builder, or comes after its node")
