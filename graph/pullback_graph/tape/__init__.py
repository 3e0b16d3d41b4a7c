"""The tape language: scalar graphs as packed arrays, without an object per node."""

from pullback_graph.tape.check import MAX_TAPE_NODES, MAX_TAPE_SCALARS, check
from pullback_graph.tape.rows import ROW_NUMBERS, TAPE_ROWS, row_numbers
from pullback_graph.tape.tape import Tape, TapeOutput

__all__ = [
    "MAX_TAPE_NODES",
    "MAX_TAPE_SCALARS",
    "ROW_NUMBERS",
    "TAPE_ROWS",
    "Tape",
    "TapeOutput",
    "check",
    "row_numbers",
]
