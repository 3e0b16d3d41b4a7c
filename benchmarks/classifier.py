"""The job the shard benchmark splits: cross-entropy of a network with one hidden layer."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

import pullback.numpy as pnp

NDArray: TypeAlias = "np.ndarray[Any, Any]"
NAMES = ("w1", "b1", "w2", "b2")


class Sizes(NamedTuple):
    """Rows, inputs, hidden units and classes."""

    rows: int
    inputs: int
    hidden: int
    classes: int

    def weights(self, seed: int) -> tuple[NDArray, ...]:
        """Weights (D, H), biases (H,), weights (H, C), biases (C,)."""
        random = np.random.default_rng(seed)
        shapes = (
            (self.inputs, self.hidden),
            (self.hidden,),
            (self.hidden, self.classes),
            (self.classes,),
        )
        return tuple([random.normal(0.0, self.inputs**-0.5, shape) for shape in shapes])

    def data(self) -> tuple[NDArray, NDArray]:
        """Inputs (N, D) and one-hot labels (N, C)."""
        random = np.random.default_rng(0)
        x = random.normal(size=(self.rows, self.inputs))
        return x, np.eye(self.classes)[random.integers(self.classes, size=self.rows)]


def loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    """Mean cross-entropy -> a scalar."""
    scores = pnp.tanh(x @ w1 + b1) @ w2 + b2
    return pnp.mean(pnp.logsumexp(scores, axis=1) - pnp.sum(scores * y, axis=1))
