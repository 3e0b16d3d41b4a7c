"""Scalar code as tapes: recorded from plain Python, without arrays, types or an object a node."""

from pullback.tape.recorded import Tape
from pullback.tape.scalar import Scalar

__all__ = ["Scalar", "Tape"]
