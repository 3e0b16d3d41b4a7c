"""Work of a tape: the rows' own costs on scalars, and what an adjoint's way through one takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback_graph.table import OPS
from pullback_graph.tape.rows import TAPE_ROWS, NDArray, row_numbers
from pullback_graph.tape.tape import Tape
from pullback_graph.types import FLOAT64, ArrayType

EDGE_FLOPS = 4.0
"""Of an adjoint's way through a node: two products, two sums."""


def _row_flops() -> NDArray:
    scalar = ArrayType(FLOAT64, ())
    rows: list[Any] = [OPS[name] for name in TAPE_ROWS]
    return np.array([row.cost([scalar] * row.operands, (scalar,)).flops for row in rows])


ROW_FLOPS = _row_flops()
"""FLOPs of a row on scalars, by its number."""


def flops(tape: Tape, adjoints: int | None = None) -> float:
    """FLOPs of a checked tape's values; with partials and adjoints of so many nodes."""
    each = ROW_FLOPS.take(row_numbers(tape.ops))
    forward = float(each.take(tape.opcodes).sum()) if len(tape.opcodes) else 0.0
    return forward if adjoints is None else 2.0 * forward + EDGE_FLOPS * adjoints
