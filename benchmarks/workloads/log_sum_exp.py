"""log-sum-exp of a long vector: reductions and exponentials, read twice."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.contest import Case, NDArray, Rival, Target
from benchmarks.libraries.gradients import gradient_rivals
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload


def write(np: Words) -> Function:
    """log Σ exp x of a vector."""

    def log_sum_exp(x: Any) -> Any:
        return np.logsumexp(x, axis=0)

    return log_sum_exp


def by_hand(x: NDArray) -> tuple[Any, NDArray]:
    """The value, and the softmax that is its gradient."""
    largest = x.max()
    exponentials = x - largest
    np.exp(exponentials, out=exponentials)
    total = exponentials.sum()
    exponentials /= total
    return largest + np.log(total), exponentials


def case(size: int) -> Case:
    """One vector."""
    arguments = [np.random.default_rng(0).normal(size=size)]
    return Case(
        name=f"{size:,} elements",
        about="log Σ exp of a vector, value and gradient, float64",
        rivals=[
            Rival("NumPy by hand", "NumPy", lambda: lambda: by_hand(*arguments)),
            *gradient_rivals(write, arguments),
        ],
        targets=[Target(1.1)],
    )


WORKLOAD = Workload("log-sum-exp, gradient", {"million": 1_000_000}, 7, case, budget_s=8.0)
