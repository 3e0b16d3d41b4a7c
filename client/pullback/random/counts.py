"""Counts: the Poisson distribution, by inversion where it is narrow and by rejection elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback import lax
from pullback.random.bits import uniform
from pullback.random.keys import as_key, broadcast_shape, fold_in, own_shape, split
from pullback.special.rows import gammaln, xlogy
from pullback.tracing.apply import Value, apply, cast
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.errors import DTypeError
from pullback_graph.types import FLOAT64, INT64, Shape, as_dtype

_NARROW = 10.0
"""The mean below which probabilities are added up one after the other."""
_NEGLIGIBLE = 1e-20
"""The probability at which adding up ends: far below what is left between uniform numbers."""
_ROUNDS = 200
"""Steps at the most: a narrow one's largest count, or refusals in a row of a chance of 1 / 4."""


def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = INT64) -> Any:
    """Counts of mean lam >= 0 (-1 for another lam), which has no derivative here.

    Args:
        shape: of the result, to which lam broadcasts; lam's own where None.

    Raises:
        DTypeError: the dtype is no integer.
    """
    keys, of = as_key(key), as_dtype(dtype)
    if of.kind not in "iu":
        raise DTypeError(f"counts are integers, not {of.name}; give an integer dtype")
    mean = lax.stop_gradient(cast(promoted(real_floating, (lam,))[0], FLOAT64))
    whole = broadcast_shape(keys, shape, mean)
    mean = apply("broadcast_to", mean, shape=whole)
    narrow = pnp.less(mean, _NARROW)
    small = _by_inversion(keys, pnp.where(narrow, mean, 1.0), whole, narrow)
    wide = pnp.logical_and(pnp.logical_not(narrow), pnp.isfinite(mean))
    large = _by_rejection(keys, pnp.where(wide, mean, _NARROW), whole)
    valid = pnp.logical_and(pnp.greater_equal(mean, 0.0), pnp.isfinite(mean))
    return cast(pnp.where(valid, pnp.where(narrow, small, large), -1.0), of)


def _by_inversion(keys: Value, mean: Any, whole: Shape, wanted: Any) -> Any:
    """How many probabilities add up to less than a uniform number, where that is wanted."""
    u = pnp.where(wanted, uniform(fold_in(keys, 0), own_shape(keys, whole)), -1.0)

    def waiting(chance: Any, total: Any) -> Any:
        return pnp.logical_and(pnp.greater_equal(u, total), pnp.greater(chance, _NEGLIGIBLE))

    def reached(carry: Any) -> Any:
        step, count, chance, total = carry
        further = count + cast(waiting(chance, total), FLOAT64)
        chance = chance * mean / step
        return step + 1.0, further, chance, total + chance

    def unfinished(carry: Any) -> Any:
        step, _, chance, total = carry
        return pnp.logical_and(pnp.any(waiting(chance, total)), pnp.less(step, _ROUNDS))

    first = pnp.exp(pnp.negative(mean))
    start = (np.asarray(1.0), pnp.zeros(whole), first, first)
    _, count, *_ = lax.while_loop(unfinished, reached, start)
    return count


def _by_rejection(keys: Value, mean: Any, whole: Shape) -> Any:
    """Transformed rejection with squeeze (Hörmann 1993), for means of ten or more."""
    own = own_shape(keys, whole)
    b = 0.931 + 2.53 * pnp.sqrt(mean)
    a = -0.059 + 0.02483 * b
    scale = 1.1239 + 1.1328 / (b - 3.4)
    inner = 0.9277 - 3.6224 / (b - 2.0)

    def proposed(carry: Any) -> Any:
        step, waiting, found = carry
        halves = split(fold_in(keys, step))
        one, other = (pnp.take(halves, i, axis=keys.ndim - 1) for i in (0, 1))
        u = uniform(one, own) - 0.5
        v = 1.0 - uniform(other, own)
        room = pnp.maximum(0.5 - pnp.abs(u), np.finfo(np.float64).tiny)
        count = pnp.floor((2.0 * a / room + b) * u + mean + 0.43)
        positive = pnp.maximum(count, 0.0)
        height = pnp.log(v * scale / (a / (room * room) + b))
        below = pnp.less_equal(height, xlogy(positive, mean) - mean - gammaln(positive + 1.0))
        taken = pnp.where(
            pnp.logical_and(pnp.greater_equal(room, 0.07), pnp.less_equal(v, inner)),
            True,
            pnp.logical_and(pnp.greater_equal(count, 0.0), below),
        )
        found = pnp.where(pnp.logical_and(waiting, taken), count, found)
        return step + 1, pnp.logical_and(waiting, pnp.logical_not(taken)), found

    def unfinished(carry: Any) -> Any:
        step, waiting, _ = carry
        return pnp.logical_and(pnp.any(waiting), pnp.less(step, _ROUNDS))

    waiting = pnp.greater_equal(mean, _NARROW)
    *_, found = lax.while_loop(
        unfinished, proposed, (np.asarray(1), waiting, pnp.full(whole, -1.0))
    )
    return found
