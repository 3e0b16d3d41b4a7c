"""Programs on small matrices, made at random: each a table of steps that any library can follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import pullback as pb
from benchmarks.contest import NDArray
from benchmarks.libraries.words import Function, Words

NEAR = 10
"""Operands are among the last so many values."""

STEPS: dict[str, Callable[[Words, Any, Any, Any], Any]] = {
    "tanh": lambda np, a, b, w: np.tanh(a),
    "sin": lambda np, a, b, w: np.sin(a),
    "sigmoid": lambda np, a, b, w: np.sigmoid(a),
    "add": lambda np, a, b, w: a + b,
    "subtract": lambda np, a, b, w: a - b,
    "multiply": lambda np, a, b, w: a * b,
    "matmul": lambda np, a, b, w: a @ w,
}
"""A node each, of two values a, b (..., M, N) and weights w (N, N)."""
SMALL = ("tanh", "sin", "sigmoid")
"""What follows every second step, so that numbers stay small."""


class Step(NamedTuple):
    """What is done, and the numbers of two values."""

    name: str
    first: int
    second: int


def random_steps(nodes: int, seed: int) -> list[Step]:
    """Steps for so many nodes, the two of the mean of squares at the end among them."""
    random = np.random.default_rng(seed)
    names = random.integers(len(STEPS), size=nodes - 2).tolist()
    small = random.integers(len(SMALL), size=nodes - 2).tolist()
    near = random.integers(1, NEAR + 1, size=(nodes - 2, 2)).tolist()
    all_names = tuple(STEPS)
    return [
        Step(
            SMALL[small[k]] if k % 2 else all_names[names[k]],
            k if k % 2 else max(0, k + 1 - near[k][0]),
            max(0, k + 1 - near[k][1]),
        )
        for k in range(nodes - 2)
    ]


def write(steps: Sequence[Step]) -> Callable[[Words], Function]:
    """The program of steps: x (M, N) or (N,), weights (N, N) -> the sum of the last ten's means."""

    def program(np: Words) -> Function:
        def value(x: Any, w: Any) -> Any:
            values = [x]
            for name, first, second in steps:
                values.append(STEPS[name](np, values[first], values[second], w))
            last = values[-1]
            return np.mean(last * last)

        return value

    return program


def arguments(rows: int, columns: int) -> tuple[NDArray, NDArray]:
    """Standard normal x (rows, columns), weights scaled to their inputs."""
    random = np.random.default_rng(0)
    weights = random.normal(0.0, columns**-0.5, (columns, columns))
    return random.normal(size=(rows, columns)), weights


def graph_of(steps: Sequence[Step], words: Words, *arrays: NDArray) -> pb.Graph:
    """The program traced."""
    return pb.trace(write(steps)(words), *arrays)
