"""Tapes that tests draw, and the reference that the machine is held to: lowering and NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pullback_graph.derivative import Lowered, lower
from pullback_graph.tape import ROW_NUMBERS, Tape, TapeBuilder, to_graph
from pullback_graph.tape.rows import ROW_OPERANDS
from pullback_graph.want import Want
from pullback_worker.executor import Program
from pullback_worker.numpy_executor import NumpyExecutor

SMOOTH = "add subtract multiply divide sin cos tanh exp square atan sigmoid softplus hypot erf"
KINKED = "abs maximum minimum where clip floor sign less equal logical_and remainder"


def one_row(name: str, dtype: Any = np.float64) -> Tape:
    """The tape of one node, an input per operand."""
    builder = TapeBuilder(np.dtype(dtype))
    operands = [builder.input(k) for k in "xyw"[: ROW_OPERANDS[ROW_NUMBERS[name]]]]
    return builder.build({"z": builder.append(name, *operands)})


def reference(tape: Tape, want: Want) -> tuple[Lowered, Program]:
    """The tape as a graph, differentiated, and the NumPy executor's program of that."""
    lowered = lower(to_graph(tape), want)
    return lowered, NumpyExecutor().compile(lowered.graph)


@st.composite
def tapes(draw: st.DrawFn, *, rows: str = f"{SMOOTH} {KINKED}", dtype: Any = np.float64) -> Tape:
    """Random tapes: an array and a scalar as inputs, a few constants, up to 40 nodes."""
    builder = TapeBuilder(np.dtype(dtype))
    numbers = [*builder.input("x", (3,)).tolist(), builder.input("y")]
    numbers += [builder.constant(value) for value in draw(st.lists(_constants(), max_size=3))]
    for name in draw(st.lists(st.sampled_from(rows.split()), min_size=1, max_size=40)):
        count = int(ROW_OPERANDS[ROW_NUMBERS[name]])
        places = st.integers(0, len(numbers) - 1)
        chosen = draw(st.lists(places, min_size=count, max_size=count))
        numbers.append(builder.append(name, *[numbers[k] for k in chosen]))
    several = draw(st.lists(st.sampled_from(numbers), min_size=2, max_size=4))
    return builder.build({"z": numbers[-1], "w": np.array(several)})


def _constants() -> st.SearchStrategy[float]:
    return st.sampled_from([0.0, 0.5, 1.0, -2.0, 3.0])


def points(count: int) -> list[tuple[float, ...]]:
    """Every combination of special and plain operands."""
    inf, nan = float("inf"), float("nan")
    line = [-inf, -2.5, -2.0, -1.0, -0.5, -0.0, 0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 30.0, inf, nan]
    if count == 3:
        line = [-1.0, 0.0, 1.0, 2.0, inf, nan]
    return list(itertools.product(line, repeat=count))
