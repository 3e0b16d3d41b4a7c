"""The tape language: scalar graphs as packed arrays, without an object per node."""

from pullback_graph.tape.builder import TapeBuilder
from pullback_graph.tape.check import MAX_TAPE_NODES, MAX_TAPE_SCALARS, check
from pullback_graph.tape.estimate import (
    CALL_S,
    NODE_S,
    Estimate,
    estimate,
    estimate_points,
    suits,
    tape_nodes,
)
from pullback_graph.tape.of_graph import tape_dtype, tape_of
from pullback_graph.tape.points import Pointwise, pointwise, tape_of_point
from pullback_graph.tape.rows import ROW_NUMBERS, TAPE_ROWS, row_numbers
from pullback_graph.tape.tape import Tape, TapeOutput
from pullback_graph.tape.to_graph import to_graph

__all__ = [
    "CALL_S",
    "MAX_TAPE_NODES",
    "MAX_TAPE_SCALARS",
    "NODE_S",
    "ROW_NUMBERS",
    "TAPE_ROWS",
    "Estimate",
    "Pointwise",
    "Tape",
    "TapeBuilder",
    "TapeOutput",
    "check",
    "estimate",
    "estimate_points",
    "pointwise",
    "row_numbers",
    "suits",
    "tape_dtype",
    "tape_nodes",
    "tape_of",
    "tape_of_point",
    "to_graph",
]
