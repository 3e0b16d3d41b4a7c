"""Shares of a whole along axes: softmax and its relatives, of which a mask may leave some out."""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback import special
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.types import FLOAT64


def softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """exp(x) over its sum along axes.

    Args:
        where: which elements there are (bool, broadcasting); the others get 0, and so does a whole
            of none.
    """
    return pnp.exp(log_softmax(x, axis, where))


def log_softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """The logarithm of `softmax`: -infinity for what `where` leaves out."""
    if where is None:
        return pnp.log_softmax(x, axis)
    (value,) = promoted(real_floating, (x,))
    total = pnp.logsumexp(pnp.where(where, value, -np.inf), axis, keepdims=True)
    return pnp.where(where, pnp.subtract(value, total), -np.inf)


def logsumexp(
    x: Any, axis: Any = None, b: Any = None, keepdims: bool = False, where: Any = None
) -> Any:
    """log(sum(b exp(x))) along axes, without overflow; -infinity of nothing.

    Args:
        b: factors that broadcast with x; 1 where None.
        where: which elements there are (bool, broadcasting).
    """
    chosen = x if where is None else pnp.where(where, promoted(real_floating, (x,))[0], -np.inf)
    return special.logsumexp(chosen, axis, b, keepdims)


def one_hot(labels: Any, num_classes: int, *, dtype: Any = FLOAT64, axis: int = -1) -> Any:
    """A new axis of `num_classes`: 1 at the label, else 0 (all, of a label out of range)."""
    return pnp.one_hot(labels, num_classes, axis=axis, dtype=dtype)
