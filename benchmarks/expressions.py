"""Small graphs at random: each an expression of a few functions, with constants of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp

FUNCTIONS: tuple[Callable[[Any], Any], ...] = (
    pnp.tanh,
    pnp.sin,
    pnp.cos,
    pnp.sigmoid,
    pnp.softplus,
    lambda x: pnp.exp(-x * x),
)
STEPS = 5
SIZE = 3


def small_graphs(count: int, seed: int) -> list[pb.Graph]:
    """`count` different graphs, `x` (3,) -> a scalar; no two of any seeds are equal."""
    random = np.random.default_rng(seed)
    choices = random.integers(len(FUNCTIONS), size=(count, STEPS)).tolist()
    constants = random.uniform(0.5, 1.5, size=(count, STEPS)).tolist()
    at = np.zeros(SIZE)
    return [
        pb.trace(_expression(own, numbers), at)
        for own, numbers in zip(choices, constants, strict=True)
    ]


def _expression(choices: list[int], constants: list[float]) -> Callable[[Any], Any]:
    def expression(x: Any) -> Any:
        for choice, constant in zip(choices, constants, strict=True):
            x = FUNCTIONS[choice](x * constant)
        return pnp.sum(x)

    return expression
