"""A tape at many points: the switch over opcodes is gone through once a node for LANES points.

Generated from the rows as the machine's other sweeps are; within a case, a loop over lanes that
the compiler makes vector code of where the row's arithmetic has any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pullback_worker.tape_forward import CODES, kernel
from pullback_worker.tape_numba import jit
from pullback_worker.tape_rows import PARTS, ROWS, Row

if TYPE_CHECKING:
    from pullback_graph.tape.rows import NDArray

LANES = 64
"""Points side by side: enough to hide the switch, few enough for scalars to stay near."""

_APART: dict[str, Row] = {
    "add": Row("x + y"),
    "subtract": Row("x - y"),
    "multiply": Row("x * y"),
    "sin": Row("sin(x)"),
    "cos": Row("cos(x)"),
}
"""The rows that share a case where each node is one point: here no jump needs to be saved."""
_SOURCE = """\
def evaluate_lanes(code, operands, start, v):
    for i in range(code.size):
        op = code[i]
        a, b, c = operands[2 * i], operands[2 * i + 1], start + i
{cases}        else:
            for k in range({lanes}):
                v[c, k] = NAN
"""
_CASE = """\
        {word} op == {code}:
            for k in range({lanes}):
                x, y = v[a, k], v[b, k]
                v[c, k] = {z}
"""


def _source() -> str:
    rows = _APART | ROWS | PARTS
    cases = [
        _CASE.format(
            word="elif" if place else "if",
            code=CODES[name],
            lanes=LANES,
            z=row.z.replace("v[start + i - 1]", "v[c - 1, k]"),
        )
        for place, (name, row) in enumerate(rows.items())
    ]
    return _SOURCE.format(cases="".join(cases), lanes=LANES)


evaluate_lanes: Any = kernel("evaluate_lanes", _source(), __file__)
"""`(code, operands, start, v)`: the value of every node at every lane into `v` `(S, LANES)`, whose
first `start` rows are given."""


@jit
def evaluate_points(
    code: NDArray,
    operands: NDArray,
    start: int,
    columns: NDArray,
    points: NDArray,
    places: NDArray,
    v: NDArray,
    out: NDArray,
) -> None:
    """The tape at points, LANES at a time.

    Args:
        columns: the scalars that differ from point to point.
        points: `(K, len(columns))`, what they are.
        places: the scalars wanted.
        v: `(S, LANES)`; the first `start` rows hold what is the same at all points.
        out: `(K, len(places))`, written here.
    """
    for first in range(0, points.shape[0], LANES):
        count = min(LANES, points.shape[0] - first)
        for j in range(columns.size):
            for k in range(count):
                v[columns[j], k] = points[first + k, j]
        evaluate_lanes(code, operands, start, v)
        for j in range(places.size):
            for k in range(count):
                out[first + k, j] = v[places[j], k]
