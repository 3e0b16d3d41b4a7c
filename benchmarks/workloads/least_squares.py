"""Least squares: two passes over a matrix, so memory's speed is the bound."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import Case, NDArray, Rival, Target
from benchmarks.libraries.gradients import gradient_rivals
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload


class Sizes(NamedTuple):
    """Rows and columns."""

    rows: int
    columns: int


def write(np: Words) -> Function:
    """Half the mean squared residual of weights (D,), inputs (N, D), targets (N,)."""

    def cost(w: Any, x: Any, y: Any) -> Any:
        residual = x @ w - y
        return 0.5 * np.mean(residual * residual)

    return cost


def by_hand(w: NDArray, x: NDArray, y: NDArray) -> tuple[Any, NDArray]:
    """The cost and its gradient."""
    residual = x @ w
    residual -= y
    return 0.5 * (residual @ residual) / len(y), (residual @ x) / len(y)


def case(sizes: Sizes) -> Case:
    """One system."""
    random = np.random.default_rng(0)
    arguments = [
        random.normal(size=sizes.columns),
        random.normal(size=(sizes.rows, sizes.columns)),
        random.normal(size=sizes.rows),
    ]
    return Case(
        name=f"{sizes.rows:,}×{sizes.columns}",
        about="half the mean squared residual, value and gradient by the weights, float64",
        rivals=[
            Rival("NumPy by hand", "NumPy", lambda: lambda: by_hand(*arguments)),
            *gradient_rivals(write, arguments),
        ],
        targets=[Target(1.1)],
    )


WORKLOAD = Workload(
    "least squares, gradient",
    {"small": Sizes(1_000, 20), "large": Sizes(20_000, 500)},
    Sizes(5, 3),
    case,
)
