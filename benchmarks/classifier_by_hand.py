"""The classifier's gradient written out in NumPy, as one would without Pullback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Weights: TypeAlias = "tuple[NDArray, ...]"
"""Hidden weights (D, H) and biases (H,), output weights (H, C) and biases (C,)."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of the data: inputs (N, D) and one-hot labels (N, C)."""

    x: NDArray
    y: NDArray


def shards_of(x: NDArray, y: NDArray, count: int) -> list[Shard]:
    """The data cut into `count` runs of rows."""
    pairs = zip(np.array_split(x, count), np.array_split(y, count), strict=True)
    return [Shard(np.ascontiguousarray(a), np.ascontiguousarray(b)) for a, b in pairs]


def sum_of_losses(weights: Weights, shard: Shard) -> tuple[float, Weights]:
    """The cross-entropies of a shard's rows, summed, and the gradient of that sum."""
    w1, b1, w2, b2 = weights
    hidden = np.tanh(shard.x @ w1 + b1)
    scores = hidden @ w2 + b2
    scores -= scores.max(axis=1, keepdims=True)
    exponentials = np.exp(scores)
    totals = exponentials.sum(axis=1, keepdims=True)
    value = float(np.log(totals).sum() - (scores * shard.y).sum())
    d_scores = exponentials / totals - shard.y
    d_hidden = d_scores @ w2.T
    d_hidden *= 1.0 - hidden * hidden
    gradient = (shard.x.T @ d_hidden, d_hidden.sum(0), hidden.T @ d_scores, d_scores.sum(0))
    return value, gradient


def added(parts: Sequence[tuple[float, Weights]]) -> tuple[float, Weights]:
    """Sums of values and of gradients."""
    value, gradient = parts[0]
    for other_value, other in parts[1:]:
        value += other_value
        gradient = tuple([a + b for a, b in zip(gradient, other, strict=True)])
    return value, gradient
