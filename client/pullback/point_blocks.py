"""Blocks of points: how long they are, and what they cost together. Pure.

All blocks of a job are of one length, out of eight in each doubling, so that another number of
points seldom means another program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from pullback_graph.job import Metrics

_STEPS = 8
"""Usual lengths in each doubling."""


def block_length(count: int, most: int) -> int:
    """The length of all blocks: at least that of equal ones of at most `most`, and a usual one."""
    longest = _usual_below(most)
    blocks = max(1, -(-count // longest))
    return min(_usual_above(max(1, -(-count // blocks))), longest)


def _step(length: int) -> int:
    """How far apart usual lengths are near this one: an eighth of the power of two below it."""
    return 1 << max(0, length.bit_length() - _STEPS.bit_length())


def _usual_below(length: int) -> int:
    return length - length % _step(length)


def _usual_above(length: int) -> int:
    step = _step(length)
    return -(-length // step) * step


# --- metrics --------------------------------------------------------------------------------------


def together(parts: Sequence[Metrics]) -> Metrics:
    """The metrics of jobs that were one to the user: what adds up is added."""
    if not parts:
        return Metrics()
    made = replace(parts[0])
    for field in fields(Metrics):
        values = [getattr(part, field.name) for part in parts]
        if field.name in _LARGEST:
            setattr(made, field.name, max(values))
        elif field.type in ("int", "float"):
            setattr(made, field.name, sum(values))
    return made


_LARGEST = {"nodes", "adjoint_evaluations", "peak_bytes", "workers", "recompute_factor"}
"""What does not add up over jobs that run one after the other."""
