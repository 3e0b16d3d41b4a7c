"""Integrals over (0, infinity) of many elements at once, by the double exponential quadrature.

The places are exp(s - exp(-s)) for equal steps of s (Takahasi & Mori 1974), which suits a function
that falls off exponentially. NumPy takes a block of elements at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.kernels import Kernels
from pullback_graph.types import Array, DType

_LEAST = -3.5
"""Where s starts: what lies beyond is under the rounding of a finite integrand."""
_BLOCK = 4096
"""Elements that NumPy takes at once, for arrays that stay in the processor's cache."""
_INTEGRALS = 224
"""Of those, the elements that are integrated at once, each at some sixty places."""

Side: TypeAlias = "Callable[..., Array]"
"""What one side of a mean gives: whether it is the upper one (for all elements, or for each), and
operands -> results."""


@cache
def _quadrature(order: int, step: float, dtype: DType) -> tuple[Array, Array]:
    """Places, as a column, and weights, for a function that falls off as y^order exp(-y)."""
    s = np.arange(_LEAST, np.log(40.0 + 3.0 * order) + step, step)
    places = np.exp(s - np.exp(-s))
    weights = places * (1.0 + np.exp(-s)) * step
    return places[:, None].astype(dtype), weights.astype(dtype)


def chosen(k: Kernels, upper: Any, of_upper: Callable[[], Any], of_lower: Callable[[], Any]) -> Any:
    """What the side takes; both, and one of them by element, where it differs."""
    if isinstance(upper, bool):
        return of_upper() if upper else of_lower()
    return k.xp.where(upper, of_upper(), of_lower())


def by_blocks(
    k: Kernels, function: Callable[..., Array], *, results: int = 0
) -> Callable[..., Any]:
    """The function, which takes operands of one axis, for any; on NumPy block by block.

    Args:
        results: where there are several, on an axis in front; they become a tuple.
    """
    lead = (results,) if results else ()

    def run(*operands: Array) -> Any:
        arrays = k.xp.broadcast_arrays(*[k.xp.asarray(x) for x in operands])
        shape, size = arrays[0].shape, arrays[0].size
        if k.name != "numpy":
            z = function(*[x.reshape(-1) for x in arrays])
        else:
            z = np.empty((*lead, size), arrays[0].dtype)
            for start in range(0, size, _BLOCK):
                stop = start + _BLOCK
                z[..., start:stop] = function(*[_cut(x, start, stop) for x in arrays])
        z = z.reshape((*lead, *shape))
        return tuple([z[i] for i in range(results)]) if results else z

    return run


def _cut(x: Array, start: int, stop: int) -> Array:
    part: Array = x.reshape(-1)[start:stop] if x.flags.c_contiguous else x.flat[start:stop]
    return part


def by_sides(k: Kernels, side: Side, upper: Array, *operands: Array, results: int = 0) -> Array:
    """The side of every element; on NumPy each side by itself, some elements at a time."""
    if k.name != "numpy":
        return side(upper, *operands)
    z = np.empty((results, upper.size) if results else upper.size, operands[0].dtype)
    for flag in (False, True):
        places = np.flatnonzero(upper == flag)
        for start in range(0, len(places), _INTEGRALS):
            own = places[start : start + _INTEGRALS]
            z[..., own] = side(flag, *[x[own] for x in operands])
    return z


def integral(
    k: Kernels,
    integrand: Callable[[Array], Sequence[Array]],
    rate: Array,
    *,
    order: int,
    step: float,
) -> list[Array]:
    """The integrals of functions over (0, infinity), element by element.

    Args:
        integrand: takes places y on an axis in front of the elements, gives functions there.
        rate: of each element: the functions fall off as y^order exp(-rate y), or faster; where it
            is negative they are functions of -y.
        step: between places; an eighth is enough for all, a seventh where nothing is steep.
    """
    places, weights = _quadrature(order, step, rate.dtype)
    size = k.xp.abs(rate)
    values = integrand(places * (1 / rate))
    if k.name == "numpy":
        return [(weights @ value) / size for value in values]
    column = weights[:, None]  # XLA adds up in one loop with what makes them
    return [(column * value).sum(0) / size for value in values]
