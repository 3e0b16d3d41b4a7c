"""A multilayer perceptron with two hidden layers: matrix products, and what is between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import Case, NDArray, Rival, Target
from benchmarks.libraries.gradients import gradient_rivals
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload

WEIGHTS = range(6)


class Sizes(NamedTuple):
    """Rows of a batch, and units of each layer, inputs first."""

    rows: int
    units: tuple[int, int, int, int]


def write(np: Words) -> Function:
    """Mean cross-entropy of a batch: weights and biases of three layers, inputs, one-hot labels."""

    def loss(w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, y: Any) -> Any:
        first = np.relu(x @ w1 + b1)
        second = np.relu(first @ w2 + b2)
        scores = second @ w3 + b3
        return np.mean(np.logsumexp(scores, axis=1) - np.sum(scores * y, axis=1))

    return loss


def by_hand(
    w1: NDArray, b1: NDArray, w2: NDArray, b2: NDArray, w3: NDArray, b3: NDArray, x: NDArray,
    y: NDArray,
) -> tuple[Any, ...]:  # fmt: skip
    """The loss and its gradient, in place where nothing needs the old values."""
    first = x @ w1
    first += b1
    np.maximum(first, 0, out=first)
    second = first @ w2
    second += b2
    np.maximum(second, 0, out=second)
    scores = second @ w3
    scores += b3
    scores -= scores.max(axis=1, keepdims=True)
    chosen = (scores * y).sum(axis=1)
    exponentials = np.exp(scores, out=scores)
    totals = exponentials.sum(axis=1, keepdims=True)
    value = np.mean(np.log(totals[:, 0]) - chosen)
    exponentials /= totals
    exponentials -= y
    exponentials *= 1 / np.float32(len(x))
    d_second = exponentials @ w3.T
    d_second *= second > 0
    d_first = d_second @ w2.T
    d_first *= first > 0
    return (
        value, x.T @ d_first, d_first.sum(0), first.T @ d_second, d_second.sum(0),
        second.T @ exponentials, exponentials.sum(0),
    )  # fmt: skip


def data(sizes: Sizes) -> list[NDArray]:
    """Weights scaled to their inputs, small biases, standard normal inputs, labels at random."""
    random = np.random.default_rng(0)
    arrays: list[NDArray] = []
    for inputs, outputs in zip(sizes.units, sizes.units[1:], strict=False):
        arrays.append(random.normal(0.0, inputs**-0.5, (inputs, outputs)))
        arrays.append(random.normal(0.0, 0.1, outputs))
    arrays.append(random.normal(size=(sizes.rows, sizes.units[0])))
    arrays.append(np.eye(sizes.units[-1])[random.integers(sizes.units[-1], size=sizes.rows)])
    return [array.astype(np.float32) for array in arrays]


def case(sizes: Sizes) -> Case:
    """One batch."""
    arguments = data(sizes)
    return Case(
        name=f"{sizes.rows}×({'-'.join(map(str, sizes.units))})",
        about="cross-entropy of a batch, relu units, float32: value and gradient by all weights",
        rivals=[
            Rival("NumPy by hand", "NumPy", lambda: lambda: by_hand(*arguments)),
            *gradient_rivals(write, arguments, WEIGHTS),
        ],
        targets=[Target(1.1)],
        tolerance=2e-4,
    )


WORKLOAD = Workload(
    "multilayer perceptron, float32",
    {
        "64": Sizes(64, (512, 256, 256, 10)),
        "4096": Sizes(4096, (784, 512, 512, 10)),
    },
    Sizes(8, (6, 5, 4, 3)),
    case,
    budget_s=12.0,
)
