"""Choosing among finitely many: categories, elements of an array, orders."""

from __future__ import annotations

from math import ceil, log, prod
from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback.numpy.axes import as_shape, one_axis
from pullback.random.bits import bits, randint, uniform
from pullback.random.continuous import gumbel
from pullback.random.keys import as_key, split
from pullback.tracing.apply import Value, apply, as_value
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.errors import ShapeError
from pullback_graph.types import INT64, Shape


def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None) -> Any:
    """Categories (int64), each with its probability in softmax(logits) along an axis.

    Args:
        key: one key.
        shape: of the result: any axes, then those of the logits without `axis`, which alone where
            None.

    Raises:
        ShapeError: the shape does not end so.
    """
    keys = _one_key("categorical", key)
    (scores,) = promoted(real_floating, (logits,))
    along = one_axis(axis, scores.ndim) - scores.ndim
    batch = tuple([n for i, n in enumerate(scores.shape, -scores.ndim) if i != along])
    whole = batch if shape is None else as_shape(shape)
    more = len(whole) - len(batch)
    if more < 0 or whole[more:] != batch:
        raise ShapeError(f"shape {whole} does not end with {batch}, that of the distributions")
    noise = gumbel(keys, (*whole[:more], *scores.shape), scores.dtype)
    return pnp.argmax(pnp.add(noise, scores), along)


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """An array in another order along an axis, each order as likely.

    Args:
        key: one key.
        x: an array, or an integer n for the numbers from 0 to n - 1.
        independent: whether each vector along the axis has an order of its own.
    """
    keys = _one_key("permutation", key)
    if type(x) is int:
        return _order(keys, (x,), 0)
    value = as_value(x)
    along = one_axis(axis, value.ndim)
    if not independent or value.ndim == 1:
        return pnp.take(value, _order(keys, (value.shape[along],), 0), axis=along)
    order = _order(keys, value.shape, along)
    return apply("take_along_axis", value, order, axis=along)


def choice(
    key: Any, a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0
) -> Any:
    """Entries of an array along an axis, again and again or each once at most.

    Args:
        key: one key.
        a: an array, or an integer n for the numbers from 0 to n - 1.
        shape: of the choices, which stands in the axis's place.
        p: the probabilities (n,) of the entries, alike where None.

    Raises:
        ShapeError: there are too few entries, or the probabilities are not as many.
    """
    keys, own = _one_key("choice", key), as_shape(shape)
    value = None if type(a) is int else as_value(a)
    along = 0 if value is None else one_axis(axis, value.ndim)
    count = a if value is None else value.shape[along]
    wanted = prod(own)
    if wanted > (count if not replace else wanted * count):
        raise ShapeError(f"{wanted} choices among {count} entries; choose fewer, or replace=True")
    if p is None:
        index = randint(keys, own, 0, count) if replace else _order(keys, (count,), 0)
    else:
        index = _weighted(keys, p, count, own, replace)
    if not replace:
        index = pnp.reshape(apply("slice", index, starts=(0,), stops=(wanted,), steps=(1,)), own)
    return index if value is None else pnp.take(value, index, axis=along)


def _order(keys: Value, shape: Shape, axis: int) -> Value:
    """Positions (int64) along an axis, sorted by random words, often enough that none ties.

    The words of several sortings tell elements apart but for a chance of 1 / n or less.
    """
    count = shape[axis]
    order: Value = np.broadcast_to(
        np.arange(count).reshape((-1,) + (1,) * (len(shape) - 1 - axis)), shape
    )
    rounds = ceil(3 * log(max(1, prod(shape))) / log(2**32 - 1))
    for _ in range(rounds):
        keys, own = (pnp.take(split(keys), i, axis=0) for i in (0, 1))
        sorted_by = apply("argsort", bits(own, shape), axis=axis)
        order = apply("take_along_axis", order, sorted_by, axis=axis)
    return order


def _weighted(keys: Value, p: Any, count: int, shape: Shape, replace: bool) -> Any:
    """Positions by probability: all in order of a race where each may come once."""
    (chances,) = promoted(real_floating, (p,))
    if chances.shape != (count,):
        raise ShapeError(
            f"probabilities of shape {chances.shape} for {count} entries; give ({count},)"
        )
    if not replace:
        race = pnp.add(gumbel(keys, (count,), chances.dtype), pnp.log(chances))
        return pnp.argsort(pnp.negative(race))
    total = pnp.cumsum(chances)
    last = pnp.take(total, count - 1, axis=0)
    mark = pnp.multiply(last, pnp.subtract(1.0, uniform(keys, shape, chances.dtype)))
    return _first_not_below(total, mark, count)


def _first_not_below(ascending: Any, mark: Any, count: int) -> Any:
    """For each mark, how many of the ascending numbers lie below it: found bit by bit."""
    found: Any = np.zeros(mark.shape, INT64)
    for step in (1 << bit for bit in reversed(range(count.bit_length()))):
        further = pnp.add(found, step)
        inside = pnp.less_equal(further, count)
        reached = apply("take", ascending, pnp.subtract(pnp.minimum(further, count), 1), axis=0)
        found = pnp.where(pnp.logical_and(inside, pnp.less(reached, mark)), further, found)
    return pnp.minimum(found, count - 1)


def _one_key(name: str, key: Any) -> Value:
    found = as_key(key)
    if found.ndim != 1:
        raise ShapeError(f"{name} takes one key (2,), got {found.shape}; choose one of them")
    return found
