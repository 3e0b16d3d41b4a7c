"""The determinant by minors, as a recursive program over scalars: a graph with many small nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.contest import CHECK, Case, Rival, Target
from benchmarks.libraries import autograd_peer, casadi_peer, jax_peer, ours, torch_peer
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload


def write(np: Words) -> Function:
    """The determinant of a matrix, expanded along the first row of each minor."""

    def determinant(matrix: Any) -> Any:
        size = matrix.shape[0]
        return _expanded([[matrix[i, j] for j in range(size)] for i in range(size)])

    return determinant


def _expanded(rows: list[list[Any]]) -> Any:
    if len(rows) == 1:
        return rows[0][0]
    total: Any = None
    for column, entry in enumerate(rows[0]):
        minor = [row[:column] + row[column + 1 :] for row in rows[1:]]
        term = entry * _expanded(minor)
        total = term if total is None else total - term if column % 2 else total + term
    return total


def case(size: int) -> Case:
    """A matrix of one size."""
    matrix = np.random.default_rng(0).normal(size=(size, size))
    arguments = [matrix]

    def check() -> Any:
        value = np.linalg.det(matrix)
        return lambda: (value, value * np.linalg.inv(matrix).T)

    return Case(
        name=f"{size}×{size}",
        about="recursive program over scalars, value and gradient by all entries, float64",
        rivals=[
            Rival("NumPy, by factorisation", CHECK, check),
            *ours.rivals(ours.gradient(write, (0,)), arguments, ("numpy", "tape", "xla")),
            ours.program_alone(write, arguments, (0,)),
            *jax_peer.rivals(jax_peer.gradient(write, (0,)), arguments),
            *torch_peer.rivals(torch_peer.gradient(write, (0,)), arguments, compiled=False),
            *autograd_peer.rivals(write, arguments, (0,)),
            casadi_peer.gradient(write, arguments),
        ],
        targets=[Target(1.1)],
    )


WORKLOAD = Workload("determinant by minors, gradient", {"5": 5, "6": 6}, 3, case, budget_s=8.0)
