"""Losses, from logits where there are classes: none overflows, however sure the logits are.

`reduction` is "mean", "sum", or "none" for the losses one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback.numpy.axes import one_axis
from pullback.tracing.apply import Value, as_value
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.errors import AttributeFault, ShapeError


def cross_entropy(
    logits: Any,
    labels: Any,
    *,
    axis: int = -1,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """The cross entropy of labels and softmax(logits).

    Args:
        logits: (..., C, ...), the classes along `axis`.
        labels: integers of the shape without that axis (one out of range gives NaN), or shares of
            the shape of the logits.
        label_smoothing: how much of a label is spread evenly over the classes.

    Raises:
        ShapeError: the labels have neither shape.
        AttributeFault: the smoothing is not in [0, 1], or there is no such reduction.
    """
    (scores,), target = promoted(real_floating, (logits,)), as_value(labels)
    along = one_axis(axis, scores.ndim)
    if not 0.0 <= label_smoothing <= 1.0:
        raise AttributeFault(f"label_smoothing is {label_smoothing}; give a share from 0 to 1")
    shape = scores.shape[:along] + scores.shape[along + 1 :]
    if target.dtype.kind in "iu":
        if target.shape != shape:
            raise ShapeError(f"labels of shape {target.shape} for logits {scores.shape}: {shape}")
        loss = _of_integers(scores, target, along, label_smoothing)
    else:
        if target.shape != scores.shape:
            raise ShapeError(f"shares of shape {target.shape} for logits of {scores.shape}")
        loss = _of_shares(scores, target, along, label_smoothing)
    return _reduced(loss, reduction)


def binary_cross_entropy_with_logits(logits: Any, labels: Any, *, reduction: str = "mean") -> Any:
    """The cross entropy of labels (0, 1, or between) and sigmoid(logits), element by element."""
    x, y = promoted(real_floating, (logits, labels))
    hit = pnp.multiply(y, pnp.softplus(pnp.negative(x)))
    missed = pnp.multiply(pnp.subtract(1.0, y), pnp.softplus(x))
    return _reduced(pnp.add(hit, missed), reduction)


def mse_loss(x: Any, y: Any, *, reduction: str = "mean") -> Any:
    """The square of the difference."""
    return _reduced(pnp.square(_difference(x, y)), reduction)


def l1_loss(x: Any, y: Any, *, reduction: str = "mean") -> Any:
    """The absolute difference."""
    return _reduced(pnp.abs(_difference(x, y)), reduction)


def huber_loss(x: Any, y: Any, *, delta: float = 1.0, reduction: str = "mean") -> Any:
    """Half the square of a difference up to delta, and straight on from there."""
    size = pnp.abs(_difference(x, y))
    near = pnp.minimum(size, delta)
    straight = pnp.multiply(pnp.subtract(size, near), delta)
    return _reduced(pnp.add(pnp.multiply(pnp.square(near), 0.5), straight), reduction)


def cosine_similarity(x: Any, y: Any, *, axis: int = -1, epsilon: float = 1e-8) -> Any:
    """The cosine of the angle between vectors along an axis; norms count as `epsilon` at least."""
    first, second = promoted(real_floating, (x, y))
    product = pnp.sum(pnp.multiply(first, second), axis)
    norms = [
        pnp.sqrt(pnp.maximum(pnp.sum(pnp.square(value), axis), epsilon**2))
        for value in (first, second)
    ]
    return pnp.divide(product, pnp.multiply(*norms))


def _of_integers(scores: Value, labels: Value, axis: int, smoothing: float) -> Any:
    places = pnp.expand_dims(labels, axis)
    picked = pnp.squeeze(pnp.take_along_axis(scores, places, axis), axis)
    inside = pnp.logical_and(pnp.greater_equal(labels, 0), pnp.less(labels, scores.shape[axis]))
    picked = pnp.where(inside, picked, np.nan)
    total = pnp.logsumexp(scores, axis)
    if smoothing == 0.0:
        return pnp.subtract(total, picked)
    even = pnp.multiply(pnp.subtract(total, pnp.mean(scores, axis)), smoothing)
    return pnp.add(pnp.multiply(pnp.subtract(total, picked), 1.0 - smoothing), even)


def _of_shares(scores: Value, labels: Value, axis: int, smoothing: float) -> Any:
    """What is impossible and has no share costs nothing."""
    shares: Any = labels
    if smoothing != 0.0:
        even = smoothing / scores.shape[axis]
        shares = pnp.add(pnp.multiply(labels, 1.0 - smoothing), even)
    chances = pnp.log_softmax(scores, axis)
    nothing = pnp.logical_and(pnp.equal(shares, 0.0), pnp.equal(chances, -np.inf))
    chances = pnp.where(nothing, 0.0, chances)
    return pnp.negative(pnp.sum(pnp.multiply(shares, chances), axis))


def _difference(x: Any, y: Any) -> Any:
    first, second = promoted(real_floating, (x, y))
    return pnp.subtract(first, second)


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise AttributeFault(f"reduction is {reduction!r}; give 'mean', 'sum' or 'none'")
    return pnp.mean(loss) if reduction == "mean" else pnp.sum(loss)
