"""A tape made ready for the machine, for the outputs that are wanted and those with adjoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pullback_graph.errors import GraphError
from pullback_graph.tape import Tape, check, row_numbers
from pullback_graph.tape.rows import ROW_OPERANDS, NDArray
from pullback_worker.tape_linking import compact, expand, mark

_LIVE_SHARE = 0.75
"""Dead nodes are dropped where fewer than this share of the nodes is needed."""
_FLOWS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """The machine's arrays of one tape; see `tape_forward` and `tape_sweeps` for their layout.

    Attributes:
        start: the number of the first node's result; inputs and constants come before it.
        flows: `(start,)` whether an adjoint flows into each input and constant.
        flowing: how many nodes an adjoint flows through.
        numbers: the machine's number of each node's result, None where it is the tape's.
    """

    code: NDArray
    operands: NDArray
    edges: NDArray
    start: int
    flows: NDArray
    flowing: int
    numbers: NDArray | None

    @property
    def size(self) -> int:
        """How many scalars the machine holds."""
        return self.start + len(self.code)

    def places(self, scalars: NDArray) -> NDArray:
        """The machine's numbers of a tape's scalars."""
        return _places(scalars, self.start, self.numbers)


def _places(scalars: NDArray, start: int, numbers: NDArray | None) -> NDArray:
    if numbers is None or not len(numbers):
        return scalars
    moved = numbers.take(np.maximum(scalars, np.uint32(start)) - np.uint32(start))
    return np.where(scalars >= start, moved, scalars).astype(np.uint32)


def link(tape: Tape, needed: Sequence[NDArray], seeded: Sequence[NDArray]) -> Code:
    """The code of a tape.

    Args:
        needed: numbers of the scalars whose values are wanted.
        seeded: those that are given adjoints; needed too.

    Raises:
        GraphError, UnknownOp, ...: the tape is not one, as `pullback_graph.tape.check` says.
    """
    try:
        rows = row_numbers(tape.ops).take(tape.opcodes)
        return link_rows(
            rows, tape.operands, tape.input_size, tape.first_node, _joined(needed), _joined(seeded)
        )
    except IndexError:
        check(tape)
        raise GraphError("the arrays of the tape do not fit each other", field="tape") from None


def link_rows(
    rows: NDArray, operands: NDArray, inputs: int, start: int, needed: NDArray, seeded: NDArray
) -> Code:
    """The code of nodes by their rows' numbers.

    Args:
        rows: `(N,)` uint8; operands: uint32 scalars, as many per node as its row has.
        inputs, start: the numbers of the first constant, and of the first node's result.
        needed, seeded: uint32 scalars, as in `link`.

    Raises:
        IndexError: a number is out of range, or the lengths don't fit.
    """
    size = start + len(rows)
    needed, seeded = _within(needed, size), _within(seeded, size)
    ternary = int(np.count_nonzero(ROW_OPERANDS.take(rows) == 3))
    count = len(rows) + ternary
    code, pairs = np.empty(count, np.uint8), np.empty(2 * count, np.uint32)
    numbers: Any = np.empty(len(rows) if ternary else 0, np.uint32)
    rows = np.require(rows, np.uint8, ["C", "W"])
    if expand(rows, _given(operands), inputs, start, numbers, code, pairs) != count:
        raise IndexError
    needed, seeded = _places(needed, start, numbers), _places(seeded, start, numbers)
    needed, seeded = _given(needed), _given(seeded)
    marks, edges = np.zeros(start + count, np.uint8), np.empty(2 * count, np.uint32)
    live = mark(code, pairs, start, needed, seeded, marks, edges)
    if live < _LIVE_SHARE * count:
        moved = np.empty(count, np.uint32)
        compact(code, pairs, edges, start, marks, moved)
        numbers = _places(numbers, start, moved) if len(numbers) else moved
        code, pairs, edges = code[:live].copy(), pairs[: 2 * live].copy(), edges[: 2 * live].copy()
    flows = (marks & _FLOWS) != 0
    through = int(np.count_nonzero(flows[start:])) if len(seeded) else 0
    return Code(code, pairs, edges, start, flows[:start], through, numbers)


def _joined(groups: Sequence[NDArray]) -> NDArray:
    return np.concatenate(groups) if len(groups) else np.empty(0, np.uint32)


def _within(scalars: NDArray, size: int) -> NDArray:
    if len(scalars) and int(scalars.max()) >= size:
        raise IndexError
    return scalars.astype(np.uint32, copy=False)


def _given(array: NDArray) -> NDArray:
    """The very type that kernels are compiled for; a negative number becomes a large one."""
    view = np.ascontiguousarray(array, np.uint32).view()
    view.flags.writeable = False
    return view
