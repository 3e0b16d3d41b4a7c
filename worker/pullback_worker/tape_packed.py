"""Many tapes in one run of the machine: their scalars numbered on end, as one tape without names.

Tapes share no scalar, so one reverse sweep, seeded at an output of each, gives all gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pullback_graph.errors import GraphError
from pullback_graph.tape.rows import NDArray
from pullback_worker.tape_code import link_rows
from pullback_worker.tape_forward import evaluate, linearise
from pullback_worker.tape_sweeps import reverse
from pullback_worker.tape_wants import Mode
from pullback_worker.tape_warm import warm


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """What one run gave.

    Attributes:
        values: of the scalars gathered, in their order.
        gradients: `(inputs,)`, the derivative by each input scalar of the seeded scalars' sum;
            empty where none was seeded.
        flows: `(inputs,)` whether a seeded scalar depends on it.
    """

    values: NDArray
    gradients: NDArray
    flows: NDArray


def run_packed(
    rows: NDArray,
    operands: NDArray,
    given: NDArray,
    inputs: int,
    gathers: NDArray,
    seeds: NDArray,
) -> Swept:
    """Values and gradients of tapes packed into one.

    Args:
        rows: `(N,)` uint8 numbers of rows.
        operands: uint32 scalars, as many per node as its row has operands.
        given: float64 or float32, the scalars that are given: all inputs, then all constants.
        inputs: how many of them are inputs.
        gathers: uint32, the scalars whose values are wanted.
        seeds: uint32, the scalars that gradients are of; none for values alone.

    Raises:
        GraphError: a number is out of range; nothing ran.
    """
    start, seeded = len(given), len(seeds) > 0
    warm(given.dtype, Mode.REVERSE if seeded else Mode.NONE)
    try:
        code = link_rows(rows, operands, inputs, start, gathers, seeds)
    except IndexError:
        raise GraphError("packed tapes do not fit each other; check each", field="tape") from None
    v = np.empty(code.size, given.dtype)
    v[:start] = given
    if not seeded:
        evaluate(code.code, code.operands, start, v)
        return Swept(v.take(code.places(gathers)), v[:0], np.zeros(inputs, np.bool_))
    p, g = np.empty(2 * len(code.code), given.dtype), np.zeros(code.size, given.dtype)
    linearise(code.code, code.operands, start, v, p)
    np.add.at(g, code.places(seeds), given.dtype.type(1.0))
    reverse(code.code, code.edges, start, p, g)
    return Swept(v.take(code.places(gathers)), g[:inputs], code.flows[:inputs])
