"""The check every tape passes once, before anything reads it: all arrays at once, no loop of nodes.

What it lets through the machine can run: no operand lies beyond its node, no output beyond the end.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from pullback_graph.errors import DTypeError, GraphError, LimitExceeded
from pullback_graph.tape.rows import NO_ROW, ROW_OPERANDS, NDArray, no_tape_row, row_numbers
from pullback_graph.tape.tape import Tape, TapeOutput
from pullback_graph.types import FLOAT32, FLOAT64, MAX_RANK, Shape

MAX_TAPE_NODES = 10_000_000
"""Nodes of one tape."""
MAX_TAPE_SCALARS = 50_000_000
"""Scalars of one tape: of inputs, constants and nodes; of its outputs as well."""
MAX_TAPE_OPS = 65_536


def check(tape: Tape) -> None:
    """Refuse a tape that is not one.

    Raises:
        DTypeError: it is not of float64 or float32, or an array is not of the dtype it should be.
        LimitExceeded: it has too many nodes or scalars.
        UnknownOp, UnsupportedError: a row is not in the operator table, or not for scalars.
        GraphError: lengths do not fit, or a number is out of range; the message names the node.
    """
    first = _check_sides(tape)
    rows = row_numbers(tape.ops)
    if NO_ROW in rows.data:
        raise no_tape_row(tape.ops[int(rows.argmax())])
    try:
        operand_counts = ROW_OPERANDS.take(rows).take(tape.opcodes)
    except IndexError:
        _raise_opcode(tape)
    operands = tape.operands
    ends = operand_counts.cumsum()
    needed = int(ends[-1]) if len(ends) else 0
    if len(operands) != needed:
        raise GraphError(
            f"the nodes of the tape take {needed} operand(s), got {len(operands)}",
            field="tape.operands",
        )
    bounds = np.arange(first, first + len(ends)).repeat(operand_counts)
    if (operands >= bounds).any():
        _raise_operand(tape, operands >= bounds, ends)


def check_signature(tape: Tape) -> int:
    """Check names, shapes and outputs; the number of the first node's result.

    Raises:
        GraphError, DTypeError, LimitExceeded: as `check` says.
    """
    return _check_sides(tape)


# --- the sides: dtype, inputs, constants, outputs -------------------------------------------------


def _check_sides(tape: Tape) -> int:
    """Check all but the nodes; the number of the first node's result."""
    if tape.dtype not in (FLOAT64, FLOAT32):
        raise DTypeError(
            f"a tape is of float64 or float32, not {tape.dtype}; send a Graph instead",
            field="tape.dtype",
        )
    _check_arrays(tape)
    first = len(tape.constants)
    for _, type in tape.inputs:
        if type.dtype != tape.dtype:
            raise DTypeError(
                f"an input is {type}, but the tape is of {tape.dtype.name}", field="tape.inputs"
            )
        first += _size_of(type.shape, "tape.inputs")
    size = first + len(tape.opcodes)
    if len(tape.opcodes) > MAX_TAPE_NODES or size > MAX_TAPE_SCALARS:
        raise LimitExceeded(
            f"the tape has {len(tape.opcodes)} nodes and {size} scalars, where at most "
            f"{MAX_TAPE_NODES} and {MAX_TAPE_SCALARS} are allowed; send several tapes",
            field="tape",
        )
    if len(tape.ops) > MAX_TAPE_OPS:
        raise LimitExceeded(
            f"the tape names {len(tape.ops)} operators, where at most {MAX_TAPE_OPS} are allowed",
            field="tape.ops",
        )
    _check_names("input", tape.input_names)
    _check_names("output", tape.output_names)
    if not tape.outputs:
        raise GraphError("a tape needs at least one output", field="tape.outputs")
    for output in tape.outputs:
        _check_output(output, size)
    return first


_DTYPES = (("opcodes", np.dtype(np.uint16)), ("operands", np.dtype(np.uint32)))


def _check_arrays(tape: Tape) -> None:
    """Refuse arrays of the wrong dtype or rank."""
    for name, dtype in (*_DTYPES, ("constants", tape.dtype)):
        _check_array(getattr(tape, name), dtype, f"tape.{name}")
    for output in tape.outputs:
        _check_array(output.values, _DTYPES[1][1], f"tape.outputs.{output.name}")


def _check_array(array: NDArray, dtype: np.dtype[np.generic], field: str) -> None:
    if array.dtype != dtype or array.ndim != 1:
        raise DTypeError(
            f"{field} must be a vector of {dtype.name}, got {array.dtype.name} of {array.ndim} "
            "axes; make it with numpy.asarray",
            field=field,
        )


def _check_names(what: str, names: tuple[str, ...]) -> None:
    if len(set(names)) != len(names) or not all(names):
        raise GraphError(
            f"{what} names must be distinct and not empty, got {list(names)[:8]}",
            field=f"tape.{what}s",
        )


def _check_output(output: TapeOutput, size: int) -> None:
    values = output.values
    needed = _size_of(output.shape, "tape.outputs")
    if len(values) != needed:
        raise GraphError(
            f"output {output.name!r} of shape {output.shape} takes {needed} scalar(s), got "
            f"{len(values)}",
            field=f"tape.outputs.{output.name}",
        )
    if needed and int(values.max()) >= size:
        raise GraphError(
            f"output {output.name!r} names scalar {int(values.max())}; the tape has {size}",
            field=f"tape.outputs.{output.name}",
        )


def _size_of(shape: Shape, field: str) -> int:
    """The elements of a shape, refused where it is none or too large."""
    if len(shape) > MAX_RANK:
        raise LimitExceeded(f"{len(shape)} axes, where at most {MAX_RANK} are allowed", field=field)
    size = 1
    for length in shape:
        if length < 0:
            raise GraphError(f"shape {shape} has a negative size", field=field)
        size *= length or 1  # so that what passes can be indexed whatever the other sizes
    if size > MAX_TAPE_SCALARS:
        raise LimitExceeded(
            f"shape {shape} has {size} elements, where at most {MAX_TAPE_SCALARS} are allowed in "
            "a tape; send a Graph instead",
            field=field,
        )
    return 0 if 0 in shape else size


# --- the fault of a node --------------------------------------------------------------------------


def _raise_opcode(tape: Tape) -> NoReturn:
    node = int(np.argmax(tape.opcodes >= len(tape.ops)))
    raise GraphError(
        f"node {node}: opcode {int(tape.opcodes[node])}, but the tape names {len(tape.ops)} "
        "operator(s)",
        field=f"tape.nodes[{node}]",
    )


def _raise_operand(tape: Tape, wrong: NDArray, ends: NDArray) -> NoReturn:
    place = int(wrong.argmax())
    node = int(np.searchsorted(ends, place, side="right"))
    name = tape.ops[int(tape.opcodes[node])]
    raise GraphError(
        f"node {node} {name}: operand {int(tape.operands[place])} is not computed before it; the "
        f"node's own result is scalar {tape.first_node + node}",
        field=f"tape.nodes[{node}]",
    )
