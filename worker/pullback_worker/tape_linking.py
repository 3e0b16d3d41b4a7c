"""From a tape's packed arrays to the machine's: two operands a node, checked, without dead nodes.

Nothing here trusts a number it is given: what comes out reads and writes within bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pullback_graph.tape.rows import ROW_NUMBERS, ROW_OPERANDS
from pullback_worker.tape_forward import CODES, EDGES
from pullback_worker.tape_numba import jit

if TYPE_CHECKING:
    from pullback_graph.tape.rows import NDArray

_POW, _WHERE = ROW_NUMBERS["pow"], ROW_NUMBERS["where"]
_POW_CONSTANT, _SELECT, _TRUTH = CODES["pow_constant"], CODES["select"], CODES["truth"]
_CLIP_LOW, _CLIP_HIGH = CODES["clip_low"], CODES["clip_high"]
_NEEDED, _FLOWS = np.uint8(1), np.uint8(2)
"""Marks of a scalar: an output needs it; a seeded output's adjoint flows into it."""


@jit
def expand(
    rows: NDArray,
    operands: NDArray,
    inputs: int,
    start: int,
    numbers: NDArray,
    code: NDArray,
    pairs: NDArray,
) -> int:
    """Write a tape's nodes as the machine's; how many those are, or -1 - i if node i is at fault.

    Args:
        rows: `(N,)` uint8, the row of each node.
        inputs, start: the numbers of the first constant and of the first node's result.
        numbers: `(N,)` uint32, the machine's number of each node's result, written here; empty
            where no row has three operands, so that it is the tape's own.
        code, pairs: `(M,)` and `(2 M,)`, M being N and one for each node of three operands.
    """
    place = made = 0
    mapped = numbers.size > 0
    for i in range(rows.size):
        row = rows[i]
        count = ROW_OPERANDS[row]
        if count == 0 or place + count > operands.size or (count == 3 and not mapped):
            return -1 - i
        x, y, last = operands[place], operands[place + (count > 1)], operands[place + count - 1]
        if x >= start + i or y >= start + i or last >= start + i:
            return -1 - i
        constant = y >= inputs and y < start
        if mapped:
            x = numbers[x - start] if x >= start else x
            y = numbers[y - start] if y >= start else y
            last = numbers[last - start] if last >= start else last
        if count == 3:
            code[made] = _TRUTH if row == _WHERE else _CLIP_LOW
            pairs[2 * made] = x
            pairs[2 * made + 1] = x if row == _WHERE else y
            made += 1
            code[made] = _SELECT if row == _WHERE else _CLIP_HIGH
            pairs[2 * made] = y if row == _WHERE else start + made - 1
            pairs[2 * made + 1] = last
        else:
            code[made] = _POW_CONSTANT if row == _POW and constant else row
            pairs[2 * made] = x
            pairs[2 * made + 1] = y
        if mapped:
            numbers[i] = start + made
        made += 1
        place += count
    return made if place == operands.size else -1 - rows.size


@jit
def mark(
    code: NDArray,
    pairs: NDArray,
    start: int,
    needed: NDArray,
    seeded: NDArray,
    marks: NDArray,
    edges: NDArray,
) -> int:
    """Find what the outputs need, and where adjoints flow; how many nodes are needed.

    Args:
        needed, seeded: the machine's numbers of the scalars wanted, and of those with an adjoint.
        marks: `(S,)` uint8 zeros, marked here.
        edges: `(2 M,)`, written here: where each node passes its adjoint on to, itself for none.
    """
    for scalar in needed:
        marks[scalar] |= _NEEDED
    for scalar in seeded:
        marks[scalar] |= _NEEDED | _FLOWS
    live = 0
    for i in range(code.size - 1, -1, -1):
        z = start + i
        edges[2 * i] = z
        edges[2 * i + 1] = z
        found = marks[z]
        if found == 0:
            continue
        live += 1
        count = EDGES[code[i]]
        a, b = pairs[2 * i], pairs[2 * i + 1]
        flows = found & _FLOWS
        marks[a] |= _NEEDED | (flows if count > 0 else np.uint8(0))
        marks[b] |= _NEEDED | (flows if count > 1 else np.uint8(0))
        if flows and count > 0:
            edges[2 * i] = a
        if flows and count > 1:
            edges[2 * i + 1] = b
        if code[i] == _SELECT:
            marks[z - 1] |= _NEEDED
    return live


@jit
def compact(
    code: NDArray, pairs: NDArray, edges: NDArray, start: int, marks: NDArray, numbers: NDArray
) -> None:
    """Drop the nodes without a mark, in place; `numbers` `(M,)` gets where each result went."""
    kept = 0
    for i in range(code.size):
        if marks[start + i] == 0:
            numbers[i] = 0
            continue
        numbers[i] = start + kept
        code[kept] = code[i]
        for k in range(2):
            scalar = pairs[2 * i + k]
            pairs[2 * kept + k] = numbers[scalar - start] if scalar >= start else scalar
            scalar = edges[2 * i + k]
            edges[2 * kept + k] = numbers[scalar - start] if scalar >= start else scalar
        kept += 1
