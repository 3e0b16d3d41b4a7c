"""The tape: a scalar graph of up to ten million nodes as packed arrays.

Scalars are numbered from 0: every input's elements (inputs in order, each in C order), then the
constants, then one result per node. A Tape may hold anything until `check` has passed it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.errors import InputError
from pullback_graph.fingerprint import little_endian, raw_bytes
from pullback_graph.graph import Input
from pullback_graph.tape.rows import NDArray
from pullback_graph.types import ArrayType, DType, Shape

VERSION_TAG = b"pullback tape 1\n"


class TapeOutput(NamedTuple):
    """A named output of `shape`: the numbers of its scalars as uint32, in C order."""

    name: str
    shape: Shape
    values: NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """A computation on scalars of one floating dtype. Two are equal when their fingerprints are.

    Attributes:
        dtype: float64 or float32, of every scalar; inputs are of it too.
        inputs: arrays whose elements are the first scalars.
        constants: `(C,)` of `dtype`.
        ops: the rows used, by name.
        opcodes: `(N,)` uint16, an index into `ops` per node.
        operands: uint32 scalar numbers, as many per node as its row has operands, on end.
        outputs: named arrays gathered from scalars.
    """

    dtype: DType
    inputs: tuple[Input, ...]
    constants: NDArray
    ops: tuple[str, ...]
    opcodes: NDArray
    operands: NDArray
    outputs: tuple[TapeOutput, ...]
    _fingerprint: list[str] = field(default_factory=list, init=False, repr=False)

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self.opcodes)

    @property
    def input_size(self) -> int:
        """How many scalars the inputs hold."""
        return sum(item.type.size for item in self.inputs)

    @property
    def first_node(self) -> int:
        """The number of the first node's result."""
        return self.input_size + len(self.constants)

    @property
    def size(self) -> int:
        """How many scalars there are: of inputs, constants and nodes."""
        return self.first_node + len(self.opcodes)

    @property
    def size_bytes(self) -> int:
        """Bytes of the packed arrays."""
        arrays = [self.constants, self.opcodes, self.operands]
        return sum(array.nbytes for array in arrays + [item.values for item in self.outputs])

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple([item.name for item in self.inputs])

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple([item.name for item in self.outputs])

    def input_index(self, name: str) -> int:
        """Position of the input called `name`.

        Raises:
            InputError: there is none; the message lists those there are.
        """
        return _position(self.input_names, name, "input")

    def output_index(self, name: str) -> int:
        """Position of the output called `name`.

        Raises:
            InputError: there is none; the message lists those there are.
        """
        return _position(self.output_names, name, "output")

    def output_type(self, position: int) -> ArrayType:
        """Type of the output at `position`."""
        return ArrayType(self.dtype, self.outputs[position].shape)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical bytes, 64 hexadecimal digits."""
        if not self._fingerprint:
            self._fingerprint.append(_fingerprint(self))
        return self._fingerprint[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tape) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def _position(names: Sequence[str], name: str, what: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        known = ", ".join(names) or "none"
        raise InputError(f"no {what} {name!r}; the tape has: {known}", field=name) from None


def _fingerprint(tape: Tape) -> str:
    """Over ASCII lines and the packed arrays; rows in order of name, NaN one value.

    An opcode beyond `ops` counts as the last one: such a tape does not pass `check`.
    """
    used = sorted(set(tape.ops))
    places = {name: place for place, name in enumerate(used)}
    table = np.array([places[name] for name in tape.ops] or [0], np.uint16)
    opcodes = table.take(tape.opcodes, mode="clip")
    state = hashlib.sha256(VERSION_TAG)
    state.update(f"{tape.dtype.name} {' '.join(used)}\n".encode())
    for name, type in tape.inputs:
        state.update(f"input {name!a} {tuple([int(size) for size in type.shape])}\n".encode())
    constants = tape.constants
    if np.isnan(constants).any():
        constants = np.where(np.isnan(constants), constants.dtype.type(np.nan), constants)
    _update(state, "constants", constants)
    _update(state, "opcodes", opcodes)
    _update(state, "operands", tape.operands)
    for name, shape, values in tape.outputs:
        _update(state, f"output {name!a} {tuple([int(size) for size in shape])}", values)
    return state.hexdigest()


def _update(state: Any, title: str, array: NDArray) -> None:
    state.update(f"{title} {array.size} ".encode())
    state.update(raw_bytes(little_endian(array)))
