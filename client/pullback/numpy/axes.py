"""Axes and shapes as users write them, to those the rows take: distinct and non-negative."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

from pullback_graph.errors import ShapeError
from pullback_graph.types import Shape


def one_axis(axis: Any, rank: int) -> int:
    """The axis counted from the front.

    Raises:
        ShapeError: there is no such axis.
    """
    position = operator.index(axis)
    if not -rank <= position < rank:
        raise ShapeError(
            f"axis {position} is out of range for {rank} axes; use {-rank} to {rank - 1}"
            if rank
            else f"axis {position} is out of range: a 0-d array has no axes"
        )
    return position % rank


def many_axes(axis: Any, rank: int) -> Shape:
    """The axes (all where `axis` is None) counted from the front, in ascending order.

    Raises:
        ShapeError: one is not there, or is given twice.
    """
    if axis is None:
        return tuple(range(rank))
    axes = ordered_axes(axis, rank)
    return tuple(sorted(axes))


def ordered_axes(axis: Any, rank: int) -> Shape:
    """The axes counted from the front, in the order given.

    Raises:
        ShapeError: one is not there, or is given twice.
    """
    given = axis if isinstance(axis, Sequence) else (axis,)
    axes = tuple([one_axis(item, rank) for item in given])
    if len(set(axes)) != len(axes):
        raise ShapeError(f"axis {axis} names one axis twice; give each once")
    return axes


def as_shape(shape: Any) -> Shape:
    """A shape given as a tuple, a list or one size."""
    if isinstance(shape, Sequence):
        return tuple([operator.index(size) for size in shape])
    return (operator.index(shape),)


def filled_shape(shape: Any, size: int) -> Shape:
    """A shape of `size` elements in which one entry may be -1, for what is left over.

    Raises:
        ShapeError: nothing fits in the place of -1, or there are several.
    """
    given = as_shape(shape)
    if -1 not in given:
        return given
    rest = prod(n for n in given if n != -1)
    if given.count(-1) > 1 or (size % rest if rest else size):
        raise ShapeError(f"cannot reshape {size} elements to {given}; only one size may be -1")
    return tuple([(size // rest if rest else 0) if n == -1 else n for n in given])
