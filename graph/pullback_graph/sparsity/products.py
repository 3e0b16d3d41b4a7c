"""Products with zeros that are known: which elements of the other operand they let through.

The pairs of elements that meet are read from `axes`: a place of the known operand that is not zero
fixes the positions along its axes, and all positions along the others go with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.op import Axes, Factors
from pullback_graph.pattern import Indices
from pullback_graph.types import ArrayType, Shape

MAX_PAIRS = 1 << 24
"""Pairs of elements that meet in one node, at most; more are left to the axes."""


class Pairs(NamedTuple):
    """Which element of the operand goes into which of the result, pair after pair."""

    elements: Indices
    targets: Indices


def pairs(
    axes: Axes, known: int, weights: np.ndarray[Any, Any], other: ArrayType, result: ArrayType
) -> Pairs | None:
    """The pairs through what is not zero of the known operand; None where axes say no less.

    Args:
        known: which of the two operands is known, as `weights`.
    """
    own, factors, made = axes.operands[known], axes.operands[1 - known], axes.results[0]
    count = int(np.count_nonzero(weights))
    if 2 * count > weights.size or not weights.size:
        return None
    sizes: dict[int, int] = {}
    for shape, term in ((weights.shape, own), (other.shape, factors), (result.shape, made)):
        if not _sized(shape, term, sizes):
            return None
    free = [factor for factor in sizes if factor not in own]
    if count * prod([sizes[factor] for factor in free]) > MAX_PAIRS:
        return None
    places = dict(zip(own, np.nonzero(weights), strict=True))
    behind = [1] * len(free)
    at = {f: place.reshape(-1, *behind) for f, place in places.items() if f is not None}
    for axis, factor in enumerate(free, 1):
        ones = [1] * (len(free) + 1)
        ones[axis] = sizes[factor]
        at[factor] = np.arange(sizes[factor]).reshape(ones)
    whole = (count, *[sizes[factor] for factor in free])
    return Pairs(_numbers(other.shape, factors, at, whole), _numbers(result.shape, made, at, whole))


def _sized(shape: Shape, term: Factors, sizes: dict[int, int]) -> bool:
    """Note the sizes of factors; whether every axis has one, once, or is of size one."""
    for size, factor in zip(shape, term, strict=True):
        if factor is None:
            if size != 1:
                return False
        elif sizes.setdefault(factor, size) != size or term.count(factor) > 1:
            return False
    return True


def _numbers(shape: Shape, term: Factors, at: dict[int, Indices], whole: Sequence[int]) -> Indices:
    """The row-major number of the element at each combination of positions."""
    number: Indices = np.zeros((1,) * len(whole), np.int64)
    for size, factor in zip(shape, term, strict=True):
        number = number * size + (0 if factor is None else at[factor])
    return np.broadcast_to(number, whole).reshape(-1)
