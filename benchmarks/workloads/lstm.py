"""ADBench's third: the loss of a character model with LSTM layers, and its gradient.

Its gates are elementwise (a weight a unit, no matrices), so each step of the sequence does little.

Source: Šrajer, Kukelova, Fitzgibbon 2018 (see gaussian_mixture.py), section 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import Case, NDArray, Target
from benchmarks.libraries.gradients import gradient_rivals
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload

UNITS = 14
"""Bits of a character, and units of a layer."""


class Sizes(NamedTuple):
    """Layers and characters."""

    layers: int
    characters: int


def write(np: Words) -> Function:
    """Mean negative log-likelihood of each next character.

    Arguments: weights and biases of four gates (2 L, 4, B), scales in and out and a bias out
    (3, B), hidden and cell states (2 L, B), characters (C, B).
    """

    def loss(gates: Any, ends: Any, states: Any, text: Any) -> Any:
        layers = states.shape[0] // 2
        parts = [(gates[2 * i], gates[2 * i + 1]) for i in range(layers)]

        def step(carry: Any, character: Any) -> tuple[Any, Any]:
            x, new = character * ends[0], []
            for (weight, bias), (hidden, cell) in zip(parts, carry, strict=True):
                x, cell = _cell(np, weight, bias, hidden, cell, x)
                new.append((x, cell))
            return tuple(new), x

        start = tuple([(states[2 * i], states[2 * i + 1]) for i in range(layers)])
        tops = np.scan(step, start, text[:-1])[1]
        scores = tops * ends[1] + ends[2]
        log_total = np.log(np.sum(np.exp(scores), axis=1) + 2.0)
        return -np.mean(text[1:] * (scores - log_total[:, None]))

    return loss


def _cell(np: Words, weight: Any, bias: Any, hidden: Any, cell: Any, x: Any) -> tuple[Any, Any]:
    """The hidden and the cell state after one character (Hochreiter & Schmidhuber 1997)."""
    forget = np.sigmoid(x * weight[0] + bias[0])
    ingate = np.sigmoid(hidden * weight[1] + bias[1])
    outgate = np.sigmoid(x * weight[2] + bias[2])
    change = np.tanh(hidden * weight[3] + bias[3])
    cell = cell * forget + ingate * change
    return outgate * np.tanh(cell), cell


def data(sizes: Sizes) -> list[NDArray]:
    """Parameters and states at random, characters as bits."""
    random = np.random.default_rng(0)
    return [
        random.uniform(-1.0, 1.0, (2 * sizes.layers, 4, UNITS)),
        random.uniform(-1.0, 1.0, (3, UNITS)),
        random.uniform(-1.0, 1.0, (2 * sizes.layers, UNITS)),
        random.integers(2, size=(sizes.characters, UNITS)).astype(np.float64),
    ]


def case(sizes: Sizes) -> Case:
    """One text."""
    return Case(
        name=f"{sizes.layers} layers, {sizes.characters:,} characters",
        about="loss of a text by a scan over its characters, value and gradient, float64",
        rivals=gradient_rivals(
            write,
            data(sizes),
            range(2),
            executors=("numpy", "tape", "xla"),
            torch_compile=False,
            autograd=sizes.characters <= 1024,
        ),
        targets=[Target(1.1, families=("JAX",)), Target(0.5, families=("PyTorch",))],
        left_out=["PyTorch compile: it unrolls the loop of Python, which takes it minutes"],
    )


WORKLOAD = Workload(
    "ADBench LSTM, gradient",
    {"small": Sizes(2, 128), "medium": Sizes(2, 1_024), "large": Sizes(4, 4_096)},
    Sizes(2, 5),
    case,
    first="medium",
    budget_s=10.0,
)
